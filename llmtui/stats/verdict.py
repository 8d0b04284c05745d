"""The verdict on a race: its comparisons and checks, in sentences that claim no more than the data show.

If the work differed, a pair is compared by a metric per token, and its latencies are called not comparable.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from llmtui.model import Iteration, Machine, RunConfig, Struct
from llmtui.model.accuracy import Record
from llmtui.stats.checks import Check, Leading, Raced, checks, in_order, leading_metric, other_rates, own_error, spoiled
from llmtui.stats.compare import Comparison, compare, digits, level_of, percent, zeros, zeros_in
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text import sanitize

_NAME = 40
_SENTENCE = 400


class Contender(Raced, Protocol):
    """A backend in the race with its newest samples, such as `llmtui.runview.backend.BackendView`."""

    @property
    def rounds(self) -> list[Iteration]:
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


class Verdict(Struct, frozen=True):
    """The verdict at one moment of a run. All texts are plain text.

    `line` is the verdict on one line, `brief` without intervals; both are empty for fewer than two backends with
    samples. `rounds` is the number of newest samples of a backend that were compared, 0 if that was all of them.
    `done`: no more samples follow.
    """

    metric: MetricKey
    leading: Leading
    pairs: list[Pair]
    checks: list[Check]
    level: float
    rounds: int
    done: bool
    line: str
    brief: str

    def comparable(self, one: str, two: str) -> bool:
        """Whether these two are comparable by the requested metric."""
        return spoiled(self.checks, self.metric, one, two) is None

    def unlike(self, ratios: Mapping[str, float | None]) -> set[str]:
        """The backends whose work differed from the best one's, and the best one itself if that is all others.

        `ratios` are those of every backend to the best, by this metric.
        """
        present = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        if not present:
            return set()
        best = min(present, key=lambda name: present[name])
        names = {name for pair in self.pairs for name in (pair.one, pair.two)}
        others = {name for name in names - {best} if not self.comparable(best, name)}
        return others | {best} if others and present.keys() <= others | {best} else others

    @property
    def comparisons(self) -> list[Comparison]:
        """The comparisons of all pairs that have one."""
        return [pair.comparison for pair in self.pairs if pair.comparison is not None]

    @property
    def fastest(self) -> str:
        """The backend that is shown to be faster than every one it was compared with; "" if there is none."""
        for name in dict.fromkeys(c.faster for c in self.comparisons):
            if all(c.decided and c.faster == name for c in self.comparisons if name in (c.faster, c.slower)):
                return name
        return ""

    @property
    def used(self) -> MetricKey:
        """The metric that decides: the requested one, or one per token if that is not comparable."""
        return self.leading.metric or self.metric

    @property
    def sentences(self) -> list[str]:
        """One for each comparison, and a note if not all rounds were compared."""
        sentences = [text for pair in self.pairs for text in (pair.sentence, *map(_named, pair.more))]
        if sentences and self.rounds:
            sentences.append(f"only the newest {self.rounds} rounds are compared")
        return sentences


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
    by: dict[MetricKey, dict[frozenset[str], Comparison]] = {}
    pairs: list[Pair] = []
    for one, two in itertools.combinations(samples, 2):
        leading = leading_metric(findings, metric, one, two)
        used = [leading.metric] if leading.metric is not None else []
        compared: dict[MetricKey, Comparison] = {}
        for each in [*used, *other_rates(findings, leading, one, two)]:
            # Every metric in use compares all pairs, as the correction is for all of them.
            if each not in by:
                by[each] = {frozenset((c.slower, c.faster)): c for c in compare(samples, each, level=level)}
            if (of_both := by[each].get(frozenset((one, two)))) is not None:
                compared[each] = of_both
        comparison = compared.pop(leading.metric, None) if leading.metric is not None else None
        sentence = _sentence(one, two, leading, comparison, samples)
        pairs.append(Pair(one, two, leading, comparison, sentence, list(compared.values())))
    comparisons = [pair.comparison for pair in pairs if pair.comparison is not None]
    findings = in_order([*findings, *own_error(contenders, comparisons, record)])
    leading = leading_metric(findings, metric)
    capped = max((len(s) for s in samples.values()), default=0)
    return Verdict(
        metric=metric,
        leading=leading,
        pairs=pairs,
        checks=findings,
        level=level,
        rounds=capped if any(contender.evidence.good > len(contender.rounds) for contender in contenders) else 0,
        done=done,
        line=_line(list(samples), pairs, metric, done, level, spans=True),
        brief=_line(list(samples), pairs, metric, done, level, spans=False),
    )


def _sentence(
    one: str, two: str, leading: Leading, comparison: Comparison | None, samples: Mapping[str, list[Iteration]]
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
        why = [zeros_in(sanitize(n, _NAME), k) for n in (one, two) if (k := zeros(samples[n], leading.metric))]
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


def _line(names: list[str], pairs: list[Pair], metric: MetricKey, done: bool, level: float, *, spans: bool) -> str:
    """The fastest backend against the rest."""
    if not pairs:
        return ""
    compared = [pair.comparison for pair in pairs if pair.comparison is not None]
    reasons = [pair.leading for pair in pairs if pair.leading.instead_of is not None]
    start = ""
    if reasons and len(reasons) == len(pairs):
        start = f"not comparable by {METRICS[metric].title}"
        start += f": {reasons[0].reason}" if spans or not compared else ""
        if not compared:
            return start
        start += "; "
    if not compared:
        return f"nothing to compare by {METRICS[metric].title}"
    # One metric for all is named once, else each part names its own.
    common = len({c.metric for c in compared}) == 1
    by = METRICS[compared[0].metric].by if common else ""
    best = _ahead(names, compared)
    if not best:
        return f"{start}no clear winner: every backend is slower than another one on a comparable metric"
    if not any(c.decided for c in compared):
        return start + _undecided(compared, by, done) + _left_out(names, pairs, metric)
    parts = []
    for number, c in enumerate(c for c in compared if c.decided and c.faster == best):
        at = f"{percent(level)}: " if number == 0 else ""
        _, low, high = digits(c.ratio, c.low, c.high)
        span = f" ({at}{low} to {high})" if spans else ""
        parts.append(_multiple(c, first=number == 0, common=common) + span)
    fastest = len(parts) == len(names) - 1
    parts += _rest(best, names, pairs)
    far = "" if done else " so far"
    return f"{start}{sanitize(best, _NAME)} is {'fastest' if fastest else 'ahead'}{by}{far}: {', '.join(parts)}"


def _multiple(comparison: Comparison, *, first: bool, common: bool) -> str:
    """ "b takes 1.31x as long" for the first backend, "c 2.40x" for the next; of a rate "1.31x as many as b"."""
    name, metric = sanitize(comparison.slower, _NAME), METRICS[comparison.metric]
    ratio, _, _ = digits(comparison.ratio, comparison.low, comparison.high)
    if metric.rate:
        return f"{ratio}x as many as {name}" if common else f"{ratio}x as many {metric.title} as {name}"
    if not common:
        return f"{name} takes {ratio}x as long by {metric.title}"
    return f"{name} takes {ratio}x as long" if first else f"{name} {ratio}x"


def _ahead(names: list[str], compared: list[Comparison]) -> str:
    """The backend that is shown to be faster than most and slower than none; "" if there is none.

    Comparisons by different metrics can form a circle.
    """
    beaten = {c.slower for c in compared if c.decided}
    wins = {name: sum(c.decided and c.faster == name for c in compared) for name in names}
    return max((name for name in names if name not in beaten), key=lambda name: wins[name], default="")


def _rest(best: str, names: list[str], pairs: list[Pair]) -> list[str]:
    """A phrase on those that `best` is not shown to be faster than."""
    tied: list[str] = []
    open_: list[str] = []
    unlike: list[str] = []
    for name in names:
        pair = next((p for p in pairs if {p.one, p.two} == {best, name}), None)
        if pair is None:
            continue
        c = pair.comparison
        if c is None:
            unlike.append(sanitize(name, _NAME))
        elif not c.decided:
            (tied if c.low <= 1 and c.could_show is not None else open_).append(sanitize(name, _NAME))
    parts = [f"no difference shown to {', '.join(tied)}"] if tied else []
    parts += [f"no verdict on {', '.join(open_)}"] if open_ else []
    return parts + ([f"not comparable to {', '.join(unlike)}"] if unlike else [])


def _undecided(compared: list[Comparison], by: str, done: bool) -> str:
    yet = "" if done else " yet"
    least = min(compared, key=lambda c: (c.bounded, c.could_show is not None, c.n))
    if not least.bounded or least.could_show is None:
        return f"no verdict{by}{yet}: {least.limit}"
    if any(c.low > 1 for c in compared):
        few = min(compared, key=lambda c: c.n)
        for_all = f" for {few.pairs} pairs" if few.pairs > 1 else ""
        return f"no verdict{by}{yet}: {few.count} are too few{for_all}"
    most = max(compared, key=lambda c: c.could_show or 0.0)
    return f"no difference shown{by}{yet}; {most.limit}"


def _left_out(names: list[str], pairs: list[Pair], metric: MetricKey) -> str:
    """The backends that this metric compares with no other one, if it compares others."""
    alike = {name for pair in pairs if pair.leading.instead_of is None for name in (pair.one, pair.two)}
    unlike = [sanitize(name, _NAME) for name in names if name not in alike]
    return f"; not comparable by {METRICS[metric].title}: {', '.join(unlike)}" if alike and unlike else ""
