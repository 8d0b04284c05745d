"""Facts about a Mac from sysctl(8): the name of its processor, and how many fast cores it has."""

from __future__ import annotations

import functools
import subprocess
import sys

_TIMEOUT_S = 2.0


@functools.cache
def sysctl(name: str) -> str:
    """Return a value of sysctl(8) on macOS; "" if there is none, and on other systems."""
    if sys.platform != "darwin":
        return ""
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def fast_cores() -> int | None:
    """Return the number of performance cores of Apple silicon, None on other machines."""
    value = sysctl("hw.perflevel0.physicalcpu")
    return int(value) if value.isdecimal() and int(value) else None
