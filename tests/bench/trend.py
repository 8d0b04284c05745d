"""How often does `llmtui trend` name a level shift that is none, and how often does it find a real one?

Simulated medians of runs; `AR` is the correlation of neighbouring runs on a machine that wanders. The first table is of
one look at each series, the second of looks after every run, the third of shifts in the middle or before the last runs,
in units of the scatter between runs.

    python -m tests.bench.trend [--series 2000] [--alpha 0.01]
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from llmtui.stats.level_shifts import ALPHA, level_shifts
from llmtui.text.format import percent_text
from tests.bench.common import command_line

Noise = Callable[[random.Random, int], list[float]]


def normal(rng: random.Random, n: int) -> list[float]:
    return [rng.gauss(0, 1) for _ in range(n)]


def heavy(rng: random.Random, n: int) -> list[float]:
    """Student's t with 2 degrees of freedom: now and then a run is far off."""
    return [rng.gauss(0, 1) / math.sqrt(rng.expovariate(1)) for _ in range(n)]


def wandering(correlation: float) -> Noise:
    def noise(rng: random.Random, n: int) -> list[float]:
        value, values = rng.gauss(0, 1), []
        for _ in range(n):
            values.append(value)
            value = correlation * value + math.sqrt(1 - correlation**2) * rng.gauss(0, 1)
        return values

    return noise


NOISES: dict[str, Noise] = {
    "normal": normal,
    "heavy tails": heavy,
    "AR 0.3": wandering(0.3),
    "AR 0.6": wandering(0.6),
}


def medians(values: list[float]) -> list[float]:
    """Medians in s with a scatter of 1%."""
    return [math.exp(0.01 * value) for value in values]


def one_look(noise: Noise, n: int, series: int, alpha: float) -> float:
    """The share of series of `n` runs without a shift in which one is named."""
    rng = random.Random(n)
    return sum(bool(level_shifts(medians(noise(rng, n)), alpha)) for _ in range(series)) / series


def every_run(noise: Noise, n: int, series: int, alpha: float) -> float:
    """The share in which one is named at any of the looks after each run, up to `n` runs."""
    rng, named = random.Random(n), 0
    for _ in range(series):
        values = medians(noise(rng, n))
        named += any(level_shifts(values[:end], alpha) for end in range(6, n + 1))
    return named / series


def found(size: float, before: int, after: int, series: int, alpha: float) -> float:
    """The share in which a shift by `size` is named within two runs of its place."""
    rng, named = random.Random(before), 0
    for _ in range(series):
        values = [value + (size if place >= before else 0) for place, value in enumerate(normal(rng, before + after))]
        named += any(abs(shift.at - before) <= 2 for shift in level_shifts(medians(values), alpha))
    return named / series


def main() -> None:
    parser = command_line(__doc__)
    parser.add_argument("--series", type=int, default=2000)
    parser.add_argument("--alpha", type=float, default=ALPHA)
    options = parser.parse_args()
    series, alpha = options.series, options.alpha
    print(f"alpha {alpha:g}, {series} series each\n\nfalse alarms, one look")
    for name, noise in NOISES.items():
        shares = (f"n={n} {percent_text(one_look(noise, n, series, alpha))}" for n in (10, 20, 50))
        print(f"  {name:12}", *shares, flush=True)
    few = max(1, series // 10)
    print(f"\nfalse alarms in {few} histories, a look after each run up to 40")
    for name, noise in NOISES.items():
        print(f"  {name:12} {percent_text(every_run(noise, 40, few, alpha))}", flush=True)
    print("\nshifts found within two runs of their place")
    for before, after in ((5, 5), (10, 5), (10, 10), (20, 5), (20, 20)):
        shares = (
            f"{size:g} sd {percent_text(found(size, before, after, series // 4, alpha))}" for size in (1, 2, 3, 5)
        )
        print(f"  {before:2} before, {after:2} after ", *shares, flush=True)


if __name__ == "__main__":
    main()
