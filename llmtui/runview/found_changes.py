"""How the knees, the largest levels within the objectives and the attainments of two runs compare, in words.

A difference is shown if the intervals do not overlap. They are those within each run: what changed from one run to the
other, such as the speed of the machine, is in none of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.model import Level, Struct
from llmtui.runview.objective_words import attained_text
from llmtui.runview.run import RunView
from llmtui.runview.search import found_of, has_search
from llmtui.stats.checks.base import listed
from llmtui.stats.knee import Knee
from llmtui.text import sanitize
from llmtui.text.format import plural

#: What stands below the sentences of two runs.
WITHIN = (
    "the intervals of knees, levels and attainments are those within each run: a machine that changed between the runs "
    "can cause a difference too"
)
_NAME = 40


class KneeRange(Struct, frozen=True):
    """The knee at `streams`, `low` to `high` (95%). If it was not `reached` it is at `low` or more, `high` is null."""

    streams: int
    low: int
    high: int | None
    reached: bool


class KeptRange(Struct, frozen=True):
    """The largest level that surely keeps the objectives, and the smallest that surely misses them.

    They are streams, or requests/s of an open loop. `kept` is 0 if no level does, `missed` null if none does. What is
    measured between them is `undecided`: its ends, null if nothing is.
    """

    kept: float
    missed: float | None
    undecided: tuple[float, float] | None


class Attained(Struct, frozen=True):
    """The share of the requests that kept the objectives, with its 95% interval and the number of requests."""

    share: float
    low: float
    high: float
    requests: int


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


def found_change(one: RunView, two: RunView, pair: tuple[str, str], names: tuple[str, str]) -> FoundChange | None:
    """Compare backend `pair[0]` of run `one` with `pair[1]` of `two`, which the sentences call `names`.

    None if there is nothing to compare.
    """
    knee = _knees(one, two, pair)
    judged = bool(one.plan.slo.limits) and one.plan.slo == two.plan.slo
    kept = _kept(one, two, pair) if judged else None
    attained = _attained(one, two, pair) if judged else []
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


def _knees(one: RunView, two: RunView, pair: tuple[str, str]) -> KneeChange | None:
    if not (has_search(one) and has_search(two)):
        return None
    knees = [found_of(run_view, name).knee for run_view, name in zip((one, two), pair, strict=True)]
    if knees[0] is None or knees[1] is None:
        return None
    a, b = _range(knees[0]), _range(knees[1])
    return KneeChange(a, b, _shown((a.low, a.high), (b.low, b.high)))


def _range(knee: Knee) -> KneeRange:
    return KneeRange(knee.streams, knee.low, knee.high if knee.reached else None, knee.reached)


def _size(level: Level) -> float:
    return level.rate if level.open else level.streams


def _kept(one: RunView, two: RunView, pair: tuple[str, str]) -> KeptChange | None:
    loops = [run_view.plan.levels and run_view.plan.levels[0].open for run_view in (one, two)]
    if loops[0] != loops[1]:
        return None
    ranges = [_kept_range(run_view, name) for run_view, name in zip((one, two), pair, strict=True)]
    a, b = ranges
    if a is None or b is None:
        return None
    # The true level is from the one that is kept on, and below the one that is missed.
    shown = "fewer" if b.missed is not None and a.kept >= b.missed else None
    shown = "more" if a.missed is not None and b.kept >= a.missed else shown
    return KeptChange(a, b, shown)


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


def _attained(one: RunView, two: RunView, pair: tuple[str, str]) -> list[AttainmentChange]:
    """The attainments at the levels that both runs have."""
    of_b = {level.title: level for level in two.plan.levels}
    changes = []
    for level in one.plan.levels:
        if (other := of_b.get(level.title)) is None:
            continue
        a, b = _share(one, pair[0], level), _share(two, pair[1], other)
        if a is not None and b is not None:
            shown = _shown((a.low, a.high), (b.low, b.high))
            changes.append(AttainmentChange(level.title, a, b, shown))
    return changes


def _share(run_view: RunView, name: str, level: Level) -> Attained | None:
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
    if not knee.reached:
        return f"at {plural(knee.low, 'stream')} or more"
    return f"at {plural(knee.streams, 'stream')} (95%: {knee.low} to {knee.high})"


def _kept_words(change: KeptChange, names: tuple[str, str], unit: str) -> str:
    more = {"more": names[1], "fewer": names[0]}.get(change.shown or "")
    result = f"{more} keeps them at more {unit}" if more else "no difference shown"
    a, b = (_kept_text(of, unit) for of in (change.a, change.b))
    return f"the objectives: {names[0]} {a}, {names[1]} {b}: {result}"


def _kept_text(of: KeptRange, unit: str) -> str:
    facts = []
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
