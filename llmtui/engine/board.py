"""What a client knows of a run: the engine's events folded into one object. Both the monitor and `llmtui run` read it.

No I/O here. `apply` returns what changed, so that a screen can redraw just that.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from llmtui.model import (
    AnyEvent,
    Backend,
    BackendChanged,
    BackendState,
    Hello,
    Iteration,
    IterationDone,
    Machine,
    Note,
    Plan,
    Progress,
    RunChanged,
    RunState,
    Sampled,
)
from llmtui.stats.summary import Metric, Summary, ratios_to_best, summarise

Change = Literal["all", "state", "sample", "progress", "iterations", "run", "note"]


@dataclasses.dataclass
class Lane:
    """One backend as its clients see it. `iterations` holds every attempt, in order of completion."""

    backend: Backend
    state: BackendState
    iterations: list[Iteration] = dataclasses.field(default_factory=list)
    progress: Progress | None = None
    rss_bytes: int | None = None
    cpu_cores: float | None = None
    summary: Summary = dataclasses.field(default_factory=Summary)
    previous: Summary | None = None

    @property
    def current(self) -> list[Iteration]:
        """The iterations of the attempt that counts."""
        return [i for i in self.iterations if i.attempt == self.state.attempt]

    @property
    def measured(self) -> list[Iteration]:
        """The measured iterations of the attempt that counts, failures included."""
        return [i for i in self.current if i.phase == "measured"]

    @property
    def last(self) -> Iteration | None:
        """The newest iteration of the current attempt, warm-up or measured."""
        current = self.current
        return current[-1] if current else None

    @property
    def weights(self) -> str:
        """The arithmetic that the server computes with, as told by it or by the config."""
        return self.state.weights or self.backend.weights

    @property
    def model(self) -> str:
        """The model's name as the server (or else the config) tells it."""
        return self.state.model or self.backend.model

    def resummarise(self) -> None:
        """Compute the summaries again from the iterations."""
        self.summary = summarise(self.current)
        attempt = self.state.attempt
        earlier = [a for a in {i.attempt for i in self.iterations if i.phase == "measured"} if a < attempt]
        self.previous = summarise(i for i in self.iterations if i.attempt == max(earlier)) if earlier else None


class Board:
    """A run as its clients see it. Empty until the first `Hello`, or built ahead of it from the plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.machine = Machine()
        self.run = RunState(total=0)
        self.lanes: dict[str, Lane] = {
            b.name: Lane(b, BackendState(name=b.name, planned=plan.config.iterations))
            for b in plan.backends
            if b.enabled
        }
        self.notes: list[Note] = []

    def apply(self, event: AnyEvent) -> tuple[Change, str]:
        """Take in one event. Returns what changed and of which backend ("" where it is of none)."""
        match event:
            case Hello():
                self.plan = event.plan
                self.machine = event.machine
                self.run = event.run
                self.notes = list(event.notes)
                known = {b.name: b for b in event.plan.backends}
                self.lanes = {s.name: Lane(known[s.name], s) for s in event.backends}
                for iteration in event.iterations:
                    self.lanes[iteration.backend].iterations.append(iteration)
                for lane in self.lanes.values():
                    lane.resummarise()
                return "all", ""
            case BackendChanged(backend=state):
                lane = self.lanes[state.name]
                fresh = state.attempt != lane.state.attempt
                lane.state = state
                if state.state not in ("running", "warmup"):
                    lane.progress = None
                if fresh:
                    lane.resummarise()
                return ("iterations" if fresh else "state"), state.name
            case Sampled():
                lane = self.lanes[event.backend]
                lane.rss_bytes, lane.cpu_cores = event.rss_bytes, event.cpu_cores
                return "sample", event.backend
            case Progress():
                self.lanes[event.backend].progress = event
                return "progress", event.backend
            case IterationDone(iteration=iteration):
                lane = self.lanes[iteration.backend]
                lane.progress = None
                lane.iterations.append(iteration)
                lane.resummarise()
                return "iterations", iteration.backend
            case RunChanged(run=run):
                self.run = run
                return "run", ""
            case Note():
                self.notes.append(event)
                return "note", event.backend

    def ratios(self, metric: Metric = "latency") -> dict[str, float | None]:
        """Median of each backend as a multiple of the best one's (1.0 is the best)."""
        medians = [s.median if (s := lane.summary.spread(metric)) else None for lane in self.lanes.values()]
        return dict(zip(self.lanes, ratios_to_best(medians, metric), strict=True))

    @property
    def failed(self) -> bool:
        """Whether any backend did not do all that was planned: this becomes exit code 1."""
        return any(
            lane.state.state != "done" or lane.summary.errors or lane.summary.n < self.plan.config.iterations
            for lane in self.lanes.values()
        )
