"""Energy of processor packages and memory by RAPL (Linux: Intel, and AMD since Zen), from /sys/class/powercap."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from llmtui.engine.watch.meters import Meter, Reading, whole_number
from llmtui.text import sanitize

_MICRO = 1e-6
#: No package draws more than this (W): a counter that runs faster was reset, as in a suspended machine.
_MOST_W = 10_000
#: Where the zones are.
_HIDDEN = "sys/devices/virtual/powercap"
#: The hardware counts in units of 2**-16 J on most processors, and 2**-14 J on some.
_GRAIN_J = 2.0**-14


class RaplZone:
    """The energy counter of a package or of its memory. It starts again from 0 beyond `max_energy_range_uj`."""

    kind: Literal["gpu", "cpu"] = "cpu"
    grain_j = _GRAIN_J

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._counter = folder / "energy_uj"
        self._range = whole_number(folder / "max_energy_range_uj") or 0
        self._last: int | None = None
        self._last_s = 0.0
        self._total = 0

    def read(self) -> Reading | None:
        """Return the energy since the first reading; a reading without it if the counter was reset."""
        value, now_s = whole_number(self._counter), time.monotonic()
        if value is None:
            return None
        last, self._last = self._last, value
        elapsed_s, self._last_s = now_s - self._last_s, now_s
        if last is not None:
            step = value - last + (self._range + 1 if value < last else 0)
            if not 0 <= step * _MICRO <= _MOST_W * (elapsed_s + 1):
                # It began again at 0, and nothing says how far it had come.
                return Reading(now_s)
            self._total += step
        return Reading(now_s, joules=self._total * _MICRO)

    def serves(self, pids: Collection[int]) -> bool | None:
        """Every process uses the processor."""
        return None


def rapl_meters(root: Path) -> tuple[list[Meter], str]:
    """Return the packages and their memory, and which file cannot be read, in words. Raises OSError.

    Cores and graphics are part of their package, and a platform has all of them; they would count twice.
    """
    meters: list[Meter] = []
    refused = ""
    zones = root / "sys/class/powercap"
    for folder in sorted(zones / name for name in os.listdir(zones) if name.startswith("intel-rapl:")):
        if not os.path.exists(folder):
            # A link to nowhere: Docker, Podman and Kubernetes hide the folder in which all zones are.
            return [], (
                f"energy of the processor is not measured: {root / _HIDDEN} is hidden, as in a container; llmtui "
                "explain power says how to show it"
            )
        try:
            name = sanitize((folder / "name").read_text("ascii", "replace").strip(), 40)
        except OSError:
            continue
        if not name.startswith(("package", "dram")):
            continue
        try:
            (folder / "energy_uj").read_bytes()
        except PermissionError:
            refused = refused or str(folder / "energy_uj")
            continue
        except OSError:
            continue
        meters.append(RaplZone(folder, _title(folder, name)))
    if not refused:
        return meters, ""
    return meters, (
        f"energy of the processor is not measured: {refused} may be read by root only; to allow it until the next "
        "boot: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"
    )


def _title(folder: Path, name: str) -> str:
    """ "package-0" as it is; memory with the number of its package: "dram-0"."""
    parts = folder.name.split(":")
    return f"{name}-{parts[1]}" if name == "dram" and len(parts) > 1 else name
