"""What do the data say? Comparisons and checks of one race brought together, in sentences that claim no more than that.

Where the work differed, a pair is compared by what counts per token, and its plain latency is called not comparable.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import msgspec

from llmtui.accuracy_record import Record
from llmtui.model import Iteration, Machine, RunConfig, Struct
from llmtui.plain import plain
from llmtui.stats.checks import Check, Leading, Raced, checks, leading_metric
from llmtui.stats.compare import Comparison, compare, level_after
from llmtui.stats.summary import METRIC_TITLES, Metric

_NAME = 40
_SENTENCE = 400


class Lane(Raced, Protocol):
    """A backend in the race, with its newest samples; `llmtui.engine.board.Lane` is one."""

    @property
    def rounds(self) -> list[Iteration]:
        """Samples of the attempt that counts, as many as are compared."""


class Pair(Struct, frozen=True):
    """Two backends, and how they compare by the metric that may be compared: None where none may, or none has samples.

    `sentence` is plain text.
    """

    one: str
    two: str
    leading: Leading
    comparison: Comparison | None
    sentence: str


class Verdict(Struct, frozen=True):
    """Of one moment of a run. All texts are plain.

    `line` says it in one line, `brief` in a shorter one (no intervals); both empty where there are no two backends with
    samples. `rounds` is how many of the newest samples of a backend were compared, where there are more than that; else
    0. `done`: nothing more is to come.
    """

    metric: Metric
    leading: Leading
    pairs: list[Pair]
    checks: list[Check]
    level: float
    rounds: int
    done: bool
    line: str
    brief: str

    @property
    def comparisons(self) -> list[Comparison]:
        """The pairs that could be compared."""
        return [pair.comparison for pair in self.pairs if pair.comparison is not None]

    @property
    def sentences(self) -> list[str]:
        """One for each pair, and what they are of where that is not all."""
        told = [pair.sentence for pair in self.pairs]
        if told and self.rounds:
            told.append(f"of the newest {self.rounds} rounds: that many are compared")
        return told


def judge(
    lanes: Sequence[Lane],
    config: RunConfig,
    machine: Machine,
    metric: Metric = "latency",
    *,
    record: Record | None = None,
    done: bool = True,
) -> Verdict:
    """What is to be said of these backends by `metric`; `record` is this machine's accuracy, for own-error."""
    samples = {lane.backend.name: newest for lane in lanes if (newest := lane.rounds)}
    made = max((lane.evidence.measured for lane in lanes), default=0)
    level = level_after(config.iterations, made)
    found = checks(lanes, config, machine)
    by: dict[Metric, dict[frozenset[str], Comparison]] = {}
    pairs: list[Pair] = []
    for one, two in itertools.combinations(samples, 2):
        leading = leading_metric(found, metric, one, two)
        comparison = None
        if leading.metric is not None:
            # All pairs are compared by each metric that is used: the correction is for all of them.
            if leading.metric not in by:
                compared = compare(samples, leading.metric, level=level)
                by[leading.metric] = {frozenset((c.slower, c.faster)): c for c in compared}
            comparison = by[leading.metric].get(frozenset((one, two)))
        pairs.append(Pair(one, two, leading, comparison, _sentence(one, two, leading, comparison)))
    comparisons = [pair.comparison for pair in pairs if pair.comparison is not None]
    if record is not None and any(c.decided for c in comparisons):
        found = checks(lanes, config, machine, comparisons=comparisons, record=record)
    leading = leading_metric(found, metric)
    capped = max((len(s) for s in samples.values()), default=0)
    return Verdict(
        metric=metric,
        leading=leading,
        pairs=pairs,
        checks=found,
        level=level,
        rounds=capped if any(lane.evidence.good > len(lane.rounds) for lane in lanes) else 0,
        done=done,
        line=_line(list(samples), pairs, metric, done, level, spans=True),
        brief=_line(list(samples), pairs, metric, done, level, spans=False),
    )


def _sentence(one: str, two: str, leading: Leading, comparison: Comparison | None) -> str:
    names = f"{plain(one, _NAME)} and {plain(two, _NAME)}"
    before = ""
    if leading.instead_of is not None:
        # The evidence stands among the checks.
        reason = leading.reason.partition(":")[0]
        before = f"{names}: not comparable by {METRIC_TITLES[leading.instead_of]} ({reason})"
        if comparison is None:
            return plain(before, _SENTENCE)
        before += "; "
    if comparison is None:
        title = METRIC_TITLES[leading.metric] if leading.metric is not None else "anything"
        return f"{names}: nothing to compare by {title}"
    named = msgspec.structs.replace(
        comparison, slower=plain(comparison.slower, _NAME), faster=plain(comparison.faster, _NAME)
    )
    return plain(before + named.sentence, _SENTENCE)


def _line(names: list[str], pairs: list[Pair], metric: Metric, done: bool, level: float, *, spans: bool) -> str:
    """Fastest against the rest."""
    if not pairs:
        return ""
    known = [pair.comparison for pair in pairs if pair.comparison is not None]
    reasons = [pair.leading for pair in pairs if pair.leading.instead_of is not None]
    start = ""
    if reasons and len(reasons) == len(pairs):
        start = f"not comparable by {METRIC_TITLES[metric]}"
        start += f": {reasons[0].reason}" if spans or not known else ""
        if not known:
            return start
        start += "; "
    if not known:
        return f"nothing to compare by {METRIC_TITLES[metric]}"
    metrics = {c.metric for c in known}
    wins = {name: sum(c.faster == name for c in known) for name in names}
    best = max(names, key=lambda name: wins[name])
    # What not all have in common is said of each.
    common = len(metrics) == 1
    used = known[0].metric
    by = f" by {METRIC_TITLES[used]}" if common and used != "latency" else ""
    if not any(c.decided for c in known):
        return start + _undecided(known, by, done)
    against = [c for c in known if best in (c.faster, c.slower)]
    decided = [c for c in against if c.decided and c.faster == best]
    if not decided:
        decided = [c for c in known if c.decided]
        best = decided[0].faster
        decided = [c for c in decided if c.faster == best]
    parts = []
    for number, c in enumerate(decided):
        own = "" if common else f" by {METRIC_TITLES[c.metric]}"
        at = f"{100 * level:.4g} %: " if number == 0 else ""
        span = f" ({at}{times(c.low)} to {times(c.high)})" if spans else ""
        parts.append(f"{plain(c.slower, _NAME)} {times(c.ratio)}x slower{own}{span}")
    shown = {c.slower for c in decided}
    rest = [plain(n, _NAME) for n in names if n != best and n not in shown]
    if rest:
        parts.append(f"no difference shown to {', '.join(rest)}")
    head = f"{plain(best, _NAME)} is fastest{by}" if not rest else f"{plain(best, _NAME)}{by}"
    return f"{start}{head}: {', '.join(parts)}"


def _undecided(known: list[Comparison], by: str, done: bool) -> str:
    yet = "" if done else " yet"
    n = min(c.n for c in known)
    units = "rounds" if all(c.paired for c in known) else "iterations each"
    could = [c.could_show for c in known]
    if any(value is None for value in could):
        return f"no verdict{by}{yet}: {n} {units if n != 1 else units.replace('rounds', 'round')} are too few"
    if any(c.low > 1 for c in known):
        return f"no verdict{by}{yet}: {n} {units} are too few for {len(known)} pairs"
    most = max(value for value in could if value is not None)
    return f"no difference shown{by}{yet}; {n} {units} could have shown {100 * (most - 1):.2g} %"


def times(ratio: float) -> str:
    """A ratio in three digits."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.3g}"
