"""How long the run still takes, in words that never stand at zero."""

from __future__ import annotations

import dataclasses

from llmtui.model import RunState
from llmtui.ui.text.format import clock

#: An iteration takes longer than expected from this many seconds beyond the estimate on.
OVERDUE_S = 2.0


@dataclasses.dataclass(frozen=True)
class TimeLeft:
    """The estimated seconds until the end of the run, and whether what is under way takes longer than expected.

    `at_most`: a search may end earlier.
    """

    seconds: float
    overdue: bool = False
    at_most: bool = False

    def words(self, elapsed_s: float, wide: bool) -> str:
        """Return the time left beside a clock at `elapsed_s`, shorter unless there is `wide` room."""
        if self.overdue and self.seconds < 1:
            return "longer than expected" if wide else "overdue"
        if self.overdue:
            return f"{'more than ' if wide else '>'}{clock(self.seconds)} left"
        # Both clocks change at the same time, so that a second costs one redraw and not two.
        about = "about " if wide else ""
        if self.at_most:
            about = "at most " if wide else "<"
        return f"{about}{clock(int(self.seconds + elapsed_s) - int(elapsed_s))} left"


def time_left(run: RunState, since_s: float) -> TimeLeft | None:
    """Return the time left `since_s` seconds after the engine reported `run`, None if it is unknown.

    Between reports only the part of what is under way gets shorter: the rest has not begun.
    """
    if run.eta_s is None:
        return None
    if run.current_s is None:
        return TimeLeft(run.eta_s, at_most=run.at_most)
    seconds = run.eta_s - min(max(0.0, run.current_s), since_s)
    return TimeLeft(seconds, since_s - run.current_s > OVERDUE_S, run.at_most)
