"""What sends the requests of turns, as the engine sees it: one process, several of them, or those of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from llmtui.load.messages import Pulse, Slice, SliceDone
from llmtui.model import Iteration

#: Gets the samples of a slice as they end.
OnSamples = Callable[[list[Iteration]], None]
#: Gets how far the slice is, a few times a second.
OnPulse = Callable[[Pulse], None]


class LoadWorker(Protocol):
    """Carries out one slice after the other. Times in what it reports are in s since the slice began."""

    #: How the newest slice ended, if it was cancelled.
    halted: SliceDone

    @property
    def pids(self) -> list[int]:
        """Its processes on this machine: what they use of the processor is llmtui's own."""

    async def run(self, of: Slice, on_samples: OnSamples, on_pulse: OnPulse) -> SliceDone:
        """Carry out a slice. What goes wrong is the `error` of what it returns, and does not end the next slice.

        A cancellation halts the slice: the samples until then are reported before CancelledError is raised, and
        `halted` is how it ended.
        """

    async def close(self) -> None:
        """End its processes. Safe to call more than once."""
