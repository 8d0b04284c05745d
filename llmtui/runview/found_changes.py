"""How the knees, the largest levels within the objectives and the attainments of two runs compare, in words.

A difference is shown if the intervals do not overlap. They are those within each run: what changed from one run to the
other, such as the speed of the machine, is in none of them. Of several runs of a side, those of all runs count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llmtui.model import Level, Struct
from llmtui.runview.objective_words import attained_text
from llmtui.runview.run import RunView
from llmtui.runview.search import found_of, has_search
from llmtui.stats.checks.base import listed
from llmtui.text import sanitize
from llmtui.text.format import plural

#: What stands below the sentences of two runs, and of several runs of each side.
WITHIN = (
    "the intervals of knees, levels and attainments are those within each run: a machine that changed between the runs "
    "can cause a difference too"
)
OVER_RUNS = (
    "knees, levels and attainments are ranges over all runs of a side, with the intervals within each: a difference is "
    "shown if the ranges of the sides do not overlap"
)
_NAME = 40


class KneeRange(Struct, frozen=True):
    """The knee at `streams`, `low` to `high` (95%). If it was not `reached` it is at `low` or more, `high` is null.

    Of several `runs` these are the ends over all of them, and `streams` is that of the newest.
    """

    streams: int
    low: int
    high: int | None
    reached: bool
    runs: int = 1


class KeptRange(Struct, frozen=True):
    """The largest level that surely keeps the objectives, and the smallest that surely misses them.

    They are streams, or requests/s of an open loop. `kept` is 0 if no level does, `missed` null if none does. What is
    measured between them is `undecided`: its ends, null if nothing is. Of several `runs`, it is so in every one.
    """

    kept: float
    missed: float | None
    undecided: tuple[float, float] | None
    runs: int = 1


class Attained(Struct, frozen=True):
    """The share of the requests that kept the objectives, with its 95% interval and the number of requests.

    Of several `runs` it is that of all requests, and the interval has the ends over all of them.
    """

    share: float
    low: float
    high: float
    requests: int
    runs: int = 1


class KneeChange(Struct, frozen=True):
    """Two knees; `shown` is "more" if B's is at more streams, "fewer", or null."""

    a: KneeRange
    b: KneeRange
    shown: str | None


class KeptChange(Struct, frozen=True):
    """Two largest levels within the objectives; `shown` is "more" if B's is larger, "fewer", or null."""

    a: KeptRange
    b: KeptRange
    shown: str | None


class AttainmentChange(Struct, frozen=True):
    """The attainments at one `level`; `shown` is "more" if B's is larger, "fewer", or null."""

    level: str
    a: Attained
    b: Attained
    shown: str | None


class FoundChange(Struct, frozen=True):
    """How backend `a` of run A and `b` of run B compare; null and [] where a run does not tell it."""

    a: str
    b: str
    knee: KneeChange | None
    objectives: KeptChange | None
    attainment: list[AttainmentChange]
    sentences: list[str]


#: The runs of one side, oldest first.
_Side = Sequence[RunView]


def found_change(a: _Side, b: _Side, pair: tuple[str, str], names: tuple[str, str]) -> FoundChange | None:
    """Compare backend `pair[0]` of the runs of side `a` with `pair[1]` of `b`, which the sentences call `names`.

    None if there is nothing to compare. What a side has found is what all of its runs have found together.
    """
    one, two = a[-1], b[-1]
    knee = _knees(a, b, pair)
    judged = bool(one.plan.slo.limits) and one.plan.slo == two.plan.slo
    kept = _kept(a, b, pair) if judged else None
    attained = _attained(a, b, pair) if judged else []
    if knee is None and kept is None and not attained:
        return None
    called = (sanitize(names[0], _NAME), sanitize(names[1], _NAME))
    head = f"{sanitize(pair[0], _NAME)}: " if names == ("A", "B") else ""
    if head and pair[0] != pair[1]:
        head = f"{sanitize(pair[0], _NAME)} / {sanitize(pair[1], _NAME)}: "
    open_ = one.plan.levels[0].open
    texts = [_knee_words(knee, called)] if knee is not None else []
    texts += [_kept_words(kept, called, "requests/s" if open_ else "streams")] if kept is not None else []
    texts += _attained_words(attained, called)
    return FoundChange(*pair, knee, kept, attained, [head + text for text in texts])


def _shown(a: tuple[float, float | None], b: tuple[float, float | None]) -> str | None:
    """Whether the range of `b` is above that of `a`, or below it; a range may have no upper end."""
    if a[1] is not None and b[0] > a[1]:
        return "more"
    return "fewer" if b[1] is not None and a[0] > b[1] else None


def _knees(one: _Side, two: _Side, pair: tuple[str, str]) -> KneeChange | None:
    if not all(map(has_search, (*one, *two))):
        return None
    a, b = (_range(runs, name) for runs, name in zip((one, two), pair, strict=True))
    if a is None or b is None:
        return None
    return KneeChange(a, b, _shown((a.low, a.high), (b.low, b.high)))


def _range(runs: _Side, name: str) -> KneeRange | None:
    """The knee in these runs together; None if one of them has none."""
    knees = [knee for run_view in runs if (knee := found_of(run_view, name).knee) is not None]
    if len(knees) < len(runs):
        return None
    reached = all(knee.reached for knee in knees)
    high = max(knee.high for knee in knees) if reached else None
    return KneeRange(knees[-1].streams, min(knee.low for knee in knees), high, reached, len(runs))


def _size(level: Level) -> float:
    return level.rate if level.open else level.streams


def _kept(one: _Side, two: _Side, pair: tuple[str, str]) -> KeptChange | None:
    loops = [run_view.plan.levels and run_view.plan.levels[0].open for run_view in (one[-1], two[-1])]
    if loops[0] != loops[1]:
        return None
    a, b = (_kept_in_all(runs, name) for runs, name in zip((one, two), pair, strict=True))
    if a is None or b is None:
        return None
    # The true level is from the one that is kept on, and below the one that is missed.
    shown = "fewer" if b.missed is not None and a.kept >= b.missed else None
    shown = "more" if a.missed is not None and b.kept >= a.missed else shown
    return KeptChange(a, b, shown)


def _kept_in_all(runs: _Side, name: str) -> KeptRange | None:
    """What is so in every one of these runs; None if one of them does not tell it."""
    ranges = [of for run_view in runs if (of := _kept_range(run_view, name)) is not None]
    if len(ranges) < len(runs):
        return None
    if len(ranges) == 1:
        return ranges[0]
    kept, all_missed = min(of.kept for of in ranges), [of.missed for of in ranges if of.missed is not None]
    missed = max(all_missed) if len(all_missed) == len(ranges) else None
    levels = [level for of in ranges for level in (of.kept, of.missed, *(of.undecided or ())) if level is not None]
    between = [level for level in levels if kept < level < (missed or math.inf)]
    return KeptRange(kept, missed, (min(between), max(between)) if between else None, len(runs))


def _kept_range(run_view: RunView, name: str) -> KeptRange | None:
    load, slo = run_view.plan.load, run_view.plan.slo
    if load.search == "slo":
        most = found_of(run_view, name).most
        return KeptRange(most.kept, most.missed, most.undecided) if most is not None else None
    if load.search or load.cells is not None or load.trace:
        return None
    view = run_view.backends[name]
    at = sorted((_size(level), view.at_level(level.number)) for level in run_view.plan.levels)
    answers = {size: figures.keeps(slo.share) for size, figures in at if figures.shares}
    if not answers:
        return None
    missed = min((size for size, answer in answers.items() if answer == "no"), default=None)
    below = {size: answer for size, answer in answers.items() if missed is None or size < missed}
    kept = max((size for size, answer in below.items() if answer == "yes"), default=0)
    open_ = [size for size in below if size > kept]
    return KeptRange(kept, missed, (open_[0], open_[-1]) if open_ else None)


def _attained(one: _Side, two: _Side, pair: tuple[str, str]) -> list[AttainmentChange]:
    """The attainments at the levels that all runs have."""
    changes = []
    for level in one[-1].plan.levels:
        a, b = (_share(runs, name, level.title) for runs, name in zip((one, two), pair, strict=True))
        if a is not None and b is not None:
            shown = _shown((a.low, a.high), (b.low, b.high))
            changes.append(AttainmentChange(level.title, a, b, shown))
    return changes


def _share(runs: _Side, name: str, title: str) -> Attained | None:
    """The attainment at a level in these runs together; None if one of them does not tell it."""
    found = [of for run_view in runs if (of := _share_of_run(run_view, name, title)) is not None]
    if len(found) < len(runs):
        return None
    requests = sum(of.requests for of in found)
    share = sum(of.share * of.requests for of in found) / requests if requests else found[-1].share
    return Attained(share, min(of.low for of in found), max(of.high for of in found), requests, len(found))


def _share_of_run(run_view: RunView, name: str, title: str) -> Attained | None:
    level = next((level for level in run_view.plan.levels if level.title == title), None)
    if level is None:
        return None
    figures = run_view.backends[name].at_level(level.number)
    share, interval = figures.attainment, figures.attainment_interval
    if share is None or interval is None:
        return None
    return Attained(share, *interval, figures.kept + figures.missed)


# --- Words ---


def _knee_words(change: KneeChange, names: tuple[str, str]) -> str:
    a, b = (_knee_text(knee) for knee in (change.a, change.b))
    more = {"more": names[1], "fewer": names[0]}.get(change.shown or "")
    result = f"that of {more} is at more streams" if more else "no difference shown"
    return f"the knee of {names[0]} is {a}, that of {names[1]} {b}: {result}"


def _knee_text(knee: KneeRange) -> str:
    over = f" over {knee.runs} runs" if knee.runs > 1 else ""
    if not knee.reached:
        return f"at {plural(knee.low, 'stream')} or more{over}"
    if over:
        known = plural(knee.low, "stream") if knee.low == knee.high else f"{knee.low} to {knee.high} streams"
        return f"at {known}{over}"
    return f"at {plural(knee.streams, 'stream')} (95%: {knee.low} to {knee.high})"


def _kept_words(change: KeptChange, names: tuple[str, str], unit: str) -> str:
    more = {"more": names[1], "fewer": names[0]}.get(change.shown or "")
    result = f"{more} keeps them at more {unit}" if more else "no difference shown"
    a, b = (_kept_text(of, unit) for of in (change.a, change.b))
    return f"the objectives: {names[0]} {a}, {names[1]} {b}: {result}"


def _kept_text(of: KeptRange, unit: str) -> str:
    facts = [f"in each of {of.runs} runs"] if of.runs > 1 else []
    if of.undecided is not None:
        low, high = of.undecided
        facts.append(f"undecided at {low:g}" + (f" to {high:g}" if high != low else ""))
    if of.missed is not None:
        facts.append(f"misses them at {of.missed:g}")
    unit = "stream" if of.kept == 1 and unit == "streams" else unit
    text = f"keeps them up to {of.kept:g} {unit}" if of.kept else "keeps them at no level for sure"
    return text + (f" ({', '.join(facts)})" if facts else "")


def _attained_words(changes: Sequence[AttainmentChange], names: tuple[str, str]) -> list[str]:
    texts = []
    for change in changes:
        if change.shown is not None:
            more = names[change.shown == "more"]
            a, b = (_attained_text(of) for of in (change.a, change.b))
            texts.append(
                f"attainment at {change.level}: {names[0]} {a}, {names[1]} {b}: {more} keeps the objectives in more "
                "of its requests"
            )
    if same := [change.level for change in changes if change.shown is None]:
        texts.append(f"attainment at {listed(same)}: no difference shown")
    return texts


def _attained_text(of: Attained) -> str:
    return f"{attained_text(of.share)} (95%: {attained_text(of.low)} to {attained_text(of.high)})"
