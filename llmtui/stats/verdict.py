"""The verdict on a race: its comparisons and checks, in sentences that claim no more than the data show.

One metric counts: the one that the config names, fixed before the race. If the work differed, a metric per token counts
in its place, and the latencies are called not comparable. All other metrics are judged together, at a stricter level,
and none of them gives a star.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from llmtui.model import NO_PROMPTS, RESTING, Imported, Machine, PairSpread, Prompts, RunConfig, Struct, Turn
from llmtui.model.accuracy import Record
from llmtui.stats.at_load import AtLoad
from llmtui.stats.board import Board, board, deciding
from llmtui.stats.checks import (
    Check,
    Leading,
    Raced,
    checks,
    in_order,
    instead_of,
    leading_metric,
    one_launch,
    other_rates,
    own_error,
    spoiled,
)
from llmtui.stats.checks.base import VOID_SHARE
from llmtui.stats.compare import LEAST_SHARE, Basis, Comparison, compare, jointly, zeros_in
from llmtui.stats.levels import level_of, level_of_others
from llmtui.stats.load_words import load_sentences
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.rounds import Rounds
from llmtui.stats.shape import means_apart
from llmtui.stats.tails import QUANTITIES, Tail, tails_of
from llmtui.stats.verdict_line import verdict_line
from llmtui.stats.voided import voided
from llmtui.text import sanitize

_NAME = 40
_SENTENCE = 400
#: The checks that withhold the star, and why, in the words of the verdict's line. "own-error" does so where llmtui's
#: own error was measured, "loaded-inside" where many samples were left out: if a server loads its model again because
#: another one was slow, the rounds in which that one was fast remain. "survivors" does so as a server that refuses
#: requests has less to do.
WITHHOLDING: dict[str, str] = {
    "sequential-order": "sequential order",
    "not-interleaved": "not in turns",
    "own-error": "below llmtui's own error",
    "loaded-inside": "loads left out",
    "one-launch": "one launch of each",
    "survivors": "requests without an answer",
}
_AS_WARNING = frozenset({"own-error", "loaded-inside"})


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

    `asked` is the metric that was to count, and `counting` the one that does in this race: one per token if the work
    differed, None if no two backends are comparable by either. `counts`: this verdict is by one of the two.
    `level` is that of this verdict's metric, stricter if that is another one; `attempt` the highest of those compared.
    `withheld` says in a few words why the best backend has no star although its lead is shown, or would be. `early` are
    the backends whose answers often ended before their token budget. `at` is the load that it is about, None for a
    race; at another level than the one that counts, no metric counts. `turns` are those that were compared there.
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
    asked: MetricKey = "latency"
    counting: MetricKey | None = "latency"
    counts: bool = True
    attempt: int = 1
    basis: Basis = "rounds"
    withheld: str = ""
    early: frozenset[str] = frozenset()
    at: AtLoad | None = None
    turns: Mapping[str, Sequence[Turn]] = dataclasses.field(default_factory=dict, repr=False)

    def comparable(self, one: str, two: str) -> bool:
        """Whether these two are comparable by the requested metric."""
        return spoiled(self.checks, self.metric, one, two) is None

    def reference(self, ordered: Sequence[str]) -> str:
        """Of these backends, the best median first, the one to take ratios of medians to; "" without any.

        It is comparable with the most others. Of several, its answers did not end early.
        """
        names = list(self.samples)
        counts = {one: sum(self.comparable(one, other) for other in names if other != one) for one in ordered}
        return max(ordered, key=lambda name: (counts[name], name not in self.early), default="")

    def unlike(self, reference: str, present: Sequence[str]) -> set[str]:
        """Of those `present`, the backends whose work differed from that of `reference`, and itself if all others did.

        That is by this metric.
        """
        names = set(self.samples) if len(self.samples) > 1 else set()
        others = {name for name in names - {reference} if not self.comparable(reference, name)} if reference else set()
        return others | {reference} if others and set(present) <= others | {reference} else others

    @functools.cached_property
    def line(self) -> str:
        """The verdict on one line; "" for fewer than two backends with samples."""
        return verdict_line(self, spans=True)

    @functools.cached_property
    def brief(self) -> str:
        """The verdict on one line without intervals."""
        return verdict_line(self, spans=False)

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
            level = self.level_of_others if metric != self.counting else self.level
            compared = compare(self.samples, metric, level=level, basis=self.basis)
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
        """The backend with the star: shown to be faster than every one it was compared with, by the metric that counts.

        If some backends are not comparable to it, it is the fastest of the others only, and at least as many others are
        comparable to it as not. "" if there is none, or if a table of the requested metric has no ratios.
        """
        return "" if self.board.instead or self.withheld or not self.counts else self.board.fastest

    @property
    def level_of_others(self) -> float:
        """The level of each metric that does not count."""
        return level_of_others(self.level, self.at) if self.counts else self.level

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

    @property
    def beside(self) -> list[str]:
        """Sentences on the pairs whose work differed from the best one's, but not from each other's."""
        apart = {standing.name for standing in self.board.standings if not standing.alike}
        if not self.board.best or len(apart) < 2:
            return []
        pairs = [
            pair
            for pair in itertools.combinations([name for name in self.samples if name in apart], 2)
            if self.comparable(*pair)
        ]
        texts = [_named(compared) for pair in pairs if (compared := self._compared(self.used, *pair)) is not None]
        best = sanitize(self.board.best, _NAME)
        return [sanitize(f"not comparable to {best}, but to each other: {text}", _SENTENCE) for text in texts]

    @functools.cached_property
    def shapes(self) -> list[str]:
        """One for each comparison with the best in which the means differ otherwise than the typical values."""
        return [text for c in self.board.comparisons if (text := means_apart(c, self.samples))]

    @functools.cached_property
    def tails(self) -> list[Tail]:
        """p95 and p99 of a finished load, of the best one and each other that is comparable; some 0.1 s for a pair."""
        best = self.board.best
        if not (self.done and best in self.turns):
            return []
        pairs = [(best, name) for name in self.turns if name != best]
        return [
            tail
            for quantity in QUANTITIES
            for pair in pairs
            if spoiled(self.checks, quantity, *pair) is None
            for tail in tails_of(*pair, self.turns, quantity)
        ]

    @property
    def sentences(self) -> list[str]:
        """One for each comparison with the best, and a note if not all rounds were compared; of a load its own."""
        if self.at is not None:
            return load_sentences(self)
        sentences = sentences_on(self.with_best)
        if note := jointly(self.board.comparisons):
            sentences.append(note)
        sentences += [*self.beside, *self.shapes]
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
    spreads: Sequence[PairSpread] = (),
    done: bool = True,
    at: AtLoad | None = None,
    prompts: Prompts = NO_PROMPTS,
    origin: Imported | None = None,
) -> Verdict:
    """Compare these backends by `metric`, in a race or by their turns `at` a load.

    `record` is this machine's accuracy, for own-error, and `spreads` are those of the plan, for one-launch.
    """
    samples = {contender.backend.name: newest for contender in contenders if (newest := contender.rounds)}
    states = [(o.state.state, o.evidence.measured) for o in contenders]
    attempt = max((o.state.attempt for o in contenders if o.backend.name in samples), default=1)
    level = level_of(states, config.iterations, done=done, attempt=attempt)
    findings = checks(contenders, config, machine, record=record, at=at, prompts=prompts, origin=origin)

    def comparable(by: MetricKey, one: str, two: str) -> bool:
        return spoiled(findings, by, one, two) is None

    basis: Basis = "apart" if config.order == "sequential" else "rounds"
    counting = deciding(samples, config.metric, instead_of(config.metric), comparable)
    of_metric = metric in (config.metric, counting)
    counts = of_metric and (at is None or at.counts)
    level = level if counts else level_of_others(level, at, counting=of_metric)
    early = frozenset(o.backend.name for o in contenders if (o.evidence.ended_early or 0.0) > VOID_SHARE)
    placed = voided(board(samples, metric, instead_of(metric), comparable, level, basis, early), findings)
    compared = placed.comparisons
    findings = in_order(
        [
            *findings,
            *own_error(contenders, compared, record, at),
            *one_launch(contenders, compared, spreads),
        ]
    )
    capped = max((len(s) for s in samples.values()), default=0)
    return Verdict(
        metric=metric,
        leading=leading_metric(findings, metric),
        board=placed,
        checks=findings,
        level=level,
        rounds=capped if any(o.evidence.good > len(samples.get(o.backend.name, ())) for o in contenders) else 0,
        planned=config.iterations,
        rivals=sum(o.backend.name in samples or o.state.state not in RESTING for o in contenders),
        done=done,
        samples=samples,
        asked=config.metric,
        counting=counting,
        counts=counts,
        attempt=attempt,
        basis=basis,
        withheld=_withheld(placed, findings, basis) if counts else "",
        early=early,
        at=at,
        turns={o.backend.name: turns for o in contenders if (turns := o.evidence.turns)},
    )


def _withheld(placed: Board, findings: Sequence[Check], basis: Basis) -> str:
    """Why the best backend has no star although it is ahead of all others, or would be if they had taken turns."""
    compared = placed.comparisons
    if not compared or any(c.slower == placed.best for c in compared):
        return ""
    if any(c.basis == "apart" for c in compared):
        return WITHHOLDING["sequential-order" if basis == "apart" else "not-interleaved"]
    if not placed.fastest:
        return ""
    if sum(not standing.alike for standing in placed.standings) > len(compared):
        return "most others are not comparable"
    if any(c.ratio < 1 + LEAST_SHARE for c in compared):
        return f"under {100 * LEAST_SHARE:g}%"
    others = [c.slower for c in compared]
    for check in findings:
        of_ours = any(check.between(placed.best, other) for other in others)
        if check.code in WITHHOLDING and of_ours and (check.code not in _AS_WARNING or check.level == "warning"):
            return WITHHOLDING[check.code]
    return ""


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
