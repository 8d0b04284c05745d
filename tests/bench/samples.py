"""How often do the figures of one backend hold the truth? Simulated samples of ten kinds of noise.

    python -m tests.bench.samples [--races 2000] [--seed 1] [--jobs 1] [--means]

For each noise and number of samples: how often the 95% interval of the median and of the mean contain the true value,
how often the interval of the mean is shown, and how often the true 95th percentile is below its limit, or below its
estimate. Goal: 95%, of the estimate 50%. `--means`: how often the verdict says that means differ from typical values,
in races of two equal backends (an error; goal: at most 2%) and if one takes twice as long for every fifth request.
Every share has its own 95% interval (Wilson) in parentheses.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import random
import statistics
from collections.abc import Callable

from llmtui.model import Iteration
from llmtui.stats.compare import compare
from llmtui.stats.intervals import TAIL_FROM, estimate
from llmtui.stats.rounds import Rounds
from llmtui.stats.shape import means_apart
from llmtui.stats.sorted_values import Sample
from tests.bench.calibration import Share
from tests.bench.common import command_line

SIZES = (6, 10, 20, 50, 59, 100, 200)
#: One value of a noise.
Draw = Callable[[random.Random], float]


def rare(share: float) -> Draw:
    """Normal of 3%; this share of the values is 1.5 to 3 times as large."""
    return lambda rng: rng.gauss(1, 0.03) * (rng.uniform(1.5, 3) if rng.random() < share else 1)


NOISES: dict[str, Draw] = {
    "normal 3%": lambda rng: rng.gauss(1, 0.03),
    "normal 10%": lambda rng: rng.gauss(1, 0.1),
    "exponential 10%": lambda rng: 1 + rng.expovariate(10),
    "lognormal 0.1": lambda rng: rng.lognormvariate(0, 0.1),
    "lognormal 0.5": lambda rng: rng.lognormvariate(0, 0.5),
    "lognormal 1": lambda rng: rng.lognormvariate(0, 1),
    "two speeds": lambda rng: rng.gauss(1, 0.03) * (1.3 if rng.random() < 0.3 else 1),
    "1 in 10 up to 3x": rare(0.1),
    "1 in 50 up to 3x": rare(0.02),
    "1 in 5 twice": lambda rng: rng.gauss(1, 0.03) * (2 if rng.random() < 0.2 else 1),
}
MEANS_SIZES = (10, 20, 50, 100)


def coverage(name: str, races: int, seed: int) -> list[str]:
    """Return a line for each number of samples."""
    draw, rng = NOISES[name], random.Random(f"{seed} {name}")
    many = sorted(draw(rng) for _ in range(400_000))
    median, mean, p95 = statistics.median(many), statistics.fmean(many), many[380_000]
    lines = []
    for n in SIZES:
        of_median = of_mean = shown = above = limited = 0
        for _ in range(races):
            sample = Sample()
            for _ in range(n):
                sample.add(draw(rng))
            made = estimate(sample)
            if (ends := made.median_interval) is not None:
                of_median += ends[0] <= median <= ends[1]
            if (ends := made.mean_interval) is not None:
                shown += 1
                of_mean += ends[0] <= mean <= ends[1]
            if made.tail is not None:
                above += p95 <= made.tail.value
                limited += p95 <= made.tail.limit
        mean_share = str(Share(of_mean, shown)) if shown else "-"
        line = f"{name:17} n = {n:3}  median {Share(of_median, races)!s:22} mean {mean_share:22}"
        line += f" shown {shown / races:4.0%}"
        if n >= TAIL_FROM:
            line += f"  p95 limit {Share(limited, races)!s:22} estimate {above / races:4.0%}"
        lines.append(line)
    return lines


def apart(name: str, races: int, seed: int) -> list[str]:
    """Return a line for each number of rounds: how often means are said to differ from typical values."""
    rng, lines = random.Random(f"{seed} {name}"), []
    for n in MEANS_SIZES:
        said = []
        for draws in ((NOISES[name], NOISES[name]), (NOISES[name], lambda rng: _twice(NOISES[name], rng))):
            hits = 0
            for _ in range(races):
                made = {side: _rounds(side, turn, draws[turn], n, rng) for turn, side in enumerate("ab")}
                hits += any(means_apart(comparison, made) for comparison in compare(made, "latency"))
            said.append(Share(hits, races))
        lines.append(f"{name:17} {n:3} rounds  equal {said[0]!s:22} one in five twice as long {said[1]}")
    return lines


def _twice(draw: Draw, rng: random.Random) -> float:
    return draw(rng) * (2 if rng.random() < 0.2 else 1)


def _rounds(name: str, turn: int, draw: Draw, n: int, rng: random.Random) -> Rounds:
    return Rounds(
        Iteration(
            run="", backend=name, attempt=1, iteration=number + 1, phase="measured",
            started_utc=f"{2 * number + turn:06}", latency_s=math.fabs(draw(rng)),
        )
        for number in range(n)
    )  # fmt: skip


def main() -> None:
    """Print a line for each kind of noise and number of samples."""
    parser = command_line(__doc__)
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--means", action="store_true", help="how often means differ from typical values")
    given = parser.parse_args()
    print(f"{given.races} each, seed {given.seed}")
    with multiprocessing.Pool(given.jobs) as pool:
        of = functools.partial(apart if given.means else coverage, races=given.races, seed=given.seed)
        for lines in pool.imap(of, NOISES):
            print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
