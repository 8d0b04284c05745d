"""The most streams at which a backend keeps the objectives, as a search finds them: by doubling, then bisection."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from llmtui.model import Load, Struct
from llmtui.model.load import ladder
from llmtui.stats.attainment import Answer, keeps
from llmtui.stats.probes import Probe, error_rate


class MostStreams(Struct, frozen=True):
    """A backend surely keeps the objectives up to `kept` streams, and surely misses them from `missed` on.

    `kept` is 0 if it is not sure of any level, `missed` None if no probe missed them. `undecided` are the ends of what
    is between the two, None if nothing is: the candidates of the search that were not measured there are among it.
    `answers` has what each probe says, and `shares` the share of its requests that kept the objectives.
    `failed_at` is the level at which the server failed, 0 if it did not.
    """

    kept: int
    missed: int | None
    undecided: tuple[int, int] | None
    answers: dict[int, Answer]
    shares: dict[int, float]
    failed_at: int = 0


def next_probe(probes: Sequence[Probe], load: Load, share: float) -> int | None:
    """Return the streams of the next probe, None at the end. `share` of the requests has to keep the objectives."""
    if not probes:
        return 1
    if len(probes) >= load.most_levels:
        return None
    candidates = ladder(load.search_until)
    missed = min((probe.streams for probe in probes if not _seems_kept(probe, share)), default=None)
    kept = max(
        (p.streams for p in probes if _seems_kept(p, share) and p.streams < (missed or p.streams + 1)), default=0
    )
    if missed is None:
        return min(2 * kept, candidates[-1]) if kept < candidates[-1] else None
    if not kept:
        return None
    if between := [count for count in candidates if kept < count < missed]:
        return between[(len(between) - 1) // 2]
    # Probes that are left narrow what is undecided below.
    result = most_streams(probes, load, share)
    above = min((probe.streams for probe in probes if probe.streams > result.kept), default=0)
    between = [count for count in candidates if result.kept < count < above]
    return between[len(between) // 2] if between and result.kept else None


def most_streams(probes: Sequence[Probe], load: Load, share: float) -> MostStreams:
    """Return what the probes of a backend say."""
    answers = answers_of(probes, load, share)
    missed = min((streams for streams, answer in answers.items() if answer == "no"), default=None)
    until = load.search_until
    kept = max(
        (streams for streams, answer in answers.items() if answer == "yes" and streams < (missed or until + 1)),
        default=0,
    )
    open_ = [count for count in ladder(until) if kept < count < (missed or until + 1)]
    return MostStreams(
        kept=kept,
        missed=missed,
        undecided=(open_[0], open_[-1]) if open_ else None,
        answers=answers,
        shares={probe.streams: statistics.fmean(probe.shares) for probe in probes if probe.shares},
        failed_at=next((probe.streams for probe in probes if probe.broken), 0),
    )


def answers_of(probes: Sequence[Probe], load: Load, share: float) -> dict[int, Answer]:
    """Return whether each probe keeps the objectives. All probes of a search together err in 5% of runs."""
    level = 1 - 2 * error_rate(load)
    return {
        probe.streams: "no" if probe.broken else keeps(probe.shares, share, probe.requests, level) for probe in probes
    }


def _seems_kept(probe: Probe, share: float) -> bool:
    """Whether the share that was measured keeps the objectives, sure or not: the search goes on from there."""
    return not probe.broken and bool(probe.shares) and statistics.fmean(probe.shares) >= share
