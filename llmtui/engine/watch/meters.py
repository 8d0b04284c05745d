"""What can be read of power: a meter is a card or a part of the processor, read many times during an iteration.

Meters are files below a root folder, or NVIDIA's library. A machine without them has none, and nothing is imported.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Literal, NamedTuple, Protocol


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


def whole_number(file: Path) -> int | None:
    """Return the number in a file of /sys, None if it is not there or cannot be read now."""
    try:
        # A third of the time that Path.read_bytes takes: a dozen files are read ten times a second.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return int(os.read(descriptor, 64))
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return None
