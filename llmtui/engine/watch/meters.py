"""What can be read of power: a meter is a card or a part of the processor, read many times during an iteration.

Meters are files below a root folder, or NVIDIA's library. A machine without them has none, and nothing is imported.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

#: "off": nothing of this is read. Otherwise the root folder of /sys, /proc and /dev, for tests.
VARIABLE = "LLMTUI_POWER"


class Reading(NamedTuple):
    """One look at a meter, at `at_s` on the monotonic clock.

    `joules` is a counter that only grows; a meter without one has `watts`. `use` is a share.
    """

    at_s: float
    joules: float | None = None
    watts: float | None = None
    use: float | None = None
    memory_bytes: int | None = None
    mhz: float | None = None


class Meter(Protocol):
    """A card, or a part of the processor. `grain_j` is the step of its counter, 0 without one."""

    @property
    def name(self) -> str:
        """How it is called."""

    @property
    def kind(self) -> Literal["gpu", "cpu"]:
        """What it is a part of."""

    @property
    def grain_j(self) -> float:
        """The step of its counter in J."""

    def read(self) -> Reading | None:
        """Read it; None if it does not answer now."""

    def serves(self, pids: Collection[int]) -> bool | None:
        """Whether one of these processes computes on it, None if it does not tell."""


class Found(NamedTuple):
    """The meters of a machine, and in words which could be there and cannot be read."""

    meters: list[Meter]
    unreadable: list[str]


def root_folder() -> Path | None:
    """Return the folder below which /sys, /proc and /dev are; None if nothing is to be read."""
    value = os.environ.get(VARIABLE, "")
    return None if value.lower() in ("off", "0", "no") else Path(value or "/")


def find_meters(root: Path) -> Found:
    """Return the meters below `root`. Without such hardware this looks for five paths and imports nothing."""
    meters: list[Meter] = []
    unreadable: list[str] = []
    if (root / "proc/driver/nvidia").exists() or (root / "dev/nvidiactl").exists():
        from llmtui.engine.watch.gpu_nvml import nvml_meters

        cards, reason = nvml_meters()
        meters += cards
        unreadable += [reason] if reason else []
    if (root / "sys/class/drm").is_dir():
        from llmtui.engine.watch.gpu_sysfs import sysfs_meters

        meters += sysfs_meters(root)
    if (root / "sys/class/powercap").is_dir():
        from llmtui.engine.watch.rapl import rapl_meters

        zones, reason = rapl_meters(root)
        meters += zones
        unreadable += [reason] if reason else []
    return Found(meters, unreadable)


def whole_number(file: Path) -> int | None:
    """Return the number in a file of /sys, None if it is not there or cannot be read now."""
    try:
        return int(file.read_bytes())
    except (OSError, ValueError):
        return None
