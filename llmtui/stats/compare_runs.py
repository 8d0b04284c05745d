"""One run held against another: is a backend faster or slower now, is that shown, and what else is not the same?

Pure functions. A pair of backends is looked at like two contenders of one race (llmtui.stats.checks), each under a
name that says of which run it is; what only two runs can differ in comes from llmtui.stats.run_differences. The first
run is A, the second is B.
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
from llmtui.stats.compare import Comparison, compare_pairs, level_of, told, zeros
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.run_differences import Side, between, set_up
from llmtui.stats.summary import percentile
from llmtui.stats.verdict import Contender
from llmtui.text import sanitize

_NAME = 40
#: Failures as uneven as those of A and B are not put down to chance where they are no likelier than this.
_CHANCE = 0.05
#: Between two runs, remarks on turns and on answers to the same prompt are said otherwise, or mean nothing.
_OF_ONE_RUN = frozenset({"sequential-order", "not-interleaved"})
#: Where these differ, it may be what the user changed: what to do about it is not for us to say.
_CHANGED = frozenset({"model", "weights", "context-length", "device", "host", "threads", "cores-used", "prompt-tokens"})


class Outcome(Struct, frozen=True):
    """Backend `a` of run A and `b` of run B, by the metric that may be compared (`leading`).

    `n_*` are samples of `metric`: that one, or where none may be compared the one asked for. `median_*` are their
    medians (s, or tokens/s). The `comparison` speaks of `names`: of "A" and "B", or
    of the two backends of one run. `sentence` is plain text, on what was compared or why nothing was.

    `failed_*` of the `tried_*` measured iterations gave no sample; where a backend gave up, those that it did not come
    to count as well.
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
        """By how much the share of B that failed lies above that of A (-1 to 1)."""
        shares = [f / t if t else 0.0 for f, t in ((self.failed_a, self.tried_a), (self.failed_b, self.tried_b))]
        return shares[1] - shares[0]

    @property
    def fails_more(self) -> bool:
        """Whether it is shown that more fails in B than in A (Fisher's exact test, one-sided, of this pair alone)."""
        return self.failing > 0 and _chance(self.failed_a, self.tried_a, self.failed_b, self.tried_b) <= _CHANCE

    @property
    def slowdown(self) -> tuple[float, float | None, float | None] | None:
        """How many times slower B is (below 1: faster) with the ends of its interval, None where there is none."""
        found = self.comparison
        if found is None:
            return None
        if found.slower == self.names[1]:
            return found.ratio, found.low if found.known else None, found.high if found.known else None
        return 1 / found.ratio, 1 / found.high if found.known else None, 1 / found.low if found.known else None

    @property
    def shown(self) -> str:
        """ "slower" or "faster" where that is shown of B, else ""."""
        if self.comparison is None or not self.comparison.decided:
            return ""
        return "slower" if self.comparison.slower == self.names[1] else "faster"


class Difference(Struct, frozen=True):
    """What bears on the comparison: of one backend (A's name), or of all where `backend` is "". Texts are plain."""

    code: str
    level: Level
    backend: str
    text: str
    todo: str = ""


class Across(Struct, frozen=True):
    """Two runs compared. `rest_a` and `rest_b` are backends of the runs that were compared with none."""

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
    #: What goes before a remark in which A and B are runs.
    head: str


def paired(a: Side, b: Side, named: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """Backends of A with those of B: those `named`, and in two runs all others that both have, in A's order."""
    taken_a, taken_b = {x for x, _ in named}, {y for _, y in named}
    common = (
        [n for n in a.contenders if n in b.contenders and n not in taken_a and n not in taken_b]
        if a.run != b.run
        else []
    )
    order = list(a.contenders)
    return sorted([*named, *((n, n) for n in common)], key=lambda pair: order.index(pair[0]))


def across(
    a: Side, b: Side, pairs: Sequence[tuple[str, str]], metric: MetricKey = "latency", *, record: Record | None = None
) -> Across:
    """Compare these pairs (A's name, B's name) by `metric`; in one run round by round, where they took turns.

    Where the work differed a pair is compared by what counts per token. `record` is the accuracy of B's machine.
    """
    one_run = a.run == b.run
    general = [] if one_run else list(between(a, b))
    looked = [_looked_at(a, b, pair, general, metric) for pair in pairs]
    # As each run itself is judged.
    level = max(_level(side) for side in (a, b))
    # All pairs are compared by each metric that is used: the correction is for all of them, in one run for those too
    # that were not chosen.
    groups = [tuple((n, contender.rounds) for n, contender in zip(p.names, p.contenders, strict=True)) for p in looked]
    if one_run:
        chosen = [{x, y} for x, y in pairs]
        rest = [pair for pair in itertools.combinations(a.contenders, 2) if set(pair) not in chosen]
        groups += [tuple((n, a.contenders[n].rounds) for n in pair) for pair in rest]
    used = {p.leading.metric for p in looked if p.leading.metric is not None}
    by = {m: compare_pairs([(x, y) for x, y in groups], m, level=level, turns=one_run) for m in used}
    outcomes = [
        _outcome(p, metric, by[p.leading.metric][place] if p.leading.metric is not None else None)
        for place, p in enumerate(looked)
    ]
    told = [_difference(c) for c in general]
    for pair, outcome in zip(looked, outcomes, strict=True):
        told += [_difference(c, pair) for c in (*pair.checks, *_own_error(pair, outcome.comparison, record))]
    # What the checks say of the machine, they say for each pair.
    told = list(dict.fromkeys(sorted(told, key=lambda d: severity(d.level))))
    return Across(
        metric=metric,
        level=level,
        outcomes=outcomes,
        rest_a=[n for n in a.contenders if n not in {x for x, _ in pairs}] if not one_run else [],
        rest_b=[n for n in b.contenders if n not in {y for _, y in pairs}] if not one_run else [],
        differences=told,
    )


def _level(side: Side) -> float:
    raced = [(contender.state.state, contender.evidence.measured) for contender in side.contenders.values()]
    return level_of(raced, side.config.iterations, done=all(state in RESTING for state, _ in raced))


def gate(found: Across, percent: float) -> tuple[list[str], list[str]]:
    """Sentences on backends for which a gate of so many percent does not hold, then on those that it says nothing of.

    It does not hold where B is shown to be slower and its typical ratio lies above the gate, where B is shown to fail
    more often at all, or where only A has samples. It says nothing where nothing was compared, where a difference as
    large would hardly have been shown, or where the share that failed grew by more than so many points and that may be
    chance.
    """
    broken = [o for o in found.outcomes if _breaks(o, percent)]
    silent = [o for o in found.outcomes if o not in broken and _leaves_open(o, percent)]
    return [o.sentence for o in broken], [o.sentence for o in silent]


def _breaks(outcome: Outcome, percent: float) -> bool:
    if outcome.comparison is None:
        return outcome.fails_more or bool(outcome.n_a and not outcome.n_b)
    slower = outcome.shown == "slower" and outcome.comparison.ratio > 1 + percent / 100
    return slower or outcome.fails_more


def _leaves_open(outcome: Outcome, percent: float) -> bool:
    found = outcome.comparison
    if found is None or outcome.failing > percent / 100:
        return True
    return not found.decided and (found.could_show is None or found.could_show > 1 + percent / 100)


def _looked_at(a: Side, b: Side, pair: tuple[str, str], general: Sequence[Check], metric: MetricKey) -> _Pair:
    first, second = a.contenders[pair[0]], b.contenders[pair[1]]
    # Of two runs machines are compared as such; one without properties has nothing to be told of it.
    names, head, machine, config = ("A", "B"), _head(*pair), Machine(), _both(a.config, b.config)
    if a.run == b.run:
        names, head, machine, config = pair, "", a.machine, a.config
    entries = [_entry(contender, name) for contender, name in zip((first, second), names, strict=True)]
    found = checks(entries, config, machine)
    if a.run != b.run:
        found = [*(c for c in found if _says(c, a, b, entries)), *set_up(*entries)]
        found = [msgspec.structs.replace(c, todo="") if c.code in _CHANGED and c.sides else c for c in found]
    # Those of the runs as a whole lie between any two.
    whole = [msgspec.structs.replace(c, backends=list(names)) for c in general]
    return _Pair(*pair, (first, second), names, found, leading_metric([*whole, *found], metric, *names), head)


def _head(a: str, b: str) -> str:
    return f"{sanitize(a, _NAME)}: " if a == b else f"{sanitize(a, _NAME)} in A, {sanitize(b, _NAME)} in B: "


def _entry(contender: Contender, name: str) -> Entry:
    renamed = msgspec.structs.replace(contender.backend, name=name)
    return Entry(renamed, msgspec.structs.replace(contender.state, name=name), contender.evidence)


def _both(a: RunConfig, b: RunConfig) -> RunConfig:
    """The settings by which to look at two runs."""
    return msgspec.structs.replace(
        b,
        iterations=min(a.iterations, b.iterations),
        max_tokens=max(a.max_tokens, b.max_tokens),
        temperature=max(a.temperature, b.temperature),
        fresh_prompt=a.fresh_prompt or b.fresh_prompt,
    )


def _says(check: Check, a: Side, b: Side, entries: Sequence[Entry]) -> bool:
    """Whether a check of one race says anything of two runs."""
    if check.code == "answers-differ":
        return a.config.prompt == b.config.prompt and not (a.config.fresh_prompt or b.config.fresh_prompt)
    if check.code == "output-tokens" and a.config.max_tokens != b.config.max_tokens:
        return False  # the cause is told
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
    values = [
        sorted(v for i in contender.rounds if (v := METRICS[shown].of(i)) is not None) for contender in pair.contenders
    ]
    median_a, median_b = (percentile(ordered, 0.5) if ordered else None for ordered in values)
    (failed_a, tried_a), (failed_b, tried_b) = map(_failures, pair.contenders)
    found = Outcome(
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
    return msgspec.structs.replace(found, sentence=sanitize(_sentence(pair, found) + _but(found), 600))


def _failures(contender: Contender) -> tuple[int, int]:
    """How many iterations gave no sample, of how many."""
    evidence, state = contender.evidence, contender.state
    tried = max(evidence.measured, state.planned) if state.failure is not None else evidence.measured
    return tried - evidence.good, tried


def _chance(failed_a: int, tried_a: int, failed_b: int, tried_b: int) -> float:
    """How likely at least `failed_b` of all these failures fall on B, when they fall on any iteration alike."""
    failed = failed_a + failed_b

    def ways(of: int, taken: int) -> float:
        """The logarithm of how many: of 100,000 iterations the number itself has as many digits."""
        return math.lgamma(of + 1) - math.lgamma(taken + 1) - math.lgamma(of - taken + 1)

    all_ways = ways(tried_a + tried_b, failed)
    most = min(failed, tried_b)
    found = (math.exp(ways(tried_b, n) + ways(tried_a, failed - n) - all_ways) for n in range(failed_b, most + 1))
    return min(1.0, math.fsum(found))


def _but(found: Outcome) -> str:
    """What goes behind a sentence where more failed in B, "" where not, or where that is all there is to say."""
    if found.failing <= 0 or not (found.n_a and found.n_b):
        return ""
    one, two = (sanitize(name, _NAME) for name in found.names)
    before = f"{found.failed_a} of {found.tried_a}" if found.failed_a else "none"
    unsure = "" if found.fails_more else " (may be chance)"
    return f"; but {two} failed in {found.failed_b} of {found.tried_b} iterations, {one} in {before}{unsure}"


def _sentence(pair: _Pair, found: Outcome) -> str:
    one, two = (sanitize(name, _NAME) for name in pair.names)
    comparison, leading = found.comparison, pair.leading
    head = pair.head or f"{one} and {two}: "
    before = ""
    if leading.instead_of is not None:
        # The evidence stands among the differences.
        reason = leading.reason.partition(":")[0]
        before = f"not comparable by {METRICS[leading.instead_of].title} ({reason})"
        if leading.metric is None:
            return head + before
        before += "; "
    assert leading.metric is not None
    of = METRICS[leading.metric].by
    if comparison is None:
        return f"{head}{before}nothing to compare{of}: {_lacking(pair, found, one, two)}"
    ratio, low, high = told(comparison.ratio, comparison.low, comparison.high)
    span = f"({100 * comparison.level:.4g} %: {low} to {high})"
    if found.shown:
        # Names that say the backend are all that goes before.
        lead = "" if not pair.head and not before else head
        return f"{lead}{before}{two} is {ratio}x {found.shown} than {one}{of} {span}"
    if comparison.known and comparison.low > 1:
        way = "slower" if comparison.slower == pair.names[1] else "faster"
        chance = f"may be chance among {comparison.pairs} pairs; more iterations would tell"
        return f"{head}{before}no verdict{of}: {two} {ratio}x {way} than {one} {span} {chance}"
    if comparison.could_show is None:
        return f"{head}{before}no verdict{of}: {comparison.unknown}"
    return f"{head}{before}no difference shown{of}; {comparison.unknown}"


def _lacking(pair: _Pair, found: Outcome, one: str, two: str) -> str:
    """Who has no samples, and why; or whose samples are no numbers to divide by."""
    if not found.n_a and not found.n_b:
        return "neither has samples"
    if found.n_a and found.n_b:
        nothing = [zeros(contender.rounds, found.metric) for contender in pair.contenders]
        return ", ".join(f"{name} has {count} of 0" for name, count in zip((one, two), nothing, strict=True) if count)
    name, state = (two, pair.contenders[1].state) if found.n_a else (one, pair.contenders[0].state)
    why = STATE_WORDS[state.state] + (f": {sanitize(str(state.failure), 200)}" if state.failure is not None else "")
    return f"{name} has no samples ({why})"
