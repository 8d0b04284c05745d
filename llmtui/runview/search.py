"""What a search has found, in words: a sentence for each backend, how they compare, and a few words for a panel.

A sweep of four levels or more in a closed loop has a knee too.
"""

from __future__ import annotations

import itertools
import weakref

from llmtui.model import RESTING, Level, Plan, Struct
from llmtui.runview.backend import BackendView
from llmtui.runview.objective_words import attained_text, share_text
from llmtui.runview.run import RunView
from llmtui.stats.compare import percent
from llmtui.stats.knee import LEAST_LEVELS, LEVEL, Knee, differ, knee_of
from llmtui.stats.most_streams import MostStreams, most_streams
from llmtui.stats.probes import Probe, probes_of
from llmtui.text import sanitize
from llmtui.text.format import figure_parts, plural

_NAME = 40


class Found(Struct, frozen=True):
    """What is known of one backend: its `probes`, and the `knee`, or the `most` streams within the objectives.

    Both are None if nothing can be said yet. `over`: its search is at an end.
    """

    name: str
    probes: list[Probe]
    over: bool
    knee: Knee | None = None
    most: MostStreams | None = None

    @property
    def decided(self) -> bool | None:
        """Whether the search has a clear result, None before its end or without a probe.

        A knee that was not reached is unknown. Levels may be left that keep the objectives or not.
        """
        if not self.over or not self.probes:
            return None
        if self.most is not None:
            return self.most.undecided is None
        return self.knee is not None and self.knee.reached


#: What was found of each backend, and for which turns and state it was computed.
_Cache = dict[str, tuple[tuple[object, ...], Found]]
_CACHES: weakref.WeakKeyDictionary[RunView, _Cache] = weakref.WeakKeyDictionary()


def has_search(run_view: RunView) -> bool:
    """Whether a run can have a knee, or the most streams: a search, or a closed loop of 4 levels or more."""
    return bool(run_view.plan.load.search) or plan_has_knee(run_view.plan)


def plan_has_knee(plan: Plan) -> bool:
    """Whether a run of this plan can have a knee.

    The levels of a grid differ in their lengths too, so it has none.
    """
    levels, load = plan.levels, plan.load
    if load.search:
        return load.search == "knee"
    return len(levels) >= LEAST_LEVELS and not levels[0].open and load.cells is None


def found_of(run_view: RunView, name: str) -> Found:
    """Return what is known of a backend; computed once for each number of turns. Call it where `has_search`."""
    view = run_view.backends[name]
    over = run_view.ended or view.state.state in RESTING
    key = (len(view.turns), view.state.attempt, over)
    cache = _CACHES.setdefault(run_view, {})
    if name not in cache or cache[name][0] != key:
        cache[name] = (key, _found(run_view, view, over))
    return cache[name][1]


def search_text(run_view: RunView, name: str) -> str:
    """What was found of a backend in a few words: "knee 8 (6 to 11)", "keeps up to 6"; "" if nothing was yet."""
    if not has_search(run_view):
        return ""
    found = found_of(run_view, name)
    text = ""
    if (knee := found.knee) is not None:
        text = f"knee {knee.streams} ({knee.low} to {knee.high})" if knee.reached else f"knee {knee.low} or more"
    elif (most := found.most) is not None:
        text = f"keeps up to {most.kept}" if most.kept else "keeps none" if most.missed == 1 else "undecided"
        if most.undecided is not None and found.over:
            ends = _ends(most.undecided)
            text = f"{text}, undecided at {ends}" if most.kept else f"undecided at {ends}"
    return f"{text} so far" if text and not found.over else text


def undecided_text(run_view: RunView) -> str:
    """Which backends an ended search has found no clear result of, and where; "" if it has one of all, or goes on."""
    if not run_view.plan.load.search:
        return ""
    of = [found_of(run_view, name) for name in run_view.backends]
    texts = [f"{sanitize(found.name, _NAME)} {_open_words(run_view, found)}" for found in of if found.decided is False]
    return f"the search is undecided: {'; '.join(texts)}" if texts else ""


def found_line(run_view: RunView) -> list[str]:
    """Return what a search has found in one line: with how the backends compare, without that, and shortest.

    [] if it has found nothing yet.
    """
    texts = [(name, text) for name in run_view.backends if (text := search_text(run_view, name))]
    if not texts:
        return []
    head = "the search is undecided: " if undecided_text(run_view) else ""
    each = "; ".join(
        f"{sanitize(name, _NAME)} {text.removeprefix('undecided ') if head else text}" for name, text in texts
    )
    compared = _compared(run_view, [found_of(run_view, name) for name in run_view.backends])
    return ["; ".join([head + each, *compared]), head + each, *(["the search is undecided"] if head else [])]


def result_level(run_view: RunView) -> Level | None:
    """Return the level at which an ended search is shown: that of the result of a backend. None without probes.

    Of several results it is the one that most backends have measured, and of these the one with the most streams.
    """
    of = [found for name in run_view.backends if (found := found_of(run_view, name)).probes]
    measured = [{probe.streams for probe in found.probes} for found in of]
    results = {_result_of(found) for found in of}
    if not results:
        return None
    streams = max(results, key=lambda count: (sum(count in each for each in measured), count))
    return next((level for level in run_view.plan.levels if level.streams == streams), None)


def _result_of(found: Found) -> int:
    """The measured streams that the result of a backend is at; without a sure one, the most that seem to be it."""
    counts = [probe.streams for probe in found.probes]
    if found.knee is not None:
        return found.knee.streams if found.knee.reached else counts[-1]
    if (most := found.most) is not None:
        open_ = [count for count in counts if most.answers[count] != "no" and count < (most.missed or count + 1)]
        return most.kept or max(open_, default=counts[0])
    return counts[0]


def search_sentences(run_view: RunView) -> list[str]:
    """Return what was found, a sentence for each backend, then how they compare; plain text."""
    if not has_search(run_view):
        return []
    of = [found_of(run_view, name) for name in run_view.backends]
    return [*filter(None, (sentence_of(run_view, found) for found in of)), *_compared(run_view, of)]


def sentence_of(run_view: RunView, found: Found) -> str:
    """Return the sentence of one backend; "" if nothing can be said."""
    name = sanitize(found.name, _NAME)
    if found.most is not None:
        return f"{name} {_most_words(run_view, found.most)}{'' if found.over else ', so far'}"
    if found.knee is None:
        searched = run_view.plan.load.search and found.over and found.probes
        return f"knee of {name}: unknown, as fewer than two levels could be measured" if searched else ""
    return f"knee of {name}: {_knee_words(found.knee, found.probes)}{'' if found.over else ', so far'}"


def pairs_of(run_view: RunView) -> list[tuple[str, str, int]]:
    """Return each pair of backends that can be compared, with 1 if the first one surely has more streams, -1 if fewer.

    0: it is not sure. All pairs together err in 5% of runs.
    """
    if not has_search(run_view):
        return []
    of = [found_of(run_view, name) for name in run_view.backends]
    ready = [found for found in of if found.over and (found.knee is not None or found.most is not None)]
    pairs = list(itertools.combinations(ready, 2))
    return [(one.name, two.name, _order(run_view, one, two, len(pairs))) for one, two in pairs]


def _order(run_view: RunView, one: Found, two: Found, pairs: int) -> int:
    if one.most is not None and two.most is not None:
        if two.most.missed is not None and one.most.kept >= two.most.missed:
            return 1
        return -1 if one.most.missed is not None and two.most.kept >= one.most.missed else 0
    first, second = one.knee, two.knee
    if first is None or second is None or not (first.reached or second.reached):
        return 0
    # A knee that was not reached is above all that was measured below it.
    order = differ(one.probes, two.probes, run_view.plan.load, pairs)
    return 0 if (order < 0 and not first.reached) or (order > 0 and not second.reached) else order


def _compared(run_view: RunView, of: list[Found]) -> list[str]:
    what = "the most streams within the objectives" if run_view.plan.load.search == "slo" else "the knees"
    sentences, open_ = [], []
    for one, two, order in pairs_of(run_view):
        more, fewer = (sanitize(name, _NAME) for name in ((one, two) if order >= 0 else (two, one)))
        if not order:
            open_.append(f"{more} and {fewer}")
        elif run_view.plan.load.search == "slo":
            sentences.append(f"{more} keeps the objectives at more streams than {fewer}")
        else:
            sentences.append(f"the knee of {more} is at more streams than that of {fewer}")
    return [*sentences, *([f"no clear difference in {what}: {'; '.join(open_)}"] if open_ else [])]


def _knee_words(knee: Knee, probes: list[Probe]) -> str:
    top = max(probe.streams for probe in probes if probe.measured)
    plateau = f"{figure_parts(knee.plateau, 'tokens/s')[0]} output tokens/s"
    if knee.reached:
        at = f"{percent(LEVEL)}: {knee.low} to {knee.high}"
        text = f"{plural(knee.streams, 'stream')} ({at}), {plateau} at the plateau"
    else:
        text = f"not reached up to {plural(top, 'stream')} ({plateau}), so at {knee.low} or more"
    if knee.reached and not knee.sure:
        text += f"; it is not sure that more than {top} gain less than 5%"
    return text + (f"; the server failed at {plural(knee.failed_at, 'stream')}" if knee.failed_at else "")


def _most_words(run_view: RunView, most: MostStreams) -> str:
    share, until = run_view.plan.slo.share, run_view.plan.load.search_until
    if most.kept:
        text = f"keeps the objectives up to {plural(most.kept, 'stream')}{_kept_share(most, most.kept)}"
    elif most.missed == 1:
        had = f": {attained_text(most.shares[1])} of its requests keep them, " if 1 in most.shares else ": "
        text = f"does not keep the objectives even at 1 stream{had}{share_text(share)} should"
    else:
        text = "may keep the objectives or not, even at 1 stream"
    if most.kept == until:
        return f"{text}, where the search ends"
    if most.undecided is not None:
        text += f"; undecided at {_ends(most.undecided)}"
    if most.failed_at and most.failed_at == most.missed:
        return f"{text}; the server failed at {plural(most.failed_at, 'stream')}"
    if most.missed is not None and most.missed > 1:
        text += f"; misses them at {most.missed}{_kept_share(most, most.missed)}"
    return text


def _open_words(run_view: RunView, found: Found) -> str:
    """Where a result is missing: "at 5 to 7 streams", "not reached up to 64 streams"."""
    if found.most is not None and found.most.undecided is not None:
        low, high = found.most.undecided
        return f"at {plural(high, 'stream')}" if low == high else f"at {low} to {high} streams"
    measured = [probe.streams for probe in found.probes if probe.measured]
    if found.knee is None or not measured:
        return "as fewer than two levels could be measured"
    return f"beyond {plural(measured[-1], 'stream')}"


def _kept_share(most: MostStreams, streams: int) -> str:
    return f" ({attained_text(most.shares[streams])} kept)" if streams in most.shares else ""


def _ends(between: tuple[int, int]) -> str:
    return str(between[0]) if between[0] == between[1] else f"{between[0]} to {between[1]}"


def _found(run_view: RunView, view: BackendView, over: bool) -> Found:
    plan, name = run_view.plan, view.backend.name
    turns = [turn for turn in view.turns if turn.attempt == view.state.attempt]
    # What a person stopped has not failed.
    given_up = over and view.state.state != "stopped"
    rounds = plan.config.iterations if plan.load.search else 1
    probes = probes_of(turns, plan.levels, rounds, over=given_up)
    if plan.load.search == "slo":
        most = most_streams(probes, plan.load, plan.slo.share) if probes else None
        return Found(name=name, probes=probes, over=over, most=most)
    return Found(name=name, probes=probes, over=over, knee=knee_of(probes, plan.load))
