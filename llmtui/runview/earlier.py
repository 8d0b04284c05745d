"""What earlier attempts of a run have shown. A rerun takes nothing away: every result that was seen stays in sight.

Attempts are numbered through the whole run: at attempt k, the newest attempt up to k of each backend counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from llmtui.model import RESTING, Backend, BackendState, Struct
from llmtui.runview.backend import BackendView
from llmtui.stats.checks import Evidence
from llmtui.stats.compare import percent
from llmtui.stats.metrics import MetricKey
from llmtui.stats.rounds import Rounds
from llmtui.stats.verdict import judge
from llmtui.text import sanitize

if TYPE_CHECKING:
    from llmtui.runview.run import RunView

_NAME = 40
#: How many names of backends a title has.
_MOST_NAMES = 3


class EarlierAttempt(Struct, frozen=True):
    """The verdict at the end of an earlier attempt, in plain text: `line`, and `brief` without intervals.

    `backends` are those that were compared, each with the attempt that counted. `in_turns`: some pair took turns, so
    that `level` is the one of its interval.
    """

    attempt: int
    backends: dict[str, int]
    level: float
    in_turns: bool
    fastest: str
    line: str
    brief: str = ""

    @property
    def title(self) -> str:
        """ "attempt 2", with the backends that were measured in it if that is not all of them."""
        names = [sanitize(name, _NAME) for name, attempt in self.backends.items() if attempt == self.attempt]
        if len(names) == len(self.backends):
            return f"attempt {self.attempt}"
        shown = f"{len(names)} backends" if len(names) > _MOST_NAMES else " and ".join(names)
        return f"attempt {self.attempt} of {shown}"

    @property
    def sentence(self) -> str:
        """The verdict with its title and level: "attempt 1, judged at 95%: a is fastest: ..."."""
        return f"{self.title}{f', judged at {percent(self.level)}' if self.in_turns else ''}: {self.line}"

    @property
    def short(self) -> str:
        """The same without level and intervals."""
        return f"{self.title}: {self.brief}"


@dataclasses.dataclass(frozen=True)
class _Then:
    """A backend as it was at the end of an attempt (llmtui.stats.verdict.Contender)."""

    backend: Backend
    state: BackendState
    evidence: Evidence
    rounds: Rounds

    @property
    def latencies(self) -> list[float]:
        return sorted(value for value in self.rounds.values("latency"))


class EarlierAttempts:
    """The verdicts of the earlier attempts of a run, each computed once when it is over."""

    def __init__(self, run_view: RunView) -> None:
        self._run_view = run_view
        self._judged: dict[tuple[MetricKey, int], tuple[tuple[object, ...], EarlierAttempt | None]] = {}

    def by(self, metric: MetricKey) -> list[EarlierAttempt]:
        """Return those attempts with something to compare, the oldest first; only the newest are remembered.

        They follow from the iterations of all attempts, so every client of a run has the same ones, and so has its
        history.
        """
        views = self._run_view.backends
        newest = max((view.state.attempt for view in views.values()), default=1)
        forgotten = max((view.forgotten for view in views.values()), default=0)
        numbers = {number for view in views.values() for number in view.sampled_attempts}
        self._judged = {key: judged for key, judged in self._judged.items() if key[1] > forgotten}
        found = []
        for number in sorted(number for number in numbers if forgotten < number < newest):
            counted = _counted(views, number)
            if not all(_over(views[name], attempt) for name, attempt in counted.items()):
                continue
            version = tuple((*pair, views[pair[0]].evidence_of(pair[1]).measured) for pair in counted.items())
            if (cached := self._judged.get((metric, number))) is None or cached[0] != version:
                cached = self._judged[metric, number] = (version, self._judge(number, counted, metric))
            if cached[1] is not None:
                found.append(cached[1])
        return found

    def _judge(self, number: int, counted: Mapping[str, int], metric: MetricKey) -> EarlierAttempt | None:
        run_view = self._run_view
        config = run_view.plan.config
        contenders = [_then(run_view.backends[name], attempt, config.iterations) for name, attempt in counted.items()]
        record, at = run_view.own_error(), run_view.load_at()
        verdict = judge(
            contenders, config, run_view.machine, metric, record=record, at=at, prompts=run_view.plan.prompts
        )
        if not verdict.line:
            return None
        return EarlierAttempt(
            attempt=number,
            backends=dict(counted),
            level=verdict.level,
            in_turns=any(c.paired for c in verdict.board.comparisons),
            fastest=verdict.fastest,
            line=verdict.line,
            brief=verdict.brief,
        )


def _counted(views: Mapping[str, BackendView], number: int) -> dict[str, int]:
    """The newest attempt with samples up to `number` of each backend that has one."""
    upto = {name: [a for a in view.sampled_attempts if a <= number] for name, view in views.items()}
    return {name: max(attempts) for name, attempts in upto.items() if attempts}


def _over(view: BackendView, attempt: int) -> bool:
    return attempt < view.state.attempt or view.state.state in RESTING


def _then(view: BackendView, attempt: int, planned: int) -> _Then:
    """The history has the state of the newest attempt alone, so that of an earlier one follows from its iterations."""
    evidence, state = view.evidence_of(attempt), view.state
    if attempt < state.attempt:
        failed = evidence.last_failed
        ended = "failed" if failed is not None and failed.iteration >= evidence.measured else "stopped"
        state = msgspec.structs.replace(
            state,
            attempt=attempt,
            state="done" if evidence.measured >= planned else ended,
            planned=max(planned, evidence.measured),
            failure=None,
            log_tail=[],
        )
    return _Then(view.backend, state, evidence, view.rounds_of(attempt))
