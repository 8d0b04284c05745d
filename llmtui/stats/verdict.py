"""The verdict on a race: its comparisons and checks, in sentences that claim no more than the data show.

If the work differed, a pair is compared by a metric per token, and its latencies are called not comparable.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from llmtui.model import RESTING, Machine, RunConfig, Struct
from llmtui.model.accuracy import Record
from llmtui.stats.board import Board, board
from llmtui.stats.checks import (
    Check,
    Leading,
    Raced,
    checks,
    in_order,
    instead_of,
    leading_metric,
    other_rates,
    own_error,
    spoiled,
)
from llmtui.stats.compare import Comparison, compare, level_of, percent, zeros_in
from llmtui.stats.correction import cannot_decide, rounds_to_decide
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.rounds import Rounds
from llmtui.stats.shape import means_apart
from llmtui.text import sanitize

_NAME = 40
_SENTENCE = 400


class Contender(Raced, Protocol):
    """A backend in the race with its newest samples, such as `llmtui.runview.backend.BackendView`."""

    @property
    def rounds(self) -> Rounds:
        """The samples to compare, of the attempt that counts."""


class Pair(Struct, frozen=True):
    """Two backends and their comparison by a comparable metric: None without such a metric, or without samples.

    `sentence` is plain text. If the requested metric is not comparable, `more` has comparisons by other rates.
    """

    one: str
    two: str
    leading: Leading
    comparison: Comparison | None
    sentence: str
    more: list[Comparison] = []


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict at one moment of a run. All texts are plain text.

    `board` has the ratios to the best backend, which all places show. `samples` are those that were compared; `rounds`
    is the number of newest samples of a backend that were compared, 0 if that was all of them. `planned` is the number
    of rounds, and `rivals` the number of backends that have samples or may get some. `done`: no more samples follow.
    """

    metric: MetricKey
    leading: Leading
    board: Board
    checks: list[Check]
    level: float
    rounds: int
    planned: int
    rivals: int
    done: bool
    samples: Mapping[str, Rounds] = dataclasses.field(repr=False)

    def comparable(self, one: str, two: str) -> bool:
        """Whether these two are comparable by the requested metric."""
        return spoiled(self.checks, self.metric, one, two) is None

    def unlike(self, ratios: Mapping[str, float | None]) -> set[str]:
        """The backends whose work differed from the best one's, and the best one itself if that is all others.

        `ratios` are those of the medians of every backend to the best, by this metric.
        """
        present = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        if not present:
            return set()
        best = min(present, key=lambda name: present[name])
        names = set(self.samples) if len(self.samples) > 1 else set()
        others = {name for name in names - {best} if not self.comparable(best, name)}
        return others | {best} if others and present.keys() <= others | {best} else others

    @functools.cached_property
    def line(self) -> str:
        """The verdict on one line; "" for fewer than two backends with samples."""
        return _line(self, spans=True)

    @functools.cached_property
    def brief(self) -> str:
        """The verdict on one line without intervals."""
        return _line(self, spans=False)

    @functools.cached_property
    def pairs(self) -> list[Pair]:
        """All pairs of backends. Those with the best are as on the board; the others are corrected for all pairs."""
        return [self._pair(one, two) for one, two in itertools.combinations(self.samples, 2)]

    def _pair(self, one: str, two: str) -> Pair:
        leading = leading_metric(self.checks, self.metric, one, two)
        used = [leading.metric] if leading.metric is not None else []
        compared: dict[MetricKey, Comparison] = {}
        for each in [*used, *other_rates(self.checks, leading, one, two)]:
            if (of_both := self._compared(each, one, two)) is not None:
                compared[each] = of_both
        comparison = compared.pop(leading.metric, None) if leading.metric is not None else None
        sentence = _sentence(one, two, leading, comparison, self.samples)
        return Pair(one, two, leading, comparison, sentence, list(compared.values()))

    def _compared(self, metric: MetricKey, one: str, two: str) -> Comparison | None:
        if metric == self.board.metric and self.board.best in (one, two):
            return next((c for c in self.board.comparisons if {c.slower, c.faster} == {one, two}), None)
        if metric not in self._by:
            # All pairs are compared, as the correction is for all of them.
            compared = compare(self.samples, metric, level=self.level)
            self._by[metric] = {frozenset((c.slower, c.faster)): c for c in compared}
        return self._by[metric].get(frozenset((one, two)))

    @functools.cached_property
    def _by(self) -> dict[MetricKey, dict[frozenset[str], Comparison]]:
        return {}

    @property
    def cost(self) -> int:
        """The number of samples in all pairs, which takes some 5 ms per thousand to compare."""
        return math.comb(len(self.samples), 2) * max(map(len, self.samples.values()), default=0)

    @property
    def comparisons(self) -> list[Comparison]:
        """The comparisons of all pairs that have one."""
        return [pair.comparison for pair in self.pairs if pair.comparison is not None]

    @property
    def fastest(self) -> str:
        """The backend that is shown to be faster than every one it was compared with; "" if there is none."""
        return "" if self.board.instead else self.board.fastest

    @property
    def used(self) -> MetricKey:
        """The metric that decides: the requested one, or one per token if that is not comparable."""
        return self.board.metric or self.metric

    @property
    def with_best(self) -> list[Pair]:
        """The pairs with the best backend, in the order of the board; without a best backend, all pairs."""
        best = self.board.best
        names = list(self.samples)
        others = [standing.name for standing in self.board.standings if standing.name != best]
        return [self._pair(*sorted((best, name), key=names.index)) for name in others] if best else self.pairs

    @property
    def among_others(self) -> list[Pair]:
        """The pairs without the best backend."""
        best = self.board.best
        return [pair for pair in self.pairs if best not in (pair.one, pair.two)] if best else []

    @functools.cached_property
    def shapes(self) -> list[str]:
        """One for each comparison with the best in which the means differ otherwise than the typical values."""
        return [text for c in self.board.comparisons if (text := means_apart(c, self.samples))]

    @property
    def sentences(self) -> list[str]:
        """One for each comparison with the best, and a note if not all rounds were compared."""
        sentences = [*sentences_on(self.with_best), *self.shapes]
        if sentences and self.rounds:
            sentences.append(f"only the newest {self.rounds} rounds are compared")
        return sentences


def sentences_on(pairs: Sequence[Pair]) -> list[str]:
    """One for each comparison of these pairs."""
    return [text for pair in pairs for text in (pair.sentence, *map(_named, pair.more))]


def judge(
    contenders: Sequence[Contender],
    config: RunConfig,
    machine: Machine,
    metric: MetricKey = "latency",
    *,
    record: Record | None = None,
    done: bool = True,
) -> Verdict:
    """Compare these backends by `metric`. `record` is this machine's accuracy, for own-error."""
    samples = {contender.backend.name: newest for contender in contenders if (newest := contender.rounds)}
    level = level_of(((o.state.state, o.evidence.measured) for o in contenders), config.iterations, done=done)
    findings = checks(contenders, config, machine)

    def comparable(by: MetricKey, one: str, two: str) -> bool:
        return spoiled(findings, by, one, two) is None

    placed = board(samples, metric, instead_of(metric), comparable, level)
    capped = max((len(s) for s in samples.values()), default=0)
    return Verdict(
        metric=metric,
        leading=leading_metric(findings, metric),
        board=placed,
        checks=in_order([*findings, *own_error(contenders, placed.comparisons, record)]),
        level=level,
        rounds=capped if any(o.evidence.good > len(samples.get(o.backend.name, ())) for o in contenders) else 0,
        planned=config.iterations,
        rivals=sum(o.backend.name in samples or o.state.state not in RESTING for o in contenders),
        done=done,
        samples=samples,
    )


def _sentence(
    one: str, two: str, leading: Leading, comparison: Comparison | None, samples: Mapping[str, Rounds]
) -> str:
    names = f"{sanitize(one, _NAME)} and {sanitize(two, _NAME)}"
    before = ""
    if leading.instead_of is not None:
        # The evidence is among the checks.
        reason = leading.reason.partition(":")[0]
        before = f"{names}: not comparable by {METRICS[leading.instead_of].title} ({reason})"
        if comparison is None:
            return sanitize(before, _SENTENCE)
        before += "; "
    if comparison is None:
        if leading.metric is None:
            return f"{names}: no metric to compare by"
        why = [zeros_in(sanitize(n, _NAME), k) for n in (one, two) if (k := samples[n].zeros(leading.metric))]
        return f"{names}: nothing to compare by {METRICS[leading.metric].title}" + (
            f": {', '.join(why)}" if why else ""
        )
    if not before:
        return _named(comparison)
    return sanitize(before + _sanitized(comparison).outcome, _SENTENCE)


def _named(comparison: Comparison) -> str:
    """Its sentence, as plain text."""
    return sanitize(_sanitized(comparison).sentence, _SENTENCE)


def _sanitized(comparison: Comparison) -> Comparison:
    names = {"slower": sanitize(comparison.slower, _NAME), "faster": sanitize(comparison.faster, _NAME)}
    return msgspec.structs.replace(comparison, **names)


def _line(verdict: Verdict, *, spans: bool) -> str:
    """The best backend against the others."""
    placed, asked = verdict.board, METRICS[verdict.metric]
    if len(verdict.samples) < 2:
        return ""
    start = ""
    if placed.instead:
        start = f"not comparable by {asked.title}"
        start += f": {verdict.leading.reason}" if spans or placed.metric is None else ""
    if placed.metric is None:
        return start
    start += "; " if start else ""
    if not placed.comparisons:
        return f"{start}nothing to compare by {METRICS[placed.metric].title}"
    if placed.beaten:
        return f"{start}no clear winner: every backend is slower than another one"
    by = METRICS[placed.metric].by
    empty, unlike = _left_out(placed)
    no_result = [f"no result of {', '.join(empty)}"] if empty else []
    shown = [c for c in placed.comparisons if c.decided]
    if not shown:
        apart = [f"not comparable by {METRICS[placed.metric].title}: {', '.join(unlike)}"] if unlike else []
        return start + "; ".join([_undecided(verdict, by), *no_result, *apart])
    parts = []
    for number, c in enumerate(shown):
        at = f"{percent(verdict.level)}: " if number == 0 else ""
        _, low, high = c.figures
        span = f" ({at}{low} to {high})" if spans else ""
        parts.append(_multiple(c, first=number == 0) + span)
    fastest = len(shown) == len(verdict.samples) - 1
    far = "" if verdict.done else " so far"
    head = f"{sanitize(placed.best, _NAME)} is {'fastest' if fastest else 'ahead'}{by}{far}"
    apart = [f"not comparable to {', '.join(unlike)}"] if unlike else []
    return f"{start}{head}: {', '.join([*parts, *_open(placed), *no_result, *apart])}"


def _multiple(comparison: Comparison, *, first: bool) -> str:
    """ "b takes 1.31x as long" for the first backend, "c 2.40x" for the next; of a rate "1.31x as many as b"."""
    name, ratio = sanitize(comparison.slower, _NAME), comparison.figures[0]
    if METRICS[comparison.metric].rate:
        return f"{ratio}x as many as {name}"
    return f"{name} takes {ratio}x as long" if first else f"{name} {ratio}x"


def _open(placed: Board) -> list[str]:
    """Phrases on the backends that the best one is not shown to be faster than."""
    tied: list[str] = []
    open_: list[str] = []
    for c in placed.comparisons:
        if not c.decided:
            name = sanitize(c.slower if c.faster == placed.best else c.faster, _NAME)
            (tied if c.low <= 1 and c.could_show is not None else open_).append(name)
    parts = [f"no clear difference to {', '.join(tied)}"] if tied else []
    return parts + ([f"no verdict on {', '.join(open_)}"] if open_ else [])


def _left_out(placed: Board) -> tuple[list[str], list[str]]:
    """The names of backends that have no ratio to the best: for lack of values, and because the work differed."""
    without = [standing for standing in placed.standings if standing.ratio is None]
    empty = [sanitize(standing.name, _NAME) for standing in without if standing.alike]
    return empty, [sanitize(standing.name, _NAME) for standing in without if not standing.alike]


def _undecided(verdict: Verdict, by: str) -> str:
    compared = verdict.board.comparisons
    yet = "" if verdict.done else " yet"
    least = min(compared, key=lambda c: (c.bounded, c.could_show is not None, c.n))
    if not least.bounded or least.could_show is None:
        return _too_few(verdict, least, by)
    if any(c.low > 1 for c in compared):
        few = min(compared, key=lambda c: c.n)
        return f"no verdict{by}{yet}: {few.count} are too few{few.among}"
    most = max(compared, key=lambda c: c.could_show or 0.0)
    return f"no clear difference{by}{yet} ({most.limit})"


def _too_few(verdict: Verdict, least: Comparison, by: str) -> str:
    """How many rounds are needed, or that the planned ones are too few."""
    if not least.paired:
        return f"no verdict{by}{'' if verdict.done else ' yet'}: {least.limit}"
    if verdict.done:
        return f"no verdict{by}: {least.limit}; {rounds_to_decide(verdict.rivals, verdict.level)} can decide"
    return not_yet(verdict.planned, verdict.rivals, verdict.level, by)


def not_yet(planned: int, backends: int, level: float, by: str = "") -> str:
    """ "no verdict yet: needs 8 rounds", or that the planned ones cannot decide; "" for fewer than two backends."""
    if backends < 2:
        return ""
    if never := cannot_decide(planned, backends):
        return never
    return f"no verdict{by} yet: needs {min(planned, rounds_to_decide(backends, level))} rounds"
