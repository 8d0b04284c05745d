"""The situation of the monitor that decides which commands apply: the run's phase, and what is on the screen."""

from __future__ import annotations

import dataclasses
from typing import Literal

from llmtui.model import State

#: "down": the line to another machine dropped. "past" is a run of the history; "stopped" and "died" say how one ended.
Phase = Literal[
    "connecting", "starting", "running", "paused", "done", "stopping", "down", "gone", "past", "stopped", "died"
]

#: The log, the verdict, what is on this machine, or a backend over the runs of the history, over the main screen.
Page = Literal["log", "verdict", "here", "trend"]
#: The run measures, or is about to: nothing else may keep the machine busy.
_MEASURING = ("connecting", "starting", "running", "stopping")


@dataclasses.dataclass(frozen=True)
class Situation:
    """What decides which commands apply now."""

    phase: Phase = "connecting"
    backends: int = 1
    resting: int = 0
    results: bool = False
    selected: State | None = None
    hidden: bool = False
    #: How many charts are on the screen.
    charts: int = 1
    table_on_key: bool = False
    table_shown: bool = False
    #: Whether another screen (details, log) covers the main one.
    details: bool = False
    #: Whether the table is visible, and whether it is sorted.
    table_visible: bool = True
    sorted: bool = False
    held: bool = False
    #: Whether the scatter shows a part of the iterations.
    zoomed: bool = False
    page: Page | Literal[""] = ""
    #: Whether the iterations of the details are filtered, and whether they are sorted.
    filtered: bool = False
    listing_sorted: bool = False
    #: Whether iterations of the selected backend failed, and whether some are outliers.
    failures: bool = False
    outliers: bool = False
    #: Whether the selected backend has had turns of a load, and whether the requests of one are on the screen.
    turns: bool = False
    requests: bool = False
    #: Whether the backends take turns, so that rounds can be added.
    in_turns: bool = True
    #: How many levels of a load there are to choose from, 0 in a race.
    levels: int = 0

    @property
    def iterations(self) -> bool:
        """Whether the details of a backend are on the screen."""
        return self.details and not self.page

    @property
    def turns_listed(self) -> bool:
        """Whether the turns of the selected backend are on the screen, whose requests a key shows."""
        return self.iterations and self.turns and not self.requests

    @property
    def measuring(self) -> bool:
        """Whether other work would disturb the run."""
        return self.backends > 0 and self.phase in _MEASURING

    @property
    def live(self) -> bool:
        """Whether the engine takes commands."""
        return self.phase in ("starting", "running", "paused", "done")
