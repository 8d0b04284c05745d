"""The monotonic clock, and the conversion of the kernel's wall-clock timestamps to it."""

from __future__ import annotations

import time

from llmtui.model import Struct

#: A larger change of the wall clock against the monotonic clock within one request is a step, not noise.
STEP_NS = 1_000_000


class Offset(Struct, frozen=True):
    """`monotonic = realtime + offset_ns`, with an uncertainty of `width_ns`."""

    offset_ns: int
    width_ns: int

    def stepped(self, later: Offset) -> bool:
        """Whether the wall clock was stepped between this sample and `later`."""
        return abs(later.offset_ns - self.offset_ns) > STEP_NS + self.width_ns + later.width_ns


def sample_offset() -> Offset:
    """Return the offset of the monotonic clock to the wall clock: the tightest of five bracketed readings."""
    best: Offset | None = None
    for _ in range(5):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        width = after - before
        if best is None or width < best.width_ns:
            best = Offset(offset_ns=before + width // 2 - real, width_ns=width)
    assert best is not None
    return best
