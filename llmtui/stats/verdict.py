"""What do the data say? Comparisons and checks of one race brought together, in sentences that claim no more than that.

Where the work differed, a pair is compared by what counts per token, and its plain latency is called not comparable.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from llmtui.model import Iteration, Machine, RunConfig, Struct
from llmtui.model.accuracy import Record
from llmtui.stats.checks import Check, Leading, Raced, besides, checks, in_order, leading_metric, own_error, spoiled
from llmtui.stats.compare import Comparison, compare, level_of, told, zeros
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text import sanitize

_NAME = 40
_SENTENCE = 400


class Contender(Raced, Protocol):
    """A backend in the race, with its newest samples; `llmtui.runview.run.Contender` is one."""

    @property
    def rounds(self) -> list[Iteration]:
        """Samples of the attempt that counts, as many as are compared."""


class Pair(Struct, frozen=True):
    """Two backends, and how they compare by the metric that may be compared: None where none may, or none has samples.

    `sentence` is plain text. Where what was asked for is not comparable, `more` has what else counts per token.
    """

    one: str
    two: str
    leading: Leading
    comparison: Comparison | None
    sentence: str
    more: list[Comparison] = []


class Verdict(Struct, frozen=True):
    """Of one moment of a run. All texts are plain.

    `line` says it in one line, `brief` in a shorter one (no intervals); both empty where there are no two backends with
    samples. `rounds` is how many of the newest samples of a backend were compared, where there are more than that; else
    0. `done`: nothing more is to come.
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
        """Whether these two may be compared by the metric that was asked for."""
        return spoiled(self.checks, self.metric, one, two) is None

    def unlike(self, ratios: Mapping[str, float | None]) -> set[str]:
        """Who did not do the same work as the best, and so is no multiple of it; the best too where nobody did.

        `ratios` are those to the best by this metric, of every backend.
        """
        known = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        if not known:
            return set()
        best = min(known, key=lambda name: known[name])
        names = {name for pair in self.pairs for name in (pair.one, pair.two)}
        others = {name for name in names - {best} if not self.comparable(best, name)}
        return others | {best} if others and known.keys() <= others | {best} else others

    @property
    def comparisons(self) -> list[Comparison]:
        """The pairs that could be compared."""
        return [pair.comparison for pair in self.pairs if pair.comparison is not None]

    @property
    def fastest(self) -> str:
        """Who is shown to be faster than each that it could be compared with; "" where nobody is."""
        for name in dict.fromkeys(c.faster for c in self.comparisons):
            if all(c.decided and c.faster == name for c in self.comparisons if name in (c.faster, c.slower)):
                return name
        return ""

    @property
    def used(self) -> MetricKey:
        """The metric that leads: the one asked for, or what counts per token where that is not comparable."""
        return self.leading.metric or self.metric

    @property
    def sentences(self) -> list[str]:
        """One for each pair, and what they are of where that is not all."""
        told = [text for pair in self.pairs for text in (pair.sentence, *map(_named, pair.more))]
        if told and self.rounds:
            told.append(f"of the newest {self.rounds} rounds: that many are compared")
        return told


def judge(
    contenders: Sequence[Contender],
    config: RunConfig,
    machine: Machine,
    metric: MetricKey = "latency",
    *,
    record: Record | None = None,
    done: bool = True,
) -> Verdict:
    """What is to be said of these backends by `metric`; `record` is this machine's accuracy, for own-error."""
    samples = {contender.backend.name: newest for contender in contenders if (newest := contender.rounds)}
    level = level_of(((o.state.state, o.evidence.measured) for o in contenders), config.iterations, done=done)
    found = checks(contenders, config, machine)
    by: dict[MetricKey, dict[frozenset[str], Comparison]] = {}
    pairs: list[Pair] = []
    for one, two in itertools.combinations(samples, 2):
        leading = leading_metric(found, metric, one, two)
        used = [leading.metric] if leading.metric is not None else []
        compared: dict[MetricKey, Comparison] = {}
        for each in [*used, *besides(found, leading, one, two)]:
            # All pairs are compared by each metric that is used: the correction is for all of them.
            if each not in by:
                by[each] = {frozenset((c.slower, c.faster)): c for c in compare(samples, each, level=level)}
            if (of_both := by[each].get(frozenset((one, two)))) is not None:
                compared[each] = of_both
        comparison = compared.pop(leading.metric, None) if leading.metric is not None else None
        sentence = _sentence(one, two, leading, comparison, samples)
        pairs.append(Pair(one, two, leading, comparison, sentence, list(compared.values())))
    comparisons = [pair.comparison for pair in pairs if pair.comparison is not None]
    found = in_order([*found, *own_error(contenders, comparisons, record)])
    leading = leading_metric(found, metric)
    capped = max((len(s) for s in samples.values()), default=0)
    return Verdict(
        metric=metric,
        leading=leading,
        pairs=pairs,
        checks=found,
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
        # The evidence stands among the checks.
        reason = leading.reason.partition(":")[0]
        before = f"{names}: not comparable by {METRICS[leading.instead_of].title} ({reason})"
        if comparison is None:
            return sanitize(before, _SENTENCE)
        before += "; "
    if comparison is None:
        if leading.metric is None:
            return f"{names}: nothing to compare by anything"
        why = [f"{sanitize(n, _NAME)} has {k} of 0" for n in (one, two) if (k := zeros(samples[n], leading.metric))]
        return f"{names}: nothing to compare by {METRICS[leading.metric].title}" + (
            f": {', '.join(why)}" if why else ""
        )
    return sanitize(before + _named(comparison), _SENTENCE)


def _named(comparison: Comparison) -> str:
    """Its sentence, as plain text."""
    names = {"slower": sanitize(comparison.slower, _NAME), "faster": sanitize(comparison.faster, _NAME)}
    return sanitize(msgspec.structs.replace(comparison, **names).sentence, _SENTENCE)


def _line(names: list[str], pairs: list[Pair], metric: MetricKey, done: bool, level: float, *, spans: bool) -> str:
    """Fastest against the rest."""
    if not pairs:
        return ""
    known = [pair.comparison for pair in pairs if pair.comparison is not None]
    reasons = [pair.leading for pair in pairs if pair.leading.instead_of is not None]
    start = ""
    if reasons and len(reasons) == len(pairs):
        start = f"not comparable by {METRICS[metric].title}"
        start += f": {reasons[0].reason}" if spans or not known else ""
        if not known:
            return start
        start += "; "
    if not known:
        return f"nothing to compare by {METRICS[metric].title}"
    metrics = {c.metric for c in known}
    # What not all have in common is said of each.
    common = len(metrics) == 1
    used = known[0].metric
    by = METRICS[used].by if common else ""
    best = _ahead(names, known)
    if not best:
        return f"{start}nobody is fastest: each is slower than another by what may be compared between the two"
    if not any(c.decided for c in known):
        return start + _undecided(known, by, done) + _left_out(names, pairs, metric)
    parts = []
    for number, c in enumerate(c for c in known if c.decided and c.faster == best):
        own = "" if common else f" by {METRICS[c.metric].title}"
        at = f"{100 * level:.4g} %: " if number == 0 else ""
        ratio, low, high = told(c.ratio, c.low, c.high)
        span = f" ({at}{low} to {high})" if spans else ""
        parts.append(f"{sanitize(c.slower, _NAME)} {ratio}x slower{own}{span}")
    fastest = len(parts) == len(names) - 1
    parts += _rest(best, names, pairs)
    far = "" if done else " so far"
    return f"{start}{sanitize(best, _NAME)}{' is fastest' if fastest else ''}{by}{far}: {', '.join(parts)}"


def _ahead(names: list[str], known: list[Comparison]) -> str:
    """Who is shown to be faster than most, and slower than nobody; "" where there is no such one.

    Pairs that are compared by different metrics can go round in a circle.
    """
    beaten = {c.slower for c in known if c.decided}
    wins = {name: sum(c.decided and c.faster == name for c in known) for name in names}
    return max((name for name in names if name not in beaten), key=lambda name: wins[name], default="")


def _rest(best: str, names: list[str], pairs: list[Pair]) -> list[str]:
    """What is to be said of those that `best` is not shown to be faster than."""
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


def _undecided(known: list[Comparison], by: str, done: bool) -> str:
    yet = "" if done else " yet"
    least = min(known, key=lambda c: (c.known, c.could_show is not None, c.n))
    if not least.known or least.could_show is None:
        return f"no verdict{by}{yet}: {least.unknown}"
    if any(c.low > 1 for c in known):
        few = min(known, key=lambda c: c.n)
        for_all = f" for {few.pairs} pairs" if few.pairs > 1 else ""
        return f"no verdict{by}{yet}: {few.count} are too few{for_all}"
    most = max(known, key=lambda c: c.could_show or 0.0)
    return f"no difference shown{by}{yet}; {most.unknown}"


def _left_out(names: list[str], pairs: list[Pair], metric: MetricKey) -> str:
    """Whom no pair compares by this metric, where others are."""
    alike = {name for pair in pairs if pair.leading.instead_of is None for name in (pair.one, pair.two)}
    unlike = [sanitize(name, _NAME) for name in names if name not in alike]
    return f"; not comparable by {METRICS[metric].title}: {', '.join(unlike)}" if alike and unlike else ""
