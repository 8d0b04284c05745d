"""How often is the verdict right? Simulated races of a server against itself, and against a slower one.

    python -m tests.bench.calibration [--races 2000] [--rounds 10] [--seed 1] [--jobs 1]
                                      [--until | --early | --equal]

A/A: both backends have the same noise, so a winner is an error (goal: at most 5%). A/B: the second backend is slower by
a true 10%, and the verdict should find that (goal: 95% with noise of 3%). Coverage: how often the 95% interval contains
the true ratio (goal: 93 to 97%). `--equal`: races of 2 to 12 equal backends, in which any claim is an error, and of two
equal ones ahead of the others by far, in which a claim on the two is one (goal: at most 5% each). The last figure is
how often a true 5% gives the star.
Every share has its own 95% interval (Wilson) in parentheses. `tests.bench.races` asks the same of the real engine.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from llmtui.engine.schedule import Turns
from llmtui.model import Iteration, Order, RunConfig
from llmtui.stats.board import Board, board, narrow
from llmtui.stats.compare import compare
from llmtui.stats.correction import LEVEL
from llmtui.stats.levels import MORE_TIMES, level_after
from tests.bench.common import command_line

#: A noise: an endless source of factors around 1, in the order of the requests.
Noise = Callable[[random.Random], Iterator[float]]
SPREAD = 0.03
Z95 = statistics.NormalDist().inv_cdf(0.975)
ORDERS: tuple[Order, ...] = ("round-robin", "shuffled", "sequential")
DEFAULT_ORDER = RunConfig().order


class Share(NamedTuple):
    """A share: `hits` of `of`."""

    hits: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the true share (Wilson 1927)."""
        middle = (self.hits + Z95**2 / 2) / (self.of + Z95**2)
        spread = math.sqrt(self.hits * (self.of - self.hits) / self.of + Z95**2 / 4) * Z95 / (self.of + Z95**2)
        return max(0.0, middle - spread), min(1.0, middle + spread)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.hits / self.of:.1f}% ({100 * low:.1f} to {100 * high:.1f})"


def plain(rng: random.Random) -> Iterator[float]:
    """Log-normal, of 3%."""
    while True:
        yield math.exp(rng.gauss(0, SPREAD))


def skewed(rng: random.Random) -> Iterator[float]:
    """Exponential: never faster than 1, sometimes much slower."""
    while True:
        yield 1 + rng.expovariate(1 / SPREAD)


def outliers(rng: random.Random) -> Iterator[float]:
    """One request in ten takes up to three times as long."""
    for value in plain(rng):
        yield value * (rng.uniform(1.5, 3) if rng.random() < 0.1 else 1)


def drifting(rng: random.Random) -> Iterator[float]:
    """The machine slows down by 2% with every request."""
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
    """From a random request on, everything takes 1.5x as long."""
    at = rng.randrange(20)
    for number, value in enumerate(plain(rng)):
        yield value * (1.5 if number >= at else 1)


def wider(noise: Noise) -> Noise:
    """Return the same noise with a spread of 10% instead of 3%."""

    def widened(rng: random.Random) -> Iterator[float]:
        for value in noise(rng):
            yield value ** (0.1 / SPREAD)

    widened.__name__ = f"{noise.__name__} 10%"
    return widened


NOISES: dict[str, Noise] = {f.__name__: f for f in (plain, skewed, outliers, drifting, brief, sticky, stepped)}


def race(
    noise: Iterator[float], factors: list[float], rounds: int, order: Order = DEFAULT_ORDER, seed: int = 0
) -> dict[str, list[Iteration]]:
    """Simulate one race of backends that are slower by these factors, in the order in which the engine takes them."""
    names = [chr(ord("a") + n) for n in range(len(factors))]
    made: dict[str, list[Iteration]] = {name: [] for name in names}
    turns = Turns(order, names, seed)
    for second in range(len(names) * rounds):
        name = turns.next([name for name in names if len(made[name]) < rounds])
        assert name is not None
        made[name].append(
            Iteration(
                run="", backend=name, attempt=1, iteration=len(made[name]) + 1, phase="measured",
                started_utc=f"{second:06}", latency_s=factors[names.index(name)] * next(noise),
            )
        )  # fmt: skip
    return made


def shares(noise: Noise, factors: list[float], races: int, rounds: int, seed: int, *, order: Order) -> list[Share]:
    """Return the shares of races with a winner, with the right winner of the first pair, and with a covered truth."""
    # Each figure draws its own races, so that one unlucky seed does not appear in several of them.
    rng = random.Random(f"{seed} {noise.__name__} {order} {factors}")
    winners = right = covered = 0
    truth = factors[1] / factors[0]
    for _ in range(races):
        made = race(noise(rng), factors, rounds, order, rng.getrandbits(32))
        first = compare({name: made[name] for name in "ab"}, "latency")[0]
        ratio = truth if first.slower == "b" else 1 / truth
        winners += claimed(made)
        right += first.decided and first.slower == "b"
        covered += first.low <= ratio <= first.high
    return [Share(hits, races) for hits in (winners, right, covered)]


def claimed(made: dict[str, list[Iteration]]) -> bool:
    """Whether the verdict shows the best backend to be faster than any other one."""
    return any(c.decided for c in board(made, "latency", (), lambda *_: True, LEVEL).comparisons)


class Many(NamedTuple):
    """Shares of races of several backends."""

    #: Of equal ones, those with a claim on the best, with any claim (also on pairs of the others), with a star.
    claims: Share
    any_claims: Share
    stars: Share
    #: Of two equal ones far ahead, those with a claim on the two.
    tied: Share
    #: Of one that is truly 5% ahead, those in which it gets the star.
    found: Share


def too_many(noise: Noise, backends: int, races: int, rounds: int, seed: int) -> Many:
    """Return how often races of several backends make a false claim, and find a true one."""
    rng = random.Random(f"{seed} {noise.__name__} {backends}")
    counts = [0] * 5

    def placed(factors: Sequence[float]) -> tuple[dict[str, list[Iteration]], Board]:
        made = race(noise(rng), list(factors), rounds, seed=rng.getrandbits(32))
        return made, board(made, "latency", (), lambda *_: True, LEVEL)

    for _ in range(races):
        made, equal = placed([1] * backends)
        claims = any(c.decided for c in equal.comparisons)
        others = [c for c in compare(made, "latency") if equal.best not in (c.slower, c.faster)]
        _, tied = placed([1, 1] + [3] * (backends - 2))
        _, ahead = placed([1] + [1.05] * (backends - 1))
        outcomes = (
            claims,
            claims or any(c.decided for c in others),
            bool(equal.fastest),
            any(c.decided and {c.slower, c.faster} == {"a", "b"} for c in tied.comparisons),
            ahead.fastest == "a",
        )
        counts = [count + outcome for count, outcome in zip(counts, outcomes, strict=True)]
    return Many(*(Share(count, races) for count in counts))


def until_narrow(noise: Noise, races: int, rounds: int, seed: int) -> tuple[Share, float]:
    """Simulate A/A races with rounds added after the planned end, until the interval is within 5%, if there is no
    winner yet. Return the share with a winner at either look, and the mean number of rounds."""
    rng = random.Random(seed)
    winners = taken = 0
    for _ in range(races):
        whole = race(noise(rng), [1, 1], MORE_TIMES * rounds, seed=rng.getrandbits(32))
        made = rounds
        decided = compare(_first(whole, made), "latency")[0].decided
        if not decided:
            while made < MORE_TIMES * rounds and not narrow(_first(whole, made), 0.05):
                made += 1
            decided = compare(_first(whole, made), "latency", level=level_after(rounds, made))[0].decided
        winners += decided
        taken += made
    return Share(winners, races), taken / races


def stopped_early(noise: Noise, races: int, rounds: int, seed: int) -> tuple[Share, Share]:
    """Simulate A/A races that stop at the first winner, seen after any round. Return the shares with a winner before
    the end, and in all."""
    rng = random.Random(seed)
    before = ever = 0
    for _ in range(races):
        whole = race(noise(rng), [1, 1], rounds, seed=rng.getrandbits(32))
        level = level_after(rounds, 1, early=True)
        early = any(compare(_first(whole, n), "latency", level=level)[0].decided for n in range(6, rounds))
        before += early
        ever += early or compare(whole, "latency")[0].decided
    return Share(before, races), Share(ever, races)


def _first(made: dict[str, list[Iteration]], rounds: int) -> dict[str, list[Iteration]]:
    return {name: iterations[:rounds] for name, iterations in made.items()}


def _order_line(of: tuple[str, Order], races: int, rounds: int, seed: int) -> str:
    name, order = of
    look = functools.partial(shares, NOISES[name], races=races, rounds=rounds, order=order)
    same, _, _ = look([1, 1], seed=seed)
    three, _, _ = look([1, 1, 1], seed=seed)
    _, power, covered = look([1, 1.1], seed=seed)
    return f"{name:10} {order:12} {same!s:>24} {three!s:>24} {power!s:>24} {covered!s:>24}"


def _until_line(name: str, races: int, rounds: int, seed: int) -> str:
    winners, taken = until_narrow(wider(NOISES[name]), races, rounds, seed)
    return f"{name:10} winner {winners}  rounds {taken:.1f}"


def _early_line(name: str, races: int, rounds: int, seed: int) -> str:
    before, ever = stopped_early(NOISES[name], races, rounds, seed)
    return f"{name:10} winner before the end {before}  in all {ever}"


def _equal_line(of: tuple[str, int], races: int, rounds: int, seed: int) -> str:
    name, backends = of
    of_all = too_many(NOISES[name], backends, races, rounds, seed)
    return (
        f"{name:10} {backends:2} backends: claims {of_all.claims}, with the others {of_all.any_claims}, "
        f"stars {of_all.stars}; two tied {of_all.tied}; true 5% {of_all.found}"
    )


def main() -> None:
    """Print a line for each kind of noise."""
    parser = command_line(__doc__)
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--until", action="store_true", help="add rounds until the interval is within 5%%")
    parser.add_argument("--early", action="store_true", help="look after each round, and stop at a winner")
    parser.add_argument("--equal", action="store_true", help="races of 2 to 12 equal backends")
    given = parser.parse_args()
    size = {"races": given.races, "rounds": given.rounds, "seed": given.seed}
    with multiprocessing.Pool(given.jobs) as pool:
        if given.until:
            print(f"{given.races} A/A races of {given.rounds} rounds and more, noise of 10%, seed {given.seed}")
            lines = pool.imap(functools.partial(_until_line, **size), NOISES)
        elif given.early:
            print(f"{given.races} A/A races of {given.rounds} rounds, looked at after each, seed {given.seed}")
            lines = pool.imap(functools.partial(_early_line, **size), NOISES)
        elif given.equal:
            print(f"{given.races} races of equal backends, {given.rounds} rounds each, seed {given.seed}")
            sizes = [(name, n) for name in ("plain", "skewed", "outliers") for n in (2, 3, 5, 9, 12)]
            lines = pool.imap(functools.partial(_equal_line, **size), sizes)
        else:
            print(f"{given.races} races of {given.rounds} rounds each, seed {given.seed}; 95% intervals in parentheses")
            titles = f"{'A/A winner':>24} {'of 3':>24} {'A/B power':>24} {'A/B coverage':>24}"
            print(f"{'noise':10} {'order':12} {titles}")
            orders = [(name, order) for name in NOISES for order in ORDERS]
            lines = pool.imap(functools.partial(_order_line, **size), orders)
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
