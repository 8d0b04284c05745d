"""Looks for the meters of power of this machine. One without them has none, and imports nothing for it."""

from __future__ import annotations

import os
from collections.abc import Callable
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


def may_have_meters(root: Path) -> bool:
    """Return whether a driver of a meter has left its files below `root`: a look at five paths."""
    return any(_there(root, places) for places, _ in _SOURCES)


def find_meters(root: Path) -> Found:
    """Return the meters below `root`. Without such hardware nothing is imported."""
    meters: list[Meter] = []
    unreadable: list[str] = []
    for places, look in _SOURCES:
        if not _there(root, places):
            continue
        try:
            found, reason = look(root)
        except OSError as error:  # a part of /sys may be closed: the others are read
            found, reason = [], f"power is not measured by /{places[0]}: {error.strerror or error}"
        meters += found
        unreadable += [reason] if reason else []
    return Found(meters, unreadable)


def _there(root: Path, places: tuple[str, ...]) -> bool:
    # Path.exists raises PermissionError.
    return any(os.path.exists(root / place) for place in places)


def _nvidia(root: Path) -> tuple[list[Meter], str]:
    from llmtui.engine.watch.gpu_nvml import nvml_meters

    return nvml_meters()


def _cards(root: Path) -> tuple[list[Meter], str]:
    from llmtui.engine.watch.gpu_sysfs import sysfs_meters

    return sysfs_meters(root), ""


def _processor(root: Path) -> tuple[list[Meter], str]:
    from llmtui.engine.watch.rapl import rapl_meters

    return rapl_meters(root)


#: Where the drivers of meters leave their files, and what reads them.
_SOURCES: tuple[tuple[tuple[str, ...], Callable[[Path], tuple[list[Meter], str]]], ...] = (
    (("proc/driver/nvidia", "dev/nvidiactl"), _nvidia),
    (("sys/class/drm",), _cards),
    (("sys/class/powercap",), _processor),
)
