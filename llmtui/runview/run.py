"""A run as a client sees it: the engine's events folded into one object, for the monitor and `llmtui run`.

No I/O here. `apply` returns what changed, so that a screen can redraw only that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from llmtui.model import (
    RESTING,
    AnyEvent,
    Backend,
    BackendChanged,
    BackendState,
    Earlier,
    Hello,
    Iteration,
    IterationDone,
    Level,
    LogTail,
    Machine,
    Note,
    Plan,
    Progress,
    RequestBatch,
    RunChanged,
    RunState,
    Sampled,
    Tick,
    Turn,
    TurnDone,
)
from llmtui.runview.backend import BackendView
from llmtui.runview.figures import SamplesView
from llmtui.runview.turn_course import TurnCourse
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.summary import ratios_to

if TYPE_CHECKING:
    # Imported at run time with the first iteration, so that the first frame does not wait for them.
    from llmtui.model.accuracy import Record
    from llmtui.runview.against import Against
    from llmtui.runview.earlier import EarlierAttempt, EarlierAttempts
    from llmtui.stats.at_load import AtLoad
    from llmtui.stats.intervals import Estimate
    from llmtui.stats.verdict import Verdict

#: A running run gets a new verdict after this share of more iterations, because computing one takes time; after a
#: larger share from this number of iterations of a backend on.
_GROWTH = 0.02
_MANY = 2_000

Change = Literal["all", "state", "sample", "progress", "iterations", "run", "note", "requests"]


def _none(turn: Turn) -> Iterable[list[Iteration]]:
    return ()


def _still_holds(judged: int, count: int, views: Sequence[SamplesView], done: bool) -> bool:
    """Whether a verdict on `judged` of now `count` samples is new enough.

    Backends are compared by the rounds that all of them have had, so under a load it can wait for the end of a round.
    """
    new = count - judged
    if done or new <= 0:
        return new == 0
    growth = _GROWTH * max(1.0, max(view.finished for view in views) / _MANY)
    counts = [view.finished for view in views if view.state.state not in RESTING]
    # The first turn of a backend at this level appears at once.
    in_round = views[0].level > 0 and new < len(counts) and 0 < min(counts) < max(counts)
    return in_round or new <= judged * growth


class RunView:
    """A run as a client sees it. Until the first `Hello` it has the plan's backends and no iterations.

    `keep` is the number of newest iterations of each backend that keep text and arrivals (None: all). Figures are kept
    for all.
    """

    def __init__(self, plan: Plan, keep: int | None = None) -> None:
        self.plan = plan
        self.keep = keep
        self.machine = Machine()
        self.run = RunState(total=0)
        self.backends: dict[str, BackendView] = {
            b.name: self._viewed(b, BackendState(name=b.name, planned=plan.config.iterations))
            for b in plan.backends
            if b.enabled
        }
        self.notes: list[Note] = []
        #: The newest turn of a load whose ticks came, None before the first.
        self.course: TurnCourse | None = None
        #: How many iterations and turns from before this client connected it has, and will have. None if it has all,
        #: and all events since then.
        self.backlog: tuple[int, int] | None = None
        #: Returns the requests of a turn, some at a time, from the history. Exports need it for a load.
        self.requests: Callable[[Turn], Iterable[list[Iteration]]] = _none
        #: An earlier run whose medians stand beside those of this one.
        self.against: Against | None = None
        #: Whether the engine has gone, so that no more iterations follow, whatever the backends' states are.
        self.ended = False
        self._verdicts: dict[tuple[MetricKey, int], tuple[tuple[object, ...], int, Verdict]] = {}
        self._record: tuple[Machine, Record | None] | None = None
        self._earlier: EarlierAttempts | None = None

    def _viewed(self, backend: Backend, state: BackendState) -> BackendView:
        config = self.plan.config
        head = self.plan.head_level
        launches = config.launches_of(backend, config.iterations)
        levels = [level.number for level in self.plan.levels]
        return BackendView(backend, state, self.keep, launches, levels, head.number if head is not None else 0)

    def is_added(self, state: BackendState) -> bool:
        """Whether this backend is measuring rounds that were added to the plan."""
        return state.planned > self.plan.config.iterations

    def apply(self, event: AnyEvent) -> tuple[Change, str]:
        """Apply one event. Return what changed, and the backend's name ("" if it concerns the run)."""
        match event:
            case Hello():
                self.plan, self.machine, self.run = event.plan, event.machine, event.run
                self.ended, self.course, self.notes = False, None, list(event.notes)
                if event.skipped:
                    self.backends = {s.name: self.backends[s.name].go_on(s) for s in event.backends}
                else:
                    configured = {b.name: b for b in event.plan.backends}
                    self.backends = {s.name: self._viewed(configured[s.name], s) for s in event.backends}
                    self._earlier = None
                count = self._add(event.iterations, event.turns)
                self.backlog = (count, count + event.earlier) if event.earlier else None
                return "all", ""
            case Earlier():
                count = self._add(event.iterations, event.turns)
                if self.backlog is not None:
                    self.backlog = None if event.last else (self.backlog[0] + count, self.backlog[1])
                return "iterations", ""
            case BackendChanged(backend=state):
                backend_view = self.backends[state.name]
                new_attempt = state.attempt != backend_view.state.attempt
                backend_view.state = state
                if state.state not in ("running", "warmup"):
                    backend_view.progress = backend_view.tick = None
                    self._end_course(state.name)
                if new_attempt:
                    backend_view.drop_old_attempts()
                return ("iterations" if new_attempt else "state"), state.name
            case Sampled():
                backend_view = self.backends[event.backend]
                backend_view.rss_bytes, backend_view.cpu_cores = event.rss_bytes, event.cpu_cores
                return "sample", event.backend
            case Progress():
                self.backends[event.backend].progress = event
                return "progress", event.backend
            case IterationDone(iteration=iteration):
                backend_view = self.backends[iteration.backend]
                backend_view.progress = None
                backend_view.add(iteration)
                return "iterations", iteration.backend
            case Tick():
                self.backends[event.backend].tick = event
                if self.course is None or not self.course.takes(event):
                    self.course = TurnCourse(event)
                else:
                    self.course.add(event)
                return "progress", event.backend
            case TurnDone(turn=turn):
                self.backends[turn.backend].add_turn(turn)
                self._end_course(turn.backend)
                return "iterations", turn.backend
            case RequestBatch():
                # For the one who asked; nothing of it stays here.
                return "requests", event.backend
            case RunChanged(run=run):
                self.run = run
                return "run", ""
            case LogTail():
                self.backends[event.backend].log_tail = event.lines
                return "sample", event.backend
            case Note():
                self.notes.append(event)
                return "note", event.backend

    def _add(self, iterations: list[Iteration], turns: list[Turn]) -> int:
        for iteration in iterations:
            self.backends[iteration.backend].add(iteration)
        for turn in turns:
            self.backends[turn.backend].add_turn(turn)
        for backend_view in self.backends.values():
            backend_view.drop_old_attempts()
        return len(iterations) + len(turns)

    def _end_course(self, name: str) -> None:
        if self.course is not None and self.course.backend == name:
            self.course.end()

    def ratios(self, metric: MetricKey = "latency", level: int = 0) -> dict[str, float | None]:
        """Return each backend's median as a multiple of that of the `reference`, which is 1.0."""
        medians = self._medians(metric, level)
        ratios = ratios_to(medians.get(self.reference(metric, level)), list(medians.values()), metric)
        return dict(zip(medians, ratios, strict=True))

    def reference(self, metric: MetricKey = "latency", level: int = 0) -> str:
        """Return the backend that ratios of medians are to: the best of those that most others are comparable to.

        "" without samples.
        """
        present = {name: median for name, median in self._medians(metric, level).items() if median}
        ordered = sorted(present, key=lambda name: present[name], reverse=METRICS[metric].higher_is_better)
        return self.verdict(metric, level).reference(ordered) if ordered else ""

    def _medians(self, metric: MetricKey, level: int) -> dict[str, float | None]:
        views = self.at(level).items()
        return {name: s.median if (s := view.summary.spread(metric)) else None for name, view in views}

    def earlier_medians(self, metric: MetricKey = "latency") -> dict[str, float]:
        """Return the medians of the earlier run (s or tokens/s) of the backends that are comparable by `metric`."""
        return self.against.medians(self, metric) if self.against is not None else {}

    def estimates(self, metric: MetricKey = "latency", level: int = 0) -> dict[str, Estimate]:
        """Return the uncertainty of each backend's median, mean and bad end, if it has samples."""
        from llmtui.stats.intervals import estimate

        samples = {name: backend_view.figures.sample(metric) for name, backend_view in self.at(level).items()}
        return {name: estimate(sample, metric) for name, sample in samples.items() if sample}

    def at(self, level: int) -> dict[str, SamplesView]:
        """Return the backends with their samples at a level, by name; 0 is a race, or the level that counts."""
        return {name: view.at(level) if level else view for name, view in self.backends.items()}

    @property
    def levels_shown(self) -> list[Level]:
        """The levels of the load in the order of the plan; of a search the first one and those that had turns."""
        levels = self.plan.levels
        if not self.plan.load.search:
            return levels
        had = {1}.union(*(view.levels_with_turns for view in self.backends.values()))
        return [level for level in levels if level.number in had]

    def load_at(self, level: int = 0) -> AtLoad | None:
        """Return this level of the load, by default the one that counts; None for a race."""
        head = self.plan.head_level
        if head is None:
            return None
        from llmtui.stats.at_load import AtLoad

        number = level or head.number
        here = next(each for each in self.plan.levels if each.number == number)
        counts = number == head.number and not self.plan.load.search
        return AtLoad(here, self.plan.load, counts=counts, objectives=bool(self.plan.slo.limits))

    def verdict(self, metric: MetricKey | None = None, level: int = 0) -> Verdict:
        """Return the verdict on all pairs and the fairness checks; during a run it may be a few iterations old.

        Without a `metric` it is by the one that counts. Of a load it is at a `level`, by default the one that counts.
        """
        from llmtui.stats.verdict import judge

        metric = metric or self.plan.config.metric
        backend_views = list(self.at(level).values()) if level else list[SamplesView](self.backends.values())
        done = self.ended or all(backend_view.state.state in RESTING for backend_view in backend_views)
        states = tuple(
            (backend_view.state.name, backend_view.state.attempt, backend_view.state.state if done else "")
            for backend_view in backend_views
        )
        count = sum(backend_view.finished for backend_view in backend_views)
        cached = self._verdicts.get((metric, level))
        if cached is not None and cached[0] == states and _still_holds(cached[1], count, backend_views, done):
            return cached[2]
        at = self.load_at(level)
        verdict = judge(
            backend_views,
            self.plan.config_at(at.level if at is not None else None),
            self.machine,
            metric,
            record=self.own_error(),
            prompts=self.plan.prompts,
            spreads=self.plan.spreads,
            done=done,
            at=at,
            origin=self.plan.imported,
        )
        self._verdicts[metric, level] = (states, count, verdict)
        return verdict

    def earlier_attempts(self, metric: MetricKey | None = None) -> list[EarlierAttempt]:
        """Return the verdicts of the earlier attempts, the oldest first, by `metric` or the one that counts.

        Each is computed once, when it is over.
        """
        if all(backend_view.state.attempt == 1 for backend_view in self.backends.values()):
            return []
        from llmtui.runview.earlier import EarlierAttempts

        self._earlier = self._earlier or EarlierAttempts(self)
        return self._earlier.by(metric or self.plan.config.metric)

    def own_error(self) -> Record | None:
        """Return the newest `llmtui accuracy` record of the run's machine, read once per machine.

        None without one, until the engine has reported its machine, and of a load that the workers of a cluster send:
        this machine then measures nothing, and their turns have the own errors of the workers.
        """
        if self.machine == Machine() or (self.plan.workers.scheduler and self.plan.levels):
            return None
        if self._record is None or self._record[0] != self.machine:
            from llmtui.store.accuracy_record import newest

            self._record = (self.machine, newest(self.machine))
        return self._record[1]

    @property
    def failed(self) -> bool:
        """Whether any backend has errors or missing iterations, at any level of a load: the exit code is then 1."""
        if self.plan.load.search:
            # A level at which a server fails ends its search, and is a result.
            return any(view.state.state != "done" for view in self.backends.values())
        every = [view for level in self.plan.levels for view in self.at(level.number).values()]
        return any(
            view.state.state != "done" or view.summary.errors or view.summary.n < self.plan.config.iterations
            for view in every or self.backends.values()
        )


def without_requests(run_view: RunView) -> RunView:
    """Return a view that can be pickled for another process. It shares what grows, and finds no requests of turns."""
    copied = copy.copy(run_view)
    copied.requests, copied._earlier = _none, None
    return copied
