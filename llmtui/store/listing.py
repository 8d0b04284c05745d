"""Runs as a listing shows them: a row for each, with the medians of its backends."""

from __future__ import annotations

from typing import Literal

from llmtui.model import FAILED, State, Struct

#: The state of a run. "died": its engine ended without recording an end.
RunWord = Literal["running", "done", "stopped", "died"]


class BackendRow(Struct, frozen=True):
    """The newest attempt of a backend in a listing. `measured` counts the iterations that succeeded.

    Those during which the server loaded its model are not in the median (s). Of a load these are turns at the level
    that counts, and `metric_median` is the median of the metric that counts (None in a race).
    """

    name: str
    attempt: int = 1
    state: State = "waiting"
    measured: int = 0
    errors: int = 0
    latency_median_s: float | None = None
    model: str = ""
    metric_median: float | None = None


class RunRow(Struct, frozen=True):
    """One run in a listing. `level` is the one of a load that counts ("8 streams"), and `metric` the metric; both are
    "" in a race."""

    run: str
    created_utc: str
    state: RunWord
    label: str = ""
    note: str = ""
    llmtui: str = ""
    backends: list[BackendRow] = []
    level: str = ""
    metric: str = ""

    @property
    def models(self) -> list[str]:
        """The different models of the backends that were there, or else of all."""
        there = [b for b in self.backends if b.state not in FAILED] or self.backends
        return list(dict.fromkeys(b.model for b in there if b.model))


class Runs(list[RunRow]):
    """A listing of runs. `unread` counts those that are missing from it because they cannot be read."""

    unread: int = 0
