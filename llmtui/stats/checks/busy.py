"""Did other programs change the result? A busy machine is worth a word only then, and these are the limits.

The effect on a backend is by how much its median would be lower without the iterations that other programs (or the
hypervisor) disturbed: those against its quiet ones, or, if there are too few of either, the share of the cores that
they took from a server that needed them. The latter is a bound: it is reached if the server always waited for them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from llmtui.stats.checks.base import Entry, Race
from llmtui.stats.checks.evidence import Thinned
from llmtui.stats.ranks import rank_sum_p

#: An effect is reported from this share of the difference to another backend on, or of the interval of that difference
#: if it is wider.
SHARE_OF_DIFFERENCE = 0.1
#: An effect on the figure itself is reported from this share of it on, also if it hits all backends alike.
SHARE_OF_FIGURE = 0.1
#: Busy and quiet iterations are compared from this many of each on, ...
LEAST_OF_EACH = 5
#: ... and differ if chance is less likely than this, divided by the number of backends (rank sums).
CHANCE = 0.02
#: Fewer busy ones move the median if they are at least this share of all.
LEAST_SHARE = 0.25
#: The machine is full if server and other programs together use this share of its cores.
FULL = 0.9
#: The standard error of a median is this much of the interquartile range, divided by the root of n.
_MEDIAN_ERROR = 0.93


class Effect(NamedTuple):
    """By how much busy iterations raise the median latency, as a share of it; 0 if that is not shown.

    `bound`: it is at most that, by the share of the cores alone. `spans` is the interquartile range of the latencies as
    a share of the median: what can be seen of it then, though a steady load would not widen it.
    """

    share: float = 0.0
    bound: bool = False
    spans: float = 0.0


def busy_effects(race: Race) -> dict[str, Effect]:
    """The effects that matter, by backend."""
    chance = CHANCE / max(1, len(race.sampled))
    effects = {e.name: effect(e, race.machine.cores, chance) for e in race.sampled}
    return {e.name: effects[e.name] for e in race.sampled if effects[e.name].share and _matters(race, e, effects)}


def effect(entry: Entry, cores: int, chance: float = CHANCE) -> Effect:
    """The effect on a backend, of a machine with this number of cores (0: unknown)."""
    evidence = entry.evidence
    if not evidence.busy.values:
        return Effect()
    share = evidence.disturbed_or_stolen / evidence.good
    busy, quiet = evidence.busy, evidence.quiet
    if min(len(busy.values), len(quiet.values)) >= LEAST_OF_EACH:
        if not quiet.at(0.5) or rank_sum_p(busy.values, quiet.values) >= chance:
            return Effect()
        return Effect(share * (busy.at(0.5) / quiet.at(0.5) - 1))
    if share < LEAST_SHARE:
        return Effect()
    taken, own = evidence.taken.median or 0.0, evidence.server_cpu.median
    if not cores or taken + (own if own is not None else 1.0) < FULL * cores:
        return Effect()
    return Effect(share * min(1.0, taken / cores), bound=True, spans=_spans(evidence.metrics["latency"]))


def _matters(race: Race, entry: Entry, effects: dict[str, Effect]) -> bool:
    if abs(effects[entry.name].share) > SHARE_OF_FIGURE:
        return True
    for other in race.sampled:
        if other.name != entry.name:
            one, two = (e.evidence.metrics["latency"] for e in (entry, other))
            if not (one.at(0.5) > 0 and two.at(0.5) > 0):
                continue
            difference = abs(math.log(one.at(0.5) / two.at(0.5)))
            interval = 2 * math.hypot(_error(one) / one.at(0.5), _error(two) / two.at(0.5))
            explained = abs(effects[entry.name].share - effects[other.name].share)
            if explained > SHARE_OF_DIFFERENCE * max(difference, interval):
                return True
    return False


def _spans(values: Thinned) -> float:
    """The interquartile range as a share of the median, 0 without values."""
    return (values.at(0.75) - values.at(0.25)) / median if (median := values.median) else 0.0


def _error(values: Thinned) -> float:
    """The standard error of the median."""
    return _MEDIAN_ERROR * (values.at(0.75) - values.at(0.25)) / math.sqrt(len(values.values))
