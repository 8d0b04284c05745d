"""What else bears on a measurement: stolen time, swapping, heat, the frequency governor, load, and the device (Linux).

Sampled before and after an iteration, never within. What a machine does not tell counts as nothing.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from llmtui.engine.watch.other_cpu import ROUNDING_S, TICKS_PER_S

_CPUS = Path("/sys/devices/system/cpu")
#: What a process holds open that computes on a graphics processor.
_GPU_FILES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/render", "/dev/dxg", "/dev/accel")
#: These are opened by whoever only asks what there is.
_GPU_TALK = frozenset({"/dev/nvidiactl", "/dev/nvidia-modeset"})


class Counters(NamedTuple):
    """Counted since boot, at `at_ns` on the monotonic clock."""

    at_ns: int
    steal_s: float = 0.0
    swapped: int = 0
    throttled: int = 0


class Changes(NamedTuple):
    """Between two samples: cores that the hypervisor took away, pages swapped in or out, slow-downs for heat."""

    steal: float = 0.0
    swapped: int = 0
    throttled: int = 0


def sample(proc: Path = Path("/proc"), cpus: Path = _CPUS) -> Counters:
    """The counters as they stand: some tenths of a millisecond."""
    steal_s, swapped = 0.0, 0
    with contextlib.suppress(OSError, ValueError, IndexError), (proc / "stat").open("rb") as file:
        steal_s = int(file.readline().split()[8]) / TICKS_PER_S
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (proc / "vmstat").read_bytes().splitlines():
            if line.startswith((b"pswpin ", b"pswpout ")):
                swapped += int(line.split()[1])
    throttled = 0
    for counter in _throttle_counters(cpus):
        with contextlib.suppress(OSError, ValueError):
            throttled += int(counter.read_bytes())
    return Counters(time.monotonic_ns(), steal_s, swapped, throttled)


def since(before: Counters, now: Counters | None = None) -> Changes:
    """What changed from `before` to `now` (this moment, if left out)."""
    now = now or sample()
    elapsed_s = (now.at_ns - before.at_ns) / 1e9
    steal_s = now.steal_s - before.steal_s
    return Changes(
        steal=round(steal_s / elapsed_s, 2) if steal_s > ROUNDING_S and elapsed_s > 0 else 0.0,
        swapped=max(0, now.swapped - before.swapped),
        throttled=max(0, now.throttled - before.throttled),
    )


@functools.cache
def _throttle_counters(cpus: Path) -> list[Path]:
    return sorted(cpus.glob("cpu[0-9]*/thermal_throttle/*_throttle_count"))


def governor(cpus: Path = _CPUS) -> str:
    """How the cores' frequency is chosen ("performance", "powersave"...), "" where it is not told."""
    found = set()
    for file in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor"):
        with contextlib.suppress(OSError):
            found.add(file.read_text("ascii", "replace").strip())
    return ", ".join(sorted(found - {""}))


def load_1m() -> float | None:
    """The load average of the last minute, None where there is none."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def device_of(pid: int, proc: Path = Path("/proc")) -> Literal["", "cpu", "gpu"]:
    """What a process and those below it compute on, by the devices that they hold open; "" where nobody may look."""
    try:
        root = psutil.Process(pid)
        pids = [pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.Error:
        return ""
    seen = False
    for one in pids:
        try:
            files = list((proc / str(one) / "fd").iterdir())
        except OSError:
            continue
        seen = True
        for file in files:
            with contextlib.suppress(OSError):
                target = os.readlink(file)
                if target.startswith(_GPU_FILES) and target not in _GPU_TALK:
                    return "gpu"
    return "cpu" if seen else ""
