"""The range of iterations that the scatter shows: all of them, or a half, or a half of that."""

from __future__ import annotations

import dataclasses

#: A range of fewer iterations is not halved.
_LEAST = 8


@dataclasses.dataclass
class Zoom:
    """The iterations `[start, end)`, counted from 0; None for all."""

    window: tuple[int, int] | None = None

    def halve(self, measured: int, *, last: bool) -> bool:
        """Show the first or the last half of what is shown. Return False if that is too short, and change nothing."""
        start, end = self.window or (0, measured)
        if end - start < _LEAST:
            return False
        middle = start + (end - start) // 2
        self.window = (middle, end) if last else (start, middle)
        return True

    def reset(self) -> None:
        """Show all iterations."""
        self.window = None
