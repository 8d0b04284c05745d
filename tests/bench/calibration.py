"""How often the verdict is right: simulated races of a server against itself, and against one that is slower.

    python -m tests.bench.calibration [--races 2000] [--rounds 10] [--seed 1] [--jobs 1] [--until | --early | --single]

A/A: both backends draw from one and the same noise; a winner is an error (goal: at most 5 %). A/B: the second is slower
by a true 10 %; a verdict that it is, is a find (goal: 95 % with noise of 3 %). Coverage: how often the 95 % interval
holds the true ratio (goal: 93 to 97 %). Every share has its own 95 % interval (Wilson): what chance leaves open.
`tests.bench.races` asks the same of the real engine.
"""

from __future__ import annotations

import argparse
import functools
import math
import multiprocessing
import random
import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

from llmtui.engine.schedule import Turns
from llmtui.model import Iteration, Order, RunConfig
from llmtui.stats.bootstrap import Statistic, interval
from llmtui.stats.compare import MORE_TIMES, compare, level_after, narrow

#: One noise: an endless source of factors around 1, in the order in which requests are made.
Noise = Callable[[random.Random], Iterator[float]]
SPREAD = 0.03
Z95 = statistics.NormalDist().inv_cdf(0.975)
STATISTICS: tuple[Statistic, ...] = (statistics.median, statistics.fmean)
ORDERS: tuple[Order, ...] = ("round-robin", "shuffled", "sequential")
#: Where a config does not say.
USUAL = RunConfig().order


class Share(NamedTuple):
    """So many of all."""

    hits: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true share lies, at 95 % (Wilson 1927)."""
        middle = (self.hits + Z95**2 / 2) / (self.of + Z95**2)
        spread = math.sqrt(self.hits * (self.of - self.hits) / self.of + Z95**2 / 4) * Z95 / (self.of + Z95**2)
        return max(0.0, middle - spread), min(1.0, middle + spread)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.hits / self.of:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


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


def brief(rng: random.Random) -> Iterator[float]:
    """Autocorrelated: half of a disturbance remains at the next request."""
    return _remaining(rng, 0.5)


def sticky(rng: random.Random) -> Iterator[float]:
    """Autocorrelated: nine tenths of a disturbance remain at the next request."""
    return _remaining(rng, 0.9)


def _remaining(rng: random.Random, share: float) -> Iterator[float]:
    level = rng.gauss(0, SPREAD)
    while True:
        yield math.exp(level)
        level = share * level + math.sqrt(1 - share**2) * rng.gauss(0, SPREAD)


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


NOISES: dict[str, Noise] = {f.__name__: f for f in (plain, skewed, outliers, drifting, brief, sticky, stepped)}


def race(
    noise: Iterator[float], factors: list[float], rounds: int, order: Order = USUAL, seed: int = 0
) -> dict[str, list[Iteration]]:
    """One race of backends that are slower by these factors, in the order in which the engine would ask them."""
    names = [chr(ord("a") + n) for n in range(len(factors))]
    backend_views: dict[str, list[Iteration]] = {name: [] for name in names}
    turns = Turns(order, names, seed)
    for second in range(len(names) * rounds):
        name = turns.next([name for name in names if len(backend_views[name]) < rounds])
        assert name is not None
        backend_views[name].append(
            Iteration(
                run="", backend=name, attempt=1, iteration=len(backend_views[name]) + 1, phase="measured",
                started_utc=f"{second:06}", latency_s=factors[names.index(name)] * next(noise),
            )
        )  # fmt: skip
    return backend_views


def shares(noise: Noise, factors: list[float], races: int, rounds: int, seed: int, *, order: Order) -> list[Share]:
    """Shares of the races with a winner, with the right one of the first pair, with the truth in its interval."""
    # A draw of its own for each figure: one unlucky seed is not told many times.
    rng = random.Random(f"{seed} {noise.__name__} {order} {factors}")
    winners = right = held = 0
    truth = factors[1] / factors[0]
    for _ in range(races):
        found = compare(race(noise(rng), factors, rounds, order, rng.getrandbits(32)), "latency")
        first = found[0]
        ratio = truth if first.slower == "b" else 1 / truth
        winners += any(c.decided for c in found)
        right += first.decided and first.slower == "b"
        held += first.low <= ratio <= first.high
    return [Share(hits, races) for hits in (winners, right, held)]


def until_narrow(noise: Noise, races: int, rounds: int, seed: int) -> tuple[Share, float]:
    """A/A races whose user looks at the planned end, and where nothing is shown has rounds added until the interval is
    within 5 %, and looks again: those with a winner at either look, and the rounds taken."""
    rng = random.Random(seed)
    winners = taken = 0
    for _ in range(races):
        whole = race(noise(rng), [1, 1], MORE_TIMES * rounds, seed=rng.getrandbits(32))
        made = rounds
        found = compare(_first(whole, made), "latency")[0].decided
        if not found:
            while made < MORE_TIMES * rounds and not narrow(_first(whole, made), 0.05):
                made += 1
            found = compare(_first(whole, made), "latency", level=level_after(rounds, made))[0].decided
        winners += found
        taken += made
    return Share(winners, races), taken / races


def looked_at(noise: Noise, races: int, rounds: int, seed: int) -> tuple[Share, Share]:
    """A/A races whose user looks after each round and stops at a winner: those with one before the end, and in all."""
    rng = random.Random(seed)
    before = ever = 0
    for _ in range(races):
        whole = race(noise(rng), [1, 1], rounds, seed=rng.getrandbits(32))
        level = level_after(rounds, 1, early=True)
        early = any(compare(_first(whole, n), "latency", level=level)[0].decided for n in range(6, rounds))
        before += early
        ever += early or compare(whole, "latency")[0].decided
    return Share(before, races), Share(ever, races)


def _first(backend_views: dict[str, list[Iteration]], rounds: int) -> dict[str, list[Iteration]]:
    return {name: backend_view[:rounds] for name, backend_view in backend_views.items()}


def coverage_of_one(noise: Noise, races: int, rounds: int, seed: int) -> list[Share]:
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
    return [Share(hits, races) for hits in held]


def _order_line(of: tuple[str, Order], races: int, rounds: int, seed: int) -> str:
    name, order = of
    look = functools.partial(shares, NOISES[name], races=races, rounds=rounds, order=order)
    same, _, _ = look([1, 1], seed=seed)
    three, _, _ = look([1, 1, 1], seed=seed)
    _, found, covered = look([1, 1.1], seed=seed)
    return f"{name:10} {order:12} {same!s:>24} {three!s:>24} {found!s:>24} {covered!s:>24}"


def _until_line(name: str, races: int, rounds: int, seed: int) -> str:
    winners, taken = until_narrow(wider(NOISES[name]), races, rounds, seed)
    return f"{name:10} winner {winners}  rounds {taken:.1f}"


def _early_line(name: str, races: int, rounds: int, seed: int) -> str:
    before, ever = looked_at(NOISES[name], races, rounds, seed)
    return f"{name:10} winner before the end {before}  in all {ever}"


def _single_line(of: tuple[str, bool], races: int, rounds: int, seed: int) -> str:
    name, wide = of
    median, mean = coverage_of_one(wider(NOISES[name]) if wide else NOISES[name], races, rounds, seed)
    return f"{name:10} {'10 %' if wide else '3 %':>5} median {median}  mean {mean}"


def main() -> None:
    """Print a line per kind of noise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--until", action="store_true", help="a look, then rounds until the interval is within 5 %%")
    parser.add_argument("--early", action="store_true", help="a look after each round, and a stop at a winner")
    parser.add_argument("--single", action="store_true", help="the bootstrap intervals of one backend")
    given = parser.parse_args()
    size = {"races": given.races, "rounds": given.rounds, "seed": given.seed}
    with multiprocessing.Pool(given.jobs) as pool:
        if given.until:
            print(f"{given.races} A/A races of {given.rounds} rounds and more, noise of 10 %, seed {given.seed}")
            lines = pool.imap(functools.partial(_until_line, **size), NOISES)
        elif given.early:
            print(f"{given.races} A/A races of {given.rounds} rounds, looked at after each, seed {given.seed}")
            lines = pool.imap(functools.partial(_early_line, **size), NOISES)
        elif given.single:
            print(f"{given.races} backends of {given.rounds} iterations each, seed {given.seed}: coverage of 95 %")
            kinds = [(name, wide) for wide in (False, True) for name in ("plain", "skewed")]
            lines = pool.imap(functools.partial(_single_line, **size), kinds)
        else:
            print(f"{given.races} races of {given.rounds} rounds each, seed {given.seed}; in brackets what is chance")
            titles = f"{'A/A winner':>24} {'of 3':>24} {'A/B found':>24} {'A/B coverage':>24}"
            print(f"{'noise':10} {'order':12} {titles}")
            orders = [(name, order) for name in NOISES for order in ORDERS]
            lines = pool.imap(functools.partial(_order_line, **size), orders)
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
