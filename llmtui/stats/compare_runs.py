"""Compare two runs: is a backend faster or slower now, and what else is different?

Pure functions. A pair of backends is compared like two contenders of one race (llmtui.stats.checks), each with the
name of its run; differences that only runs can have come from llmtui.stats.run_differences. The first run is A, the
second is B.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import msgspec

from llmtui.model import RESTING, STATE_WORDS, Machine, RunConfig, Struct
from llmtui.model.accuracy import Record
from llmtui.stats.checks import Check, Entry, Leading, Level, checks, leading_metric, own_error, severity
from llmtui.stats.compare import Basis, Comparison, compare_pairs, zeros_in
from llmtui.stats.levels import level_of
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.run_differences import Side, general_differences, setup_differences
from llmtui.stats.summary import percentile
from llmtui.stats.verdict import Contender
from llmtui.text import sanitize

_NAME = 40
#: The p-value at or below which more failures in B are not chance.
_CHANCE = 0.05
#: Checks of one race that have no meaning between two runs, or another check in their place.
_OF_ONE_RUN = frozenset({"sequential-order", "not-interleaved"})
#: Differences that the user may have made on purpose: they need no fix.
_CHANGED = frozenset({"model", "weights", "context-length", "device", "host", "threads", "cores-used", "prompt-tokens"})


class Outcome(Struct, frozen=True):
    """Backend `a` of run A and `b` of run B, compared by a comparable metric (`leading`).

    `n_*` count samples of `metric`: the comparable one, or the requested one if there is none. `median_*` are their
    medians (s or tokens/s). The `comparison` has the names `names`: "A" and "B", or the two backends of one run.
    `sentence` is plain text: the comparison, or why there is none.

    `failed_*` of the `tried_*` measured iterations gave no sample; if a backend gave up, its remaining iterations count
    as failed.
    """

    a: str
    b: str
    names: tuple[str, str]
    leading: Leading
    metric: MetricKey
    n_a: int
    n_b: int
    median_a: float | None
    median_b: float | None
    comparison: Comparison | None
    sentence: str
    failed_a: int = 0
    failed_b: int = 0
    tried_a: int = 0
    tried_b: int = 0

    @property
    def failing(self) -> float:
        """The share of failed iterations in B minus that in A (-1 to 1)."""
        shares = [f / t if t else 0.0 for f, t in ((self.failed_a, self.tried_a), (self.failed_b, self.tried_b))]
        return shares[1] - shares[0]

    @property
    def fails_more(self) -> bool:
        """Whether B is shown to fail more often than A (Fisher's exact test, one-sided, for this pair alone)."""
        return self.failing > 0 and _chance(self.failed_a, self.tried_a, self.failed_b, self.tried_b) <= _CHANCE

    @property
    def slowdown(self) -> tuple[float, float | None, float | None] | None:
        """The time of B as a multiple of A's, with the ends of its interval; None without a comparison or interval."""
        both = self.comparison
        if both is None:
            return None
        if both.slower == self.names[1]:
            return both.ratio, both.low if both.bounded else None, both.high if both.bounded else None
        return 1 / both.ratio, 1 / both.high if both.bounded else None, 1 / both.low if both.bounded else None

    @property
    def shown(self) -> str:
        """ "slower" or "faster" if B is shown to be, else ""."""
        if self.comparison is None or not self.comparison.decided:
            return ""
        return "slower" if self.comparison.slower == self.names[1] else "faster"


class Difference(Struct, frozen=True):
    """What affects the comparison of one backend (A's name), or of all if `backend` is "". Texts are plain text."""

    code: str
    level: Level
    backend: str
    text: str
    todo: str = ""


class Across(Struct, frozen=True):
    """Two runs compared. `rest_a` and `rest_b` are the backends without a counterpart."""

    metric: MetricKey
    level: float
    outcomes: list[Outcome]
    rest_a: list[str]
    rest_b: list[str]
    differences: list[Difference]


@dataclasses.dataclass(frozen=True)
class _Pair:
    a: str
    b: str
    contenders: tuple[Contender, Contender]
    names: tuple[str, str]
    checks: list[Check]
    leading: Leading
    #: The start of a sentence in which A and B are runs.
    head: str


def paired(a: Side, b: Side, named: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """Pairs of backends of A and B: those `named`, and in two runs all others that both have, in A's order."""
    taken_a, taken_b = {x for x, _ in named}, {y for _, y in named}
    common = (
        [n for n in a.contenders if n in b.contenders and n not in taken_a and n not in taken_b]
        if a.run != b.run
        else []
    )
    order = list(a.contenders)
    return sorted([*named, *((n, n) for n in common)], key=lambda pair: order.index(pair[0]))


def comparable(a: Side, b: Side, metric: MetricKey) -> list[str]:
    """The names of the backends that both runs have, and that did the same work in both as far as `metric` goes."""
    general = list(general_differences(a, b))
    return [n for n, _ in paired(a, b) if _checked(a, b, (n, n), general, metric).leading.metric == metric]


def across(
    a: Side, b: Side, pairs: Sequence[tuple[str, str]], metric: MetricKey = "latency", *, record: Record | None = None
) -> Across:
    """Compare these pairs (A's name, B's name) by `metric`; in one run round by round, if they took turns.

    If the work differed, a pair is compared by a metric per token. `record` is the accuracy of B's machine.
    """
    one_run = a.run == b.run
    general = [] if one_run else list(general_differences(a, b))
    checked = [_checked(a, b, pair, general, metric) for pair in pairs]
    # The stricter level of the two runs.
    level = max(_level(side) for side in (a, b))
    # Every metric in use compares all pairs, as the correction is for all of them: in one run also for pairs that were
    # not chosen.
    groups = [tuple((n, contender.rounds) for n, contender in zip(p.names, p.contenders, strict=True)) for p in checked]
    if one_run:
        chosen = [{x, y} for x, y in pairs]
        rest = [pair for pair in itertools.combinations(a.contenders, 2) if set(pair) not in chosen]
        groups += [tuple((n, a.contenders[n].rounds) for n in pair) for pair in rest]
    used = {p.leading.metric for p in checked if p.leading.metric is not None}
    basis: Basis = "rounds" if one_run else "runs"
    by = {m: compare_pairs([(x, y) for x, y in groups], m, level=level, basis=basis) for m in used}
    outcomes = [
        _outcome(p, metric, by[p.leading.metric][place] if p.leading.metric is not None else None)
        for place, p in enumerate(checked)
    ]
    differences = [_difference(c) for c in general]
    for pair, outcome in zip(checked, outcomes, strict=True):
        differences += [_difference(c, pair) for c in (*pair.checks, *_own_error(pair, outcome.comparison, record))]
    # Checks on the machine appear once per pair: drop the copies.
    differences = list(dict.fromkeys(sorted(differences, key=lambda d: severity(d.level))))
    return Across(
        metric=metric,
        level=level,
        outcomes=outcomes,
        rest_a=[n for n in a.contenders if n not in {x for x, _ in pairs}] if not one_run else [],
        rest_b=[n for n in b.contenders if n not in {y for _, y in pairs}] if not one_run else [],
        differences=differences,
    )


def _level(side: Side) -> float:
    raced = [(contender.state.state, contender.evidence.measured) for contender in side.contenders.values()]
    attempt = max((contender.state.attempt for contender in side.contenders.values()), default=1)
    done = all(state in RESTING for state, _ in raced)
    return level_of(raced, side.config.iterations, done=done, attempt=attempt)


def gate(result: Across, percent: float) -> tuple[list[str], list[str]]:
    """Sentences on backends that break a gate of `percent`, and on those for which the data cannot tell.

    B breaks it if it is shown to be slower with a typical ratio above the gate, if it is shown to fail more often, or
    if only A has samples. The data cannot tell without a comparison, if a difference of that size would hardly be
    shown, or if the share of failures grew by more than `percent` points but maybe by chance.
    """
    broken = [o for o in result.outcomes if _breaks(o, percent)]
    open_ = [o for o in result.outcomes if o not in broken and _leaves_open(o, percent)]
    return [o.sentence for o in broken], [o.sentence for o in open_]


def _breaks(outcome: Outcome, percent: float) -> bool:
    if outcome.comparison is None:
        return outcome.fails_more or bool(outcome.n_a and not outcome.n_b)
    slower = outcome.shown == "slower" and outcome.comparison.ratio > 1 + percent / 100
    return slower or outcome.fails_more


def _leaves_open(outcome: Outcome, percent: float) -> bool:
    both = outcome.comparison
    if both is None or outcome.failing > percent / 100:
        return True
    return not both.decided and (both.could_show is None or both.could_show > 1 + percent / 100)


def _checked(a: Side, b: Side, pair: tuple[str, str], general: Sequence[Check], metric: MetricKey) -> _Pair:
    first, second = a.contenders[pair[0]], b.contenders[pair[1]]
    # The machines of two runs are compared elsewhere: an empty one adds no checks here.
    names, head, machine, config = ("A", "B"), _head(*pair), Machine(), _both(a.config, b.config)
    if a.run == b.run:
        names, head, machine, config = pair, "", a.machine, a.config
    entries = [_entry(contender, name) for contender, name in zip((first, second), names, strict=True)]
    findings = checks(entries, config, machine)
    if a.run != b.run:
        findings = [*(c for c in findings if _applies(c, a, b, entries)), *setup_differences(*entries)]
        findings = [msgspec.structs.replace(c, todo="") if c.code in _CHANGED and c.sides else c for c in findings]
    # Differences of the runs apply between any two backends.
    whole = [msgspec.structs.replace(c, backends=list(names)) for c in general]
    return _Pair(*pair, (first, second), names, findings, leading_metric([*whole, *findings], metric, *names), head)


def _head(a: str, b: str) -> str:
    return f"{sanitize(a, _NAME)}: " if a == b else f"{sanitize(a, _NAME)} in A, {sanitize(b, _NAME)} in B: "


def _entry(contender: Contender, name: str) -> Entry:
    renamed = msgspec.structs.replace(contender.backend, name=name)
    return Entry(renamed, msgspec.structs.replace(contender.state, name=name), contender.evidence, contender.latencies)


def _both(a: RunConfig, b: RunConfig) -> RunConfig:
    """The settings by which to check two runs."""
    return msgspec.structs.replace(
        b,
        iterations=min(a.iterations, b.iterations),
        max_tokens=max(a.max_tokens, b.max_tokens),
        temperature=max(a.temperature, b.temperature),
        fresh_prompt=a.fresh_prompt or b.fresh_prompt,
    )


def _applies(check: Check, a: Side, b: Side, entries: Sequence[Entry]) -> bool:
    """Whether a check of one race applies to two runs."""
    if check.code == "answers-differ":
        return a.config.prompt == b.config.prompt and not (a.config.fresh_prompt or b.config.fresh_prompt)
    if check.code == "output-tokens" and a.config.max_tokens != b.config.max_tokens:
        return False  # its cause is reported
    if check.code == "bridge":
        return len(check.backends) < len(entries)
    return check.code not in _OF_ONE_RUN


def _own_error(pair: _Pair, comparison: Comparison | None, record: Record | None) -> list[Check]:
    if comparison is None:
        return []
    entries = [_entry(contender, name) for contender, name in zip(pair.contenders, pair.names, strict=True)]
    return own_error(entries, [comparison], record)


def _difference(check: Check, pair: _Pair | None = None) -> Difference:
    of = pair if check.backends else None
    return Difference(
        code=check.code,
        level=check.level,
        backend=of.a if of is not None else "",
        text=(of.head if of is not None else "") + check.text,
        todo=check.todo,
    )


def _outcome(pair: _Pair, metric: MetricKey, comparison: Comparison | None) -> Outcome:
    shown = pair.leading.metric or metric
    values = [sorted(contender.rounds.values(shown)) for contender in pair.contenders]
    median_a, median_b = (percentile(ordered, 0.5) if ordered else None for ordered in values)
    (failed_a, tried_a), (failed_b, tried_b) = map(_failures, pair.contenders)
    outcome = Outcome(
        a=pair.a,
        b=pair.b,
        names=pair.names,
        leading=pair.leading,
        metric=shown,
        n_a=len(values[0]),
        n_b=len(values[1]),
        median_a=median_a,
        median_b=median_b,
        comparison=comparison,
        sentence="",
        failed_a=failed_a,
        failed_b=failed_b,
        tried_a=tried_a,
        tried_b=tried_b,
    )
    return msgspec.structs.replace(outcome, sentence=sanitize(_sentence(pair, outcome) + _failing(outcome), 600))


def _failures(contender: Contender) -> tuple[int, int]:
    """The number of failed iterations and of all iterations."""
    evidence, state = contender.evidence, contender.state
    tried = max(evidence.measured, state.planned) if state.failure is not None else evidence.measured
    return tried - evidence.good, tried


def _chance(failed_a: int, tried_a: int, failed_b: int, tried_b: int) -> float:
    """The probability of at least `failed_b` failures in B if every iteration is equally likely to fail."""
    failed = failed_a + failed_b

    def ways(of: int, taken: int) -> float:
        """The logarithm of the binomial coefficient, which itself is too large for a float."""
        return math.lgamma(of + 1) - math.lgamma(taken + 1) - math.lgamma(of - taken + 1)

    all_ways = ways(tried_a + tried_b, failed)
    most = min(failed, tried_b)
    chances = (math.exp(ways(tried_b, n) + ways(tried_a, failed - n) - all_ways) for n in range(failed_b, most + 1))
    return min(1.0, math.fsum(chances))


def _failing(outcome: Outcome) -> str:
    """The end of a sentence if B fails more often, "" if it does not, or without a comparison to qualify."""
    if outcome.failing <= 0 or not (outcome.n_a and outcome.n_b):
        return ""
    one, two = (sanitize(name, _NAME) for name in outcome.names)
    before = f"{outcome.failed_a} of {outcome.tried_a}" if outcome.failed_a else "none"
    unsure = "" if outcome.fails_more else " (may be chance)"
    return f"; but {two} failed in {outcome.failed_b} of {outcome.tried_b} iterations, {one} in {before}{unsure}"


def _sentence(pair: _Pair, outcome: Outcome) -> str:
    one, two = (sanitize(name, _NAME) for name in pair.names)
    comparison, leading = outcome.comparison, pair.leading
    head = pair.head or f"{one} and {two}: "
    before = ""
    if leading.instead_of is not None:
        # The evidence is among the differences.
        reason = leading.reason.partition(":")[0]
        before = f"not comparable by {METRICS[leading.instead_of].title} ({reason})"
        if leading.metric is None:
            return head + before
        before += "; "
    assert leading.metric is not None
    if comparison is None:
        return f"{head}{before}nothing to compare{METRICS[leading.metric].by}: {_missing(pair, outcome, one, two)}"
    names = {"slower": sanitize(comparison.slower, _NAME), "faster": sanitize(comparison.faster, _NAME)}
    comparison = msgspec.structs.replace(comparison, **names)
    # A shown difference names both backends itself.
    return f"{'' if comparison.decided and not pair.head and not before else head}{before}{comparison.outcome}"


def _missing(pair: _Pair, outcome: Outcome, one: str, two: str) -> str:
    """Which backend has no samples, and why; or which one has zeros, which have no ratio."""
    if not outcome.n_a and not outcome.n_b:
        return "neither has samples"
    if outcome.n_a and outcome.n_b:
        counts = [contender.rounds.zeros(outcome.metric) for contender in pair.contenders]
        return ", ".join(zeros_in(name, count) for name, count in zip((one, two), counts, strict=True) if count)
    name, state = (two, pair.contenders[1].state) if outcome.n_a else (one, pair.contenders[0].state)
    why = STATE_WORDS[state.state] + (f": {sanitize(str(state.failure), 200)}" if state.failure is not None else "")
    return f"{name} has no samples ({why})"
