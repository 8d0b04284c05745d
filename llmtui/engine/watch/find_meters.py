"""Looks for the meters of power of this machine. One without them has none, and imports nothing for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from llmtui.engine.watch.meters import Meter

#: "off": nothing of this is read. Otherwise the root folder of /sys, /proc and /dev, for tests.
VARIABLE = "LLMTUI_POWER"


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
