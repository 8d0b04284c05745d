"""What a client knows of a run: the engine's events folded into one object. Both the monitor and `llmtui run` read it.

No I/O here. `apply` returns what changed, so that a screen can redraw just that.
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
    # At run time they come with the first iteration: the first frame does not wait for them.
    from llmtui.model.accuracy import Record
    from llmtui.stats.checks import Evidence
    from llmtui.stats.estimates import Estimate
    from llmtui.stats.verdict import Verdict

#: So many of a backend's newest samples are compared with those of the others, round by round.
ROUNDS = 400
#: While the run goes on, its verdict waits for so large a share of more iterations: it costs time to work out.
_GROWN = 0.02

Change = Literal["all", "state", "sample", "progress", "iterations", "run", "note"]


class BackendView:
    """One backend as its clients see it. `iterations` holds every attempt, in order of completion.

    `keep`: text and arrivals of so many of the newest iterations stay here (None: of all).
    """

    def __init__(self, backend: Backend, state: BackendState, keep: int | None = None) -> None:
        self.backend = backend
        self.state = state
        self.iterations = Samples(keep)
        self.progress: Progress | None = None
        self.rss_bytes: int | None = None
        self.cpu_cores: float | None = None
        #: The server's last lines as of when they were asked for.
        self.log_tail: list[str] = []
        #: How often the server asked to come back later, in all attempts.
        self.refused = 0
        self._attempts: dict[int, Running] = {}
        self._evidence: dict[int, Evidence] = {}
        self._rounds: dict[int, deque[Iteration]] = {}

    def add(self, iteration: Iteration) -> None:
        """Take in one more iteration."""
        # Hundreds are held at a time: each has its own copy of texts that are all the same.
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
            self._rounds.setdefault(iteration.attempt, deque(maxlen=ROUNDS)).append(_figures(iteration))

    def forget(self) -> None:
        """Drop what was worked out of attempts before the one that the current is compared with."""
        before = self.previous_attempt
        self._attempts = {a: r for a, r in self._attempts.items() if before is None or a >= before}
        self._evidence = {a: e for a, e in self._evidence.items() if a >= self.state.attempt}
        self._rounds = {a: r for a, r in self._rounds.items() if a >= self.state.attempt}

    def attempt(self, number: int) -> Running:
        """The figures of the current attempt or of the one before; empty ones where it has no iteration."""
        return self._attempts.get(number) or Running()

    @property
    def now(self) -> Running:
        """The figures of the attempt that counts."""
        return self.attempt(self.state.attempt)

    @property
    def evidence(self) -> Evidence:
        """What the fairness checks need to know of the attempt that counts."""
        from llmtui.stats.checks import Evidence

        return self._evidence.get(self.state.attempt) or Evidence()

    @property
    def rounds(self) -> list[Iteration]:
        """The newest `ROUNDS` samples of the attempt that counts, with what comparing them takes and nothing else."""
        return list(self._rounds.get(self.state.attempt, ()))

    @property
    def previous_attempt(self) -> int | None:
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
        before = self.previous_attempt
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


def _figures(iteration: Iteration) -> Iteration:
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
    """A run as its clients see it. Empty until the first `Hello`, or built ahead of it from the plan.

    `keep`: text and arrivals of so many of a backend's newest iterations stay here (None: of all); figures stay of all.
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
        """Whether this backend is at rounds that were added to those planned."""
        return state.planned > self.plan.config.iterations

    def apply(self, event: AnyEvent) -> tuple[Change, str]:
        """Take in one event. Returns what changed and of which backend ("" where it is of none)."""
        match event:
            case Hello():
                self.plan = event.plan
                self.machine = event.machine
                self.run = event.run
                self.notes = list(event.notes)
                known = {b.name: b for b in event.plan.backends}
                self.backends = {s.name: BackendView(known[s.name], s, self.keep) for s in event.backends}
                self._add(event.iterations)
                return "all", ""
            case Earlier():
                self._add(event.iterations)
                return "iterations", ""
            case BackendChanged(backend=state):
                backend_view = self.backends[state.name]
                fresh = state.attempt != backend_view.state.attempt
                backend_view.state = state
                if state.state not in ("running", "warmup"):
                    backend_view.progress = None
                if fresh:
                    backend_view.forget()
                return ("iterations" if fresh else "state"), state.name
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
            backend_view.forget()

    def ratios(self, metric: MetricKey = "latency") -> dict[str, float | None]:
        """Median of each backend as a multiple of the best one's (1.0 is the best)."""
        medians = [
            s.median if (s := backend_view.summary.spread(metric)) else None for backend_view in self.backends.values()
        ]
        return dict(zip(self.backends, ratios_to_best(medians, metric), strict=True))

    def estimates(self, metric: MetricKey = "latency") -> dict[str, Estimate]:
        """How well each backend's median and mean are known, where there are samples: 25 ms each, worked out once."""
        from llmtui.stats.estimates import estimate

        for name, backend_view in self.backends.items():
            spread = backend_view.summary.spread(metric)
            if spread is None:
                self._estimates.pop((name, metric), None)
                continue
            stand = (backend_view.state.attempt, spread.n)
            known = self._estimates.get((name, metric))
            if known is None or known[0] != stand:
                found = estimate(backend_view.figures.ordered(metric), spread.mean, spread.stddev)
                self._estimates[name, metric] = (stand, found)
        return {name: self._estimates[name, metric][1] for name in self.backends if (name, metric) in self._estimates}

    def verdict(self, metric: MetricKey = "latency") -> Verdict:
        """What the data say of all pairs, and whether it was a fair race; while the run goes on, of a moment ago."""
        from llmtui.stats.verdict import judge
        from llmtui.store.accuracy_record import newest

        backend_views = list(self.backends.values())
        done = all(backend_view.state.state in RESTING for backend_view in backend_views)
        states = tuple(
            (backend_view.state.name, backend_view.state.attempt, backend_view.state.state if done else "")
            for backend_view in backend_views
        )
        count = sum(backend_view.finished for backend_view in backend_views)
        known = self._verdicts.get(metric)
        if known is not None and known[0] == states and (known[1] <= count <= known[1] * (1 if done else 1 + _GROWN)):
            return known[2]
        if self._record is None or self._record[0] != self.machine:
            self._record = (self.machine, newest(self.machine))
        found = judge(backend_views, self.plan.config, self.machine, metric, record=self._record[1], done=done)
        self._verdicts[metric] = (states, count, found)
        return found

    @property
    def failed(self) -> bool:
        """Whether any backend did not do all that was planned: this becomes exit code 1."""
        return any(
            backend_view.state.state != "done"
            or backend_view.summary.errors
            or backend_view.summary.n < self.plan.config.iterations
            for backend_view in self.backends.values()
        )
