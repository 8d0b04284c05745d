"""Extra rounds: iterations added after those planned, until the intervals between backends are narrow enough."""

from __future__ import annotations

from llmtui.engine.backend_run import BackendRun, jobs_done
from llmtui.engine.run import Run
from llmtui.engine.schedule import with_warmups
from llmtui.model import More, Note
from llmtui.stats.board import narrow
from llmtui.stats.levels import MORE_TIMES
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.rounds import Rounds


class ExtraRounds:
    """Adds one round at a time as long as the last `More` asks for it; with several launches a whole launch of them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._goal: More | None = None

    def request(self, goal: More) -> None:
        """Accept a goal, or report why no rounds are added for it."""
        if self._run.plan.load.search:
            text = "a search gets no more rounds: start a new one with more of them, or list the levels"
            self._run.add_note(Note(text=text))
        elif self._run.config.order == "sequential":
            self._run.add_note(Note(text='rounds can be added only if backends take turns: set order = "shuffled"'))
        elif reason := self._reason_to_stop(goal):
            self._run.add_note(Note(text=f"no rounds are added: {reason}"))
        else:
            self._run.emit(Note(text=f"adding rounds until {self._describe(goal)}"))
            self._goal = goal
            self._run.reopen()

    def add_round(self) -> bool:
        """Queue more iterations for every finished backend; return False if none are wanted."""
        if self._goal is None:
            return False
        if self._reason_to_stop(self._goal):
            self._goal = None
            return False
        for backend_run in self._finished():
            planned = backend_run.state.planned
            numbers = self._next_numbers(planned)
            done = jobs_done(backend_run.state, self._run.iterations, self._run.turns)
            launch_of, levels_of = backend_run.launch_of, backend_run.levels_of
            added = with_warmups(numbers, self._run.config.warmup, done, launch_of, launch_of(planned), levels_of)
            backend_run.queue.extend(job for job in added if job.level not in backend_run.left_out)
            self._run.set_state(backend_run, state="waiting", planned=numbers[-1])
        return True

    def _samples(self, backend_run: BackendRun) -> Rounds:
        launches = self._run.config.launches_of(backend_run.backend, backend_run.state.planned)
        return Rounds((i for i in self._run.measured(backend_run) if i.ok), launches=launches)

    def _next_numbers(self, planned: int) -> list[int]:
        """Return the numbers of the rounds that follow `planned` rounds: one, or the rest of a launch."""
        config, numbers = self._run.config, [planned + 1]
        while config.launches > 1 and config.launch_of(numbers[-1] + 1) == config.launch_of(planned + 1):
            numbers.append(numbers[-1] + 1)
        return numbers

    def _finished(self) -> list[BackendRun]:
        head = self._run.plan.head_level
        done = (backend_run for backend_run in self._run.backends if backend_run.state.state == "done")
        return [each for each in done if head is None or head.number not in each.left_out]

    def _reason_to_stop(self, goal: More) -> str:
        """Why no round is added for `goal`; "" if one is."""
        finished = self._finished()
        if any(backend_run.queue for backend_run in self._run.backends):
            return ""
        if len(finished) < 2:
            return "fewer than two backends finished all iterations"
        most = goal.most or MORE_TIMES * self._run.config.iterations
        if all(backend_run.state.planned >= most for backend_run in finished):
            return f"every backend has its {most} {'rounds' if self._run.plan.levels else 'iterations'}"
        samples = {backend_run.name: self._samples(backend_run) for backend_run in finished}
        if narrow(samples, goal.within, _metric(goal)):
            return f"{self._describe(goal)} already; a smaller difference may stay undecided"
        return ""

    def _describe(self, goal: More) -> str:
        head = self._run.plan.head_level
        at = f" at {head.title}" if head is not None else ""
        return f"every interval of {METRICS[_metric(goal)].title}{at} is within {100 * goal.within:g}%"


def _metric(goal: More) -> MetricKey:
    return goal.metric if goal.metric in METRICS else "latency"
