"""What a client knows of a run: the engine's events folded into one object. Both the monitor and `llmtui run` read it.

No I/O here. `apply` returns what changed, so that a screen can redraw just that.
"""

from __future__ import annotations

from typing import Literal

from llmtui.engine.kept import Kept
from llmtui.model import (
    AnyEvent,
    Backend,
    BackendChanged,
    BackendState,
    Earlier,
    Hello,
    Iteration,
    IterationDone,
    LogTail,
    Machine,
    Note,
    Plan,
    Progress,
    RunChanged,
    RunState,
    Sampled,
)
from llmtui.stats.running import Running
from llmtui.stats.summary import Metric, Summary, ratios_to_best

Change = Literal["all", "state", "sample", "progress", "iterations", "run", "note"]


class Lane:
    """One backend as its clients see it. `iterations` holds every attempt, in order of completion.

    `keep`: text and arrivals of so many of the newest iterations stay here (None: of all).
    """

    def __init__(self, backend: Backend, state: BackendState, keep: int | None = None) -> None:
        self.backend = backend
        self.state = state
        self.iterations = Kept(keep)
        self.progress: Progress | None = None
        self.rss_bytes: int | None = None
        self.cpu_cores: float | None = None
        #: The server's last lines as of when they were asked for.
        self.log_tail: list[str] = []
        #: How often the server asked to come back later, in all attempts.
        self.refused = 0
        self._attempts: dict[int, Running] = {}

    def add(self, iteration: Iteration) -> None:
        """Take in one more iteration."""
        self.iterations.append(iteration)
        self.refused += iteration.refused
        self._attempts.setdefault(iteration.attempt, Running()).add(iteration)

    def forget(self) -> None:
        """Drop what was worked out of attempts before the one that the current is compared with."""
        before = self.attempt_before
        self._attempts = {a: r for a, r in self._attempts.items() if before is None or a >= before}

    def attempt(self, number: int) -> Running:
        """The figures of the current attempt or of the one before; empty ones where it has no iteration."""
        return self._attempts.get(number) or Running()

    @property
    def now(self) -> Running:
        """The figures of the attempt that counts."""
        return self.attempt(self.state.attempt)

    @property
    def attempt_before(self) -> int | None:
        """The number of the newest earlier attempt that measured anything."""
        earlier = (a for a, r in self._attempts.items() if a < self.state.attempt and r.measured)
        return max(earlier, default=None)

    @property
    def summary(self) -> Summary:
        """The summary of the attempt that counts."""
        return self.now.summary

    @property
    def previous(self) -> Summary | None:
        """The summary of the attempt before, None where nothing was measured."""
        before = self.attempt_before
        return self.attempt(before).summary if before is not None else None

    @property
    def finished(self) -> int:
        """How many measured iterations the current attempt has, failures included."""
        return self.now.measured

    @property
    def current(self) -> list[Iteration]:
        """The iterations of the attempt that counts: all of them are unpacked, which takes its time."""
        return [i for i in self.iterations if i.attempt == self.state.attempt]

    @property
    def measured(self) -> list[Iteration]:
        """The measured ones of `current`, failures included; as slow."""
        return [i for i in self.current if i.phase == "measured"]

    @property
    def last(self) -> Iteration | None:
        """The newest iteration of the current attempt, warm-up or measured."""
        return self.now.last

    @property
    def weights(self) -> str:
        """The arithmetic that the server computes with, as told by it or by the config."""
        return self.state.weights or self.backend.weights

    @property
    def model(self) -> str:
        """The model's name as the server (or else the config) tells it."""
        return self.state.model or self.backend.model


class Board:
    """A run as its clients see it. Empty until the first `Hello`, or built ahead of it from the plan.

    `keep`: text and arrivals of so many of a backend's newest iterations stay here (None: of all); figures stay of all.
    """

    def __init__(self, plan: Plan, keep: int | None = None) -> None:
        self.plan = plan
        self.keep = keep
        self.machine = Machine()
        self.run = RunState(total=0)
        self.lanes: dict[str, Lane] = {
            b.name: Lane(b, BackendState(name=b.name, planned=plan.config.iterations), keep)
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
                self.lanes = {s.name: Lane(known[s.name], s, self.keep) for s in event.backends}
                self._add(event.iterations)
                return "all", ""
            case Earlier():
                self._add(event.iterations)
                return "iterations", ""
            case BackendChanged(backend=state):
                lane = self.lanes[state.name]
                fresh = state.attempt != lane.state.attempt
                lane.state = state
                if state.state not in ("running", "warmup"):
                    lane.progress = None
                if fresh:
                    lane.forget()
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
                lane.add(iteration)
                return "iterations", iteration.backend
            case RunChanged(run=run):
                self.run = run
                return "run", ""
            case LogTail():
                self.lanes[event.backend].log_tail = event.lines
                return "sample", event.backend
            case Note():
                self.notes.append(event)
                return "note", event.backend

    def _add(self, iterations: list[Iteration]) -> None:
        for iteration in iterations:
            self.lanes[iteration.backend].add(iteration)
        for lane in self.lanes.values():
            lane.forget()

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
