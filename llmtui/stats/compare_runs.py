"""Compare two runs: is a backend faster or slower now, and what else is different?

Pure functions. A pair of backends is compared like two contenders of one race (llmtui.stats.checks), each with the
name of its run; differences that only runs can have come from llmtui.stats.run_differences. The first run is A, the
second is B.

Two runs do not take turns, so their times alone cannot tell a change of a backend from one of the machine. Backends
that took turns in both runs are compared relative to one another (llmtui.stats.relative). A single one needs several
runs of each side, or the spread between earlier runs (llmtui.stats.run_changes).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import msgspec

from llmtui.model import RESTING, Machine, RunConfig
from llmtui.model.accuracy import Record
from llmtui.stats.at_load import AtLoad
from llmtui.stats.between import LEAST
from llmtui.stats.between_runs import Judged, Runs
from llmtui.stats.checks import Check, Entry, Leading, checks, leading_metric, own_error, severity
from llmtui.stats.compare import Comparison, compare_pairs
from llmtui.stats.levels import level_of
from llmtui.stats.metrics import MetricKey
from llmtui.stats.run_changes import SIDES
from llmtui.stats.run_differences import (
    SETUP,
    Side,
    fresh_line_difference,
    general_differences,
    launch_difference,
    setup_differences,
    turns_difference,
)
from llmtui.stats.run_outcomes import Across, Common, Difference, Outcome, with_failures
from llmtui.stats.run_words import sentence, title
from llmtui.stats.sender_differences import way_difference
from llmtui.stats.summary import percentile
from llmtui.stats.verdict import Contender

#: Checks of one race that have no meaning between two runs, or another check in their place.
_OF_ONE_RUN = frozenset({"sequential-order", "not-interleaved", "fresh-line", "imported", "workers-differ"})
#: Differences that the user may have made on purpose: they need no fix.
_SETTINGS = frozenset({"model", "weights", "context-length", "device", "host", "threads"})
_CHANGED = _SETTINGS | {"cores-used", "prompt-tokens"}


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

    @property
    def launched(self) -> bool:
        """Whether llmtui launched the server in both runs."""
        return all(contender.backend.launched for contender in self.contenders)

    @property
    def same(self) -> bool:
        """Whether the setup of the backend is the same in both runs, as far as it is known."""
        changed = (c.code in SETUP or (c.code in _SETTINGS and c.sides) for c in self.checks)
        return self.a == self.b and not any(changed)


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


def counting(a: Side, b: Side) -> MetricKey:
    """The metric to compare two runs by unless another one is asked for: the latency, of loads the one that counts."""
    loads = a.at is not None and b.at is not None
    return a.config.metric if loads and a.config.metric == b.config.metric else "latency"


def comparable(a: Side, b: Side, metric: MetricKey) -> list[str]:
    """The names of the backends that both runs have, and that did the same work in both as far as `metric` goes."""
    general = list(general_differences(a, b))
    return [n for n, _ in paired(a, b) if _checked(a, b, (n, n), general, metric).leading.metric == metric]


def unlike_work(a: Side, b: Side, pair: tuple[str, str]) -> str:
    """Return why an energy per token of A's and B's backend is of different work or hardware; "" if it is not."""
    if a.run != b.run and (hard := a.machine.other_hardware(b.machine)):
        return f"on other hardware ({hard[0]})"
    general = [] if a.run == b.run else list(general_differences(a, b))
    # What an answer takes depends on its length and on its prompt; and the tokens have to be counted alike.
    by: tuple[MetricKey, ...] = ("latency", "tokens_per_s")
    leading = (_checked(a, b, pair, general, metric).leading for metric in by)
    return next((one.reason or "no metric is comparable" for one in leading if one.instead_of is not None), "")


def across(
    a: Side,
    b: Side,
    pairs: Sequence[tuple[str, str]],
    metric: MetricKey = "latency",
    *,
    record: Record | None = None,
    before: Sequence[Side] = (),
    after: Sequence[Side] = (),
    earlier: Sequence[Side] = (),
) -> Across:
    """Compare these pairs (A's name, B's name) by `metric`; in one run round by round, if they took turns.

    If the work differed, a pair is compared by a metric per token. `record` is the accuracy of B's machine. `before`
    and `after` are further runs of A's and of B's side, each with the same backends. `earlier` are runs like A, from
    which the spread between runs is known; A may be among them.
    """
    one_run = a.run == b.run
    general = [] if one_run else list(general_differences(a, b))
    sides = ([*before, a], [*after, b])
    checked = [_checked(a, b, pair, general, metric) for pair in pairs]
    # The strictest level of all runs.
    level = max(_level(side) for side in itertools.chain(*sides))
    if one_run:
        judged, common = _in_one_run(a, checked, level), list[Common]()
    else:
        judged, common = _between_runs(sides, checked, level, earlier)
    outcomes = with_failures(
        [
            _outcome(p, metric, j, sides, [title(p.a, p.b) for p in checked])
            for p, j in zip(checked, judged, strict=True)
        ]
    )
    known = any((before, after, len(earlier) >= LEAST))
    outcomes = [
        msgspec.structs.replace(
            o,
            sentence=sentence(o, p.contenders, p.head),
            one_launch=bool(o.others) and p.launched and not known,
        )
        for o, p in zip(outcomes, checked, strict=True)
    ]
    differences = [_difference(c) for c in general]
    if not one_run:
        compared = [o.comparison for o in outcomes if o.comparison is not None]
        told, relative = all(c.basis != "apart" for c in compared), any(o.others for o in outcomes)
        # Without a ratio, there is nothing for a change of the machine to explain.
        if compared:
            differences.append(_difference(turns_difference(a, b, told=told, relative=relative)))
    for pair, outcome in zip(checked, outcomes, strict=True):
        own = _own_error(pair, outcome.comparison, record, b.at)
        differences += [_difference(c, pair) for c in (*pair.checks, *own)]
        if outcome.one_launch and outcome.shown:
            differences.append(_difference(launch_difference(), pair))
    # Checks on the machine appear once per pair: drop the copies.
    differences = list(dict.fromkeys(sorted(differences, key=lambda d: severity(d.level))))
    return Across(
        metric=metric,
        level=level,
        outcomes=outcomes,
        rest_a=[n for n in a.contenders if n not in {x for x, _ in pairs}] if not one_run else [],
        rest_b=[n for n in b.contenders if n not in {y for _, y in pairs}] if not one_run else [],
        differences=differences,
        runs=([side.run for side in sides[0]], [side.run for side in sides[1]]),
        common=common,
    )


def _in_one_run(a: Side, checked: Sequence[_Pair], level: float) -> list[Judged]:
    """The comparisons of pairs of one run, corrected for all of its pairs, chosen or not."""
    chosen = [{p.a, p.b} for p in checked]
    rest = [pair for pair in itertools.combinations(a.contenders, 2) if set(pair) not in chosen]
    names = [*((p.a, p.b) for p in checked), *rest]
    groups = [((x, a.contenders[x].rounds), (y, a.contenders[y].rounds)) for x, y in names]
    used = {p.leading.metric for p in checked if p.leading.metric is not None}
    by = {m: compare_pairs(groups, m, level=level) for m in used}
    found = [by[p.leading.metric][at] if p.leading.metric is not None else None for at, p in enumerate(checked)]
    return [Judged(plain=c, comparison=c) for c in found]


_Sides = tuple[Sequence[Side], Sequence[Side]]


def _between_runs(
    sides: _Sides, checked: Sequence[_Pair], level: float, earlier: Sequence[Side]
) -> tuple[list[Judged], list[Common]]:
    """The comparisons of each pair, and what the backends have in common by each metric in use."""
    judged: dict[int, Judged] = {}
    common: list[Common] = []
    for metric in dict.fromkeys(p.leading.metric for p in checked if p.leading.metric is not None):
        of = {at: p for at, p in enumerate(checked) if p.leading.metric == metric}
        runs = Runs(
            a=[{at: side.contenders[p.a].rounds for at, p in of.items()} for side in sides[0]],
            b=[{at: side.contenders[p.b].rounds for at, p in of.items()} for side in sides[1]],
            names={at: title(p.a, p.b) for at, p in of.items()},
            metric=metric,
            level=level,
            same=[at for at, p in of.items() if p.same],
            earlier=[
                {at: side.contenders[p.a].rounds for at, p in of.items() if p.a in side.contenders} for side in earlier
            ],
        )
        found, alike = runs.judge()
        judged |= found
        common += alike
    return [judged.get(at, Judged()) for at in range(len(checked))], common


def _level(side: Side) -> float:
    raced = [(contender.state.state, contender.evidence.measured) for contender in side.contenders.values()]
    attempt = max((contender.state.attempt for contender in side.contenders.values()), default=1)
    done = all(state in RESTING for state, _ in raced)
    return level_of(raced, side.config.iterations, done=done, attempt=attempt)


def _checked(a: Side, b: Side, pair: tuple[str, str], general: Sequence[Check], metric: MetricKey) -> _Pair:
    first, second = a.contenders[pair[0]], b.contenders[pair[1]]
    # The machines of two runs are compared elsewhere: an empty one adds no checks here.
    names, head, machine, config = SIDES, f"{title(*pair)}: ", Machine(), _both(a.config, b.config)
    if a.run == b.run:
        names, head, machine, config = pair, "", a.machine, a.config
    entries = [_entry(contender, name) for contender, name in zip((first, second), names, strict=True)]
    at = b.at if a.load.head_level == b.load.head_level else None
    origin = a.imported or b.imported
    findings = checks(entries, config, machine, at=at, prompts=b.prompts, origin=origin)
    if a.run != b.run:
        findings = [*(c for c in findings if _applies(c, a, b, entries)), *setup_differences(*entries)]
        findings += way_difference(*entries)
        if a.config.fresh_prompt and b.config.fresh_prompt:
            findings += fresh_line_difference(*entries)
        findings = [msgspec.structs.replace(c, todo="") if c.code in _CHANGED and c.sides else c for c in findings]
    # Differences of the runs apply between any two backends.
    whole = [msgspec.structs.replace(c, backends=list(names)) for c in general]
    return _Pair(*pair, (first, second), names, findings, leading_metric([*whole, *findings], metric, *names), head)


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


def _own_error(pair: _Pair, comparison: Comparison | None, record: Record | None, at: AtLoad | None) -> list[Check]:
    if comparison is None:
        return []
    entries = [_entry(contender, name) for contender, name in zip(pair.contenders, pair.names, strict=True)]
    return own_error(entries, [comparison], record, at)


def _difference(check: Check, pair: _Pair | None = None) -> Difference:
    of = pair if check.backends else None
    return Difference(
        code=check.code,
        level=check.level,
        backend=of.a if of is not None else "",
        text=(of.head if of is not None else "") + check.text,
        todo=check.todo,
    )


def _outcome(pair: _Pair, metric: MetricKey, judged: Judged, sides: _Sides, titles: Sequence[str]) -> Outcome:
    shown = pair.leading.metric or metric
    of_sides = [
        [side.contenders[name].rounds for side in runs] for name, runs in zip((pair.a, pair.b), sides, strict=True)
    ]
    values = [sorted(value for rounds in of for value in rounds.values(shown)) for of in of_sides]
    median_a, median_b = (percentile(ordered, 0.5) if ordered else None for ordered in values)
    (failed_a, tried_a), (failed_b, tried_b) = (
        _failures([side.contenders[name] for side in runs]) for name, runs in zip((pair.a, pair.b), sides, strict=True)
    )
    relative = judged.relative
    return Outcome(
        a=pair.a,
        b=pair.b,
        names=pair.names,
        leading=pair.leading,
        metric=shown,
        n_a=len(values[0]),
        n_b=len(values[1]),
        median_a=median_a,
        median_b=median_b,
        comparison=judged.comparison,
        sentence="",
        failed_a=failed_a,
        failed_b=failed_b,
        tried_a=tried_a,
        tried_b=tried_b,
        plain=judged.plain,
        others=[titles[key] for key in relative.others] if relative is not None else [],
        mutual=relative is not None and relative.mutual,
        reference=relative is not None and relative.comparison is None,
        runs=(len(sides[0]), len(sides[1])),
        earlier=judged.earlier,
    )


def _failures(contenders: Sequence[Contender]) -> tuple[int, int]:
    """The number of failed iterations and of all iterations, in all runs of a side."""
    failed = tried = 0
    for contender in contenders:
        evidence, state = contender.evidence, contender.state
        here = max(evidence.measured, state.planned) if state.failure is not None else evidence.measured
        failed, tried = failed + here - evidence.good, tried + here
    return failed, tried
