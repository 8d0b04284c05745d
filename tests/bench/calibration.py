"""How often the verdict is right: simulated races of a server against itself, and against one that is slower.

    python -m tests.bench.calibration [--races 2000] [--rounds 10] [--seed 1] [--until | --single]

A/A: both backends draw from one and the same noise; a winner is an error (goal: at most 5 %). A/B: the second is slower
by a true 10 %; a verdict that it is, is a find (goal: 95 % with noise of 3 %). Coverage: how often the 95 % interval
holds the true ratio (goal: 93 to 97 %).
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Callable, Iterator

from llmtui.model import Iteration
from llmtui.stats.bootstrap import Statistic, interval
from llmtui.stats.compare import compare, level_after, narrow

#: One noise: an endless source of factors around 1, in the order in which requests are made.
Noise = Callable[[random.Random], Iterator[float]]
SPREAD = 0.03
STATISTICS: tuple[Statistic, ...] = (statistics.median, statistics.fmean)
#: Rounds are added up to so many times those planned.
MOST = 6


def plain(rng: random.Random) -> Iterator[float]:
    """Normal, of 3 %."""
    while True:
        yield math.exp(rng.gauss(0, SPREAD))


def skewed(rng: random.Random) -> Iterator[float]:
    """Never faster than the machine, sometimes much slower."""
    while True:
        yield 1 + rng.expovariate(1 / SPREAD)


def outliers(rng: random.Random) -> Iterator[float]:
    """One request in ten takes up to three times as long."""
    for value in plain(rng):
        yield value * (rng.uniform(1.5, 3) if rng.random() < 0.1 else 1)


def drifting(rng: random.Random) -> Iterator[float]:
    """The machine slows down by 2 % with every request."""
    for number, value in enumerate(plain(rng)):
        yield value * 1.02**number


def sticky(rng: random.Random) -> Iterator[float]:
    """Autocorrelated: nine tenths of a disturbance remain at the next request."""
    level = rng.gauss(0, SPREAD)
    while True:
        level = 0.9 * level + math.sqrt(1 - 0.81) * rng.gauss(0, SPREAD)
        yield math.exp(level)


def stepped(rng: random.Random) -> Iterator[float]:
    """At some moment everything becomes half as slow again, for good."""
    at = rng.randrange(20)
    for number, value in enumerate(plain(rng)):
        yield value * (1.5 if number >= at else 1)


def wider(noise: Noise) -> Noise:
    """The same noise, of 10 % in place of 3 %."""

    def widened(rng: random.Random) -> Iterator[float]:
        for value in noise(rng):
            yield value ** (0.1 / SPREAD)

    widened.__name__ = f"{noise.__name__} 10%"
    return widened


NOISES: dict[str, Noise] = {f.__name__: f for f in (plain, skewed, outliers, drifting, sticky, stepped)}


def race(
    noise: Iterator[float], factors: list[float], rounds: int, *, turns: bool = True
) -> dict[str, list[Iteration]]:
    """One race of backends that are slower by these factors, in turns or one after the other."""
    names = [chr(ord("a") + n) for n in range(len(factors))]
    there = range(len(factors))
    order = [(n, r) for r in range(rounds) for n in (there if r % 2 == 0 else reversed(there))]
    lanes: dict[str, list[Iteration]] = {name: [] for name in names}
    for second, (n, number) in enumerate(order if turns else sorted(order)):
        lanes[names[n]].append(
            Iteration(
                run="", backend=names[n], attempt=1, iteration=number + 1, phase="measured",
                started_utc=f"{second:06}", latency_s=factors[n] * next(noise),
            )
        )  # fmt: skip
    return lanes


def shares(noise: Noise, factors: list[float], races: int, rounds: int, seed: int, *, turns: bool) -> tuple[float, ...]:
    """Shares of the races with a winner, with the right one of the first pair, with the truth in its interval."""
    rng = random.Random(seed)
    winners = right = held = 0
    truth = factors[1] / factors[0]
    for _ in range(races):
        found = compare(race(noise(rng), factors, rounds, turns=turns), "latency")
        first = found[0]
        ratio = truth if first.slower == "b" else 1 / truth
        winners += any(c.decided for c in found)
        right += first.decided and first.slower == "b"
        held += first.low <= ratio <= first.high
    return winners / races, right / races, held / races


def until_narrow(noise: Noise, races: int, rounds: int, seed: int) -> tuple[float, float]:
    """A/A races to which rounds are added until the interval is within 5 %: share with a winner, rounds taken."""
    rng = random.Random(seed)
    winners = taken = 0
    for _ in range(races):
        whole = race(noise(rng), [1, 1], MOST * rounds)
        made = rounds
        while made < MOST * rounds and not narrow(_first(whole, made), 0.05):
            made += 1
        winners += compare(_first(whole, made), "latency", level=level_after(rounds, made))[0].decided
        taken += made
    return winners / races, taken / races


def _first(lanes: dict[str, list[Iteration]], rounds: int) -> dict[str, list[Iteration]]:
    return {name: lane[:rounds] for name, lane in lanes.items()}


def coverage_of_one(noise: Noise, races: int, rounds: int, seed: int) -> tuple[float, float]:
    """How often the interval of one backend's median, and of its mean, holds the true one."""
    rng = random.Random(seed)
    source = noise(rng)
    many = [next(source) for _ in range(200_000)]
    truths = statistics.median(many), statistics.fmean(many)
    held = [0, 0]
    for _ in range(races):
        source = noise(rng)
        values = [next(source) for _ in range(rounds)]
        for n, statistic in enumerate(STATISTICS):
            found = interval(values, statistic)
            held[n] += found is not None and found[0] <= truths[n] <= found[1]
    return held[0] / races, held[1] / races


def main() -> None:
    """Print a line per kind of noise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until", action="store_true", help="rounds are added until the interval is within 5 %%")
    parser.add_argument("--single", action="store_true", help="the bootstrap intervals of one backend")
    given = parser.parse_args()
    if given.until:
        print(f"{given.races} A/A races of {given.rounds} rounds and more, noise of 10 %, seed {given.seed}")
        for name, noise in NOISES.items():
            winners, taken = until_narrow(wider(noise), given.races, given.rounds, given.seed)
            print(f"{name:10} winner {winners:6.1%}  rounds {taken:5.1f}", flush=True)
        return
    if given.single:
        print(f"{given.races} backends of {given.rounds} iterations each, seed {given.seed}: coverage of 95 %")
        for noise in (plain, skewed, wider(plain), wider(skewed)):
            median, mean = coverage_of_one(noise, given.races, given.rounds, given.seed)
            print(f"{noise.__name__:10} median {median:6.1%}  mean {mean:6.1%}", flush=True)
        return
    print(f"{given.races} races of {given.rounds} rounds each, seed {given.seed}; +- 1 % is chance")
    print(f"{'noise':10} {'order':12} {'A/A winner':>10} {'of 3':>7} {'coverage':>9} {'A/B found':>10} {'coverage':>9}")
    for name, noise in NOISES.items():
        for turns in (True, False):
            same, _, held = shares(noise, [1, 1], given.races, given.rounds, given.seed, turns=turns)
            three, _, _ = shares(noise, [1, 1, 1], given.races, given.rounds, given.seed, turns=turns)
            _, found, covered = shares(noise, [1, 1.1], given.races, given.rounds, given.seed, turns=turns)
            order = "in turns" if turns else "one by one"
            print(
                f"{name:10} {order:12} {same:10.1%} {three:7.1%} {held:9.1%} {found:10.1%} {covered:9.1%}", flush=True
            )


if __name__ == "__main__":
    main()
