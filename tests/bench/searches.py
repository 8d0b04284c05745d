"""Does a search find the knee, and the most streams that keep the objectives? Simulated servers, thousands of searches.

    python -m tests.bench.searches [knee] [pair] [most] [--searches 1000] [--jobs 1]

A turn of a server gives its true throughput at this many streams, times the machine's speed, which wanders from turn
to turn, times chance of its own. `knee`: is the true knee within the interval, in at most half the turns of all
candidates? `pair`: are two equal servers said to have different knees, and unequal ones? `most`: each request keeps
the objectives with a chance that falls with the streams and differs from turn to turn; a search errs if it says that a
level keeps them that does not, or the other way round.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterator

from llmtui.model import Load, Slo
from llmtui.model.load import ladder
from llmtui.stats import search
from llmtui.stats.knee import differ, knee_of
from llmtui.stats.most_streams import most_streams
from llmtui.stats.probes import Probe
from tests.bench.questions import Answers, Goal, Outcome, Question, ask

#: The throughput at a number of streams, in any unit.
Curve = Callable[[int], float]
SHARE = 0.95
#: What is remembered of the machine's speed from one turn to the next.
_KEEP = 0.9


def _slots(count: int, streams: int) -> float:
    """A server that computes this many requests at a time, each as fast as one alone."""
    return float(min(streams, count))


def _batching(count: int, streams: int) -> float:
    """A server whose step takes longer the more requests are in it: 10% of a step for each, up to its slots."""
    return min(streams, count) / (1 + 0.1 * min(streams, count))


def _saturating(scale: float, streams: int) -> float:
    """A server whose throughput grows ever more slowly."""
    return 1 - math.exp(-streams / scale)


def true_knee(curve: Curve, load: Load) -> int:
    """The smallest candidate with at least 90% of the largest throughput."""
    most = max(map(curve, ladder(load.search_until)))
    return next(streams for streams in ladder(load.search_until) if curve(streams) >= 0.9 * most)


def searched(load: Load, probe: Callable[[int], Probe], slo: Slo | None = None) -> list[Probe]:
    """The probes of a search, in ascending order."""
    made: list[Probe] = []
    while (streams := search.next_probe(made, load, slo or Slo())) is not None:
        made = sorted([*made, probe(streams)], key=lambda each: each.streams)
    return made


class Machine:
    """A machine whose speed wanders by `wander` (a share); each turn has `noise` of its own."""

    def __init__(self, rng: random.Random, noise: float, wander: float) -> None:
        self._rng, self._noise, self._wander = rng, noise, wander
        self._now = rng.gauss(0, wander)

    def turns(self, curve: Curve, streams: int, rounds: int) -> dict[int, float]:
        """The logarithms of the throughput of as many turns as there are rounds."""
        made = {}
        for number in range(1, rounds + 1):
            step = self._wander * math.sqrt(1 - _KEEP**2)
            self._now = _KEEP * self._now + self._rng.gauss(0, step)
            made[number] = math.log(curve(streams)) + self._now + self._rng.gauss(0, self._noise)
        return made


def _probe(streams: int, machine: Machine, curve: Curve, rounds: int) -> Probe:
    return Probe(streams=streams, speeds=machine.turns(curve, streams, rounds))


def knee_search(rng: random.Random, *, curve: Curve, load: Load, rounds: int, noise: float, wander: float) -> Answers:
    """One search for a knee."""
    machine = Machine(rng, noise, wander)
    probes = searched(load, functools.partial(_probe, machine=machine, curve=curve, rounds=rounds))
    knee, truth = knee_of(probes, load), true_knee(curve, load)
    assert knee is not None
    half = 2 * len(probes) <= len(load.levels)
    if not knee.reached:
        return knee.low <= truth, None, half
    return knee.low <= truth <= knee.high, knee.streams == truth, half


def pair_search(
    rng: random.Random, *, one: Curve, two: Curve, load: Load, rounds: int, noise: float, wander: float
) -> Answers:
    """Two searches on one machine, and whether the knee of the second is said to be at more streams, or at fewer."""
    machine = Machine(rng, noise, wander)
    first, second = (
        searched(load, functools.partial(_probe, machine=machine, curve=curve, rounds=rounds)) for curve in (one, two)
    )
    order = differ(first, second, load)
    return order < 0, order > 0


def most_search(
    rng: random.Random, *, middle: float, width: float, spread: float, load: Load, rounds: int, requests: int
) -> Answers:
    """One search for the most streams."""

    def chance(streams: int) -> float:
        return 1 / (1 + math.exp((streams - middle) / width))

    def probe(streams: int) -> Probe:
        shares = []
        for _ in range(rounds):
            of = chance(streams)
            if spread and 0 < of < 1:
                of = rng.betavariate(of / spread, (1 - of) / spread)
            shares.append(sum(rng.random() < of for _ in range(requests)) / requests)
        return Probe(streams=streams, speeds={1: 0.0, 2: 0.0}, shares=shares, requests=rounds * requests)

    slo = Slo(ttft_s=1.0, share=SHARE)
    probes = searched(load, probe, slo)
    most = most_streams(probes, load, SHARE)
    truth = max((n for n in ladder(load.search_until) if chance(n) >= SHARE), default=0)
    right = most.kept <= truth and (most.missed is None or most.missed > truth)
    return right, most.undecided is None, 2 * len(probes) <= len(load.levels)


def _knees() -> Iterator[Question]:
    outcomes = (
        Outcome("the true knee is within the interval", Goal(least=95)),
        Outcome("the knee is the true one"),
        Outcome("at most half the turns of all levels"),
    )
    curves: dict[str, Curve] = {
        **{f"{count} slots": functools.partial(_slots, count) for count in (1, 4, 6, 22)},
        "batching, 8 slots": functools.partial(_batching, 8),
        "saturating": functools.partial(_saturating, 4.0),
    }
    for until in (16, 64):
        load = Load(concurrency=[1, until], search="knee")
        for name, curve in curves.items():
            if true_knee(curve, load) * 2 > until:
                continue
            for rounds, noise, wander in ((6, 0.01, 0.01), (6, 0.03, 0.03), (10, 0.03, 0.03), (10, 0.08, 0.03)):
                setting = f"{name}, 1..{until}, {rounds} rounds, noise {100 * noise:g}%, wander {100 * wander:g}%"
                race = functools.partial(knee_search, curve=curve, load=load, rounds=rounds, noise=noise, wander=wander)
                yield Question("knee", setting, outcomes, race)


def _pairs() -> Iterator[Question]:
    load = Load(concurrency=[1, 64], search="knee")
    for one, two in ((4, 4), (7, 7), (4, 6), (7, 8)):
        for rounds, noise in ((6, 0.03), (10, 0.03), (10, 0.08)):
            goal = Goal(most=2.5) if one == two else Goal()
            outcomes = (Outcome("the second is said to have more", goal), Outcome("the second fewer", Goal(most=2.5)))
            race = functools.partial(
                pair_search,
                one=functools.partial(_slots, one),
                two=functools.partial(_slots, two),
                load=load,
                rounds=rounds,
                noise=noise,
                wander=0.02,
            )
            yield Question("pair", f"{one} and {two} slots, {rounds} rounds, noise {100 * noise:g}%", outcomes, race)


def _most() -> Iterator[Question]:
    outcomes = (
        Outcome("nothing false is said", Goal(least=95)),
        Outcome("nothing is undecided"),
        Outcome("at most half the turns of all levels"),
    )
    load = Load(concurrency=[1, 64], search="slo")
    for middle in (5.5, 12.0, 40.0):
        for width, spread in ((0.1, 0.0), (0.5, 0.0), (0.5, 0.05), (2.0, 0.05)):
            for rounds, requests in ((6, 40), (10, 40)):
                how = f"the chance falls at {middle:g} over {width:g}, turns differ by {spread:g}"
                race = functools.partial(
                    most_search, middle=middle, width=width, spread=spread, load=load, rounds=rounds, requests=requests
                )
                yield Question("most", f"{how}, {rounds} x {requests}", outcomes, race)


CASES: dict[str, Callable[[], Iterator[Question]]] = {"knee": _knees, "pair": _pairs, "most": _most}

if __name__ == "__main__":
    ask(__doc__, CASES, "searches")
