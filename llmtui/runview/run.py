"""A run as a client sees it: the engine's events folded into one object, for the monitor and `llmtui run`.

No I/O here. `apply` returns what changed, so that a screen can redraw only that.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Literal

import msgspec

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
    LogTail,
    Machine,
    Note,
    Plan,
    Progress,
    RunChanged,
    RunState,
    Sampled,
)
from llmtui.runview.samples import Samples
from llmtui.stats.metrics import MetricKey
from llmtui.stats.running import Running
from llmtui.stats.summary import Summary, ratios_to_best

if TYPE_CHECKING:
    # Imported at run time with the first iteration, so that the first frame does not wait for them.
    from llmtui.model.accuracy import Record
    from llmtui.stats.checks import Evidence
    from llmtui.stats.intervals import Estimate
    from llmtui.stats.verdict import Verdict

#: How many of a backend's newest samples are compared with those of the others, round by round.
ROUNDS = 400
#: A running run gets a new verdict after this share of more iterations, because computing one takes time.
_GROWTH = 0.02

Change = Literal["all", "state", "sample", "progress", "iterations", "run", "note"]


class BackendView:
    """One backend as a client sees it. `iterations` contains all attempts, in order of completion.

    `keep` is the number of newest iterations that keep text and arrivals (None: all).
    """

    def __init__(self, backend: Backend, state: BackendState, keep: int | None = None) -> None:
        self.backend = backend
        self.state = state
        self.iterations = Samples(keep)
        self.progress: Progress | None = None
        self.rss_bytes: int | None = None
        self.cpu_cores: float | None = None
        #: The last lines of the server's log, when it was last requested.
        self.log_tail: list[str] = []
        #: How often the server refused with a time to wait, in all attempts.
        self.refused = 0
        self._attempts: dict[int, Running] = {}
        self._evidence: dict[int, Evidence] = {}
        self._rounds: dict[int, deque[Iteration]] = {}

    def add(self, iteration: Iteration) -> None:
        """Add an iteration."""
        # Each decoded iteration has its own copy of these strings, which are always the same few.
        iteration = msgspec.structs.replace(
            iteration,
            run=sys.intern(iteration.run),
            backend=sys.intern(iteration.backend),
            finish_reason=sys.intern(iteration.finish_reason) if iteration.finish_reason is not None else None,
        )
        self.iterations.append(iteration)
        self.refused += iteration.refused
        running = self._attempts.get(iteration.attempt)
        if running is None:
            running = self._attempts[iteration.attempt] = Running()
        running.add(iteration)
        if iteration.attempt < self.state.attempt:
            return
        from llmtui.stats.checks import Evidence

        self._evidence.setdefault(iteration.attempt, Evidence()).add(iteration)
        if iteration.phase == "measured" and iteration.ok:
            self._rounds.setdefault(iteration.attempt, deque(maxlen=ROUNDS)).append(_comparable(iteration))

    def drop_old_attempts(self) -> None:
        """Drop the figures of all attempts but the current one and the one before."""
        previous = self.previous_attempt
        self._attempts = {a: r for a, r in self._attempts.items() if previous is None or a >= previous}
        self._evidence = {a: e for a, e in self._evidence.items() if a >= self.state.attempt}
        self._rounds = {a: r for a, r in self._rounds.items() if a >= self.state.attempt}

    def attempt(self, number: int) -> Running:
        """Return the figures of the current attempt or the one before, empty if it has no iterations."""
        return self._attempts.get(number) or Running()

    @property
    def figures(self) -> Running:
        """The figures of the current attempt."""
        return self.attempt(self.state.attempt)

    @property
    def evidence(self) -> Evidence:
        """What the fairness checks need of the current attempt."""
        from llmtui.stats.checks import Evidence

        return self._evidence.get(self.state.attempt) or Evidence()

    @property
    def rounds(self) -> list[Iteration]:
        """The newest `ROUNDS` samples of the current attempt, with only the fields that a comparison needs."""
        return list(self._rounds.get(self.state.attempt, ()))

    @property
    def previous_attempt(self) -> int | None:
        """The number of the newest earlier attempt with measured iterations, None if there is none."""
        earlier = (a for a, r in self._attempts.items() if a < self.state.attempt and r.measured)
        return max(earlier, default=None)

    @property
    def summary(self) -> Summary:
        """The summary of the current attempt."""
        return self.figures.summary

    @property
    def previous(self) -> Summary | None:
        """The summary of the attempt before, None if nothing was measured."""
        number = self.previous_attempt
        return self.attempt(number).summary if number is not None else None

    @property
    def finished(self) -> int:
        """The number of measured iterations in the current attempt, failures included."""
        return self.figures.measured

    @property
    def current(self) -> list[Iteration]:
        """The iterations of the current attempt. Slow: all of them are decompressed."""
        return [i for i in self.iterations if i.attempt == self.state.attempt]

    @property
    def measured(self) -> list[Iteration]:
        """The measured iterations of the current attempt, failures included. Slow, like `current`."""
        return [i for i in self.current if i.phase == "measured"]

    @property
    def last(self) -> Iteration | None:
        """The newest iteration of the current attempt, warm-up or measured."""
        return self.figures.last

    @property
    def weights(self) -> str:
        """The weights' format as the server reports it, or else the config."""
        return self.state.weights or self.backend.weights

    @property
    def model(self) -> str:
        """The model's name as the server reports it, or else the config."""
        return self.state.model or self.backend.model


def _comparable(iteration: Iteration) -> Iteration:
    """Return a copy with only the fields that a comparison needs."""
    return Iteration(
        run=iteration.run,
        backend=iteration.backend,
        attempt=iteration.attempt,
        iteration=iteration.iteration,
        phase=iteration.phase,
        started_utc=iteration.started_utc,
        latency_s=iteration.latency_s,
        ttft_s=iteration.ttft_s,
        itl_s=iteration.itl_s,
        tpot_s=iteration.tpot_s,
        tokens_per_s=iteration.tokens_per_s,
        prompt_tokens=iteration.prompt_tokens,
        cached_tokens=iteration.cached_tokens,
    )


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
            b.name: BackendView(b, BackendState(name=b.name, planned=plan.config.iterations), keep)
            for b in plan.backends
            if b.enabled
        }
        self.notes: list[Note] = []
        self._verdicts: dict[MetricKey, tuple[tuple[object, ...], int, Verdict]] = {}
        self._record: tuple[Machine, Record | None] | None = None
        self._estimates: dict[tuple[str, MetricKey], tuple[tuple[int, int], Estimate]] = {}

    def is_added(self, state: BackendState) -> bool:
        """Whether this backend is measuring rounds that were added to the plan."""
        return state.planned > self.plan.config.iterations

    def apply(self, event: AnyEvent) -> tuple[Change, str]:
        """Apply one event. Return what changed, and the backend's name ("" if it concerns the run)."""
        match event:
            case Hello():
                self.plan = event.plan
                self.machine = event.machine
                self.run = event.run
                self.notes = list(event.notes)
                configured = {b.name: b for b in event.plan.backends}
                self.backends = {s.name: BackendView(configured[s.name], s, self.keep) for s in event.backends}
                self._add(event.iterations)
                return "all", ""
            case Earlier():
                self._add(event.iterations)
                return "iterations", ""
            case BackendChanged(backend=state):
                backend_view = self.backends[state.name]
                new_attempt = state.attempt != backend_view.state.attempt
                backend_view.state = state
                if state.state not in ("running", "warmup"):
                    backend_view.progress = None
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
            case RunChanged(run=run):
                self.run = run
                return "run", ""
            case LogTail():
                self.backends[event.backend].log_tail = event.lines
                return "sample", event.backend
            case Note():
                self.notes.append(event)
                return "note", event.backend

    def _add(self, iterations: list[Iteration]) -> None:
        for iteration in iterations:
            self.backends[iteration.backend].add(iteration)
        for backend_view in self.backends.values():
            backend_view.drop_old_attempts()

    def ratios(self, metric: MetricKey = "latency") -> dict[str, float | None]:
        """Return each backend's median as a multiple of the best one's (1.0 is the best)."""
        medians = [
            s.median if (s := backend_view.summary.spread(metric)) else None for backend_view in self.backends.values()
        ]
        return dict(zip(self.backends, ratios_to_best(medians, metric), strict=True))

    def estimates(self, metric: MetricKey = "latency") -> dict[str, Estimate]:
        """Return the uncertainty of each backend's median and mean, if it has samples. Cached: each takes 25 ms."""
        from llmtui.stats.intervals import estimate

        for name, backend_view in self.backends.items():
            spread = backend_view.summary.spread(metric)
            if spread is None:
                self._estimates.pop((name, metric), None)
                continue
            version = (backend_view.state.attempt, spread.n)
            cached = self._estimates.get((name, metric))
            if cached is None or cached[0] != version:
                result = estimate(backend_view.figures.ordered(metric), spread.mean, spread.stddev)
                self._estimates[name, metric] = (version, result)
        return {name: self._estimates[name, metric][1] for name in self.backends if (name, metric) in self._estimates}

    def verdict(self, metric: MetricKey = "latency") -> Verdict:
        """Return the verdict on all pairs and the fairness checks; during a run it may be a few iterations old."""
        from llmtui.stats.verdict import judge

        backend_views = list(self.backends.values())
        done = all(backend_view.state.state in RESTING for backend_view in backend_views)
        states = tuple(
            (backend_view.state.name, backend_view.state.attempt, backend_view.state.state if done else "")
            for backend_view in backend_views
        )
        count = sum(backend_view.finished for backend_view in backend_views)
        cached = self._verdicts.get(metric)
        growth = 0.0 if done else _GROWTH
        if cached is not None and cached[0] == states and cached[1] <= count <= cached[1] * (1 + growth):
            return cached[2]
        verdict = judge(backend_views, self.plan.config, self.machine, metric, record=self.own_error(), done=done)
        self._verdicts[metric] = (states, count, verdict)
        return verdict

    def own_error(self) -> Record | None:
        """Return the newest `llmtui accuracy` record of the run's machine, read once per machine; None without one."""
        if self._record is None or self._record[0] != self.machine:
            from llmtui.store.accuracy_record import newest

            self._record = (self.machine, newest(self.machine))
        return self._record[1]

    @property
    def failed(self) -> bool:
        """Whether any backend has errors or missing iterations: the exit code is then 1."""
        return any(
            backend_view.state.state != "done"
            or backend_view.summary.errors
            or backend_view.summary.n < self.plan.config.iterations
            for backend_view in self.backends.values()
        )
