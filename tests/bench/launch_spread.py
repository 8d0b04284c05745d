"""Launches as samples: how often do two equal servers have a winner if their launches differ?

    python -m tests.bench.launch_spread [--races 4000] [--rounds 50] [--spread 1] [--noise 3] [--seed 1]

Simulated: two servers whose launches differ by `--spread` percent (standard deviation), and whose rounds differ by
`--noise` percent beyond that. The rounds are spread over 1, 5 or 10 launches of each. Of each: the share of races with
a winner if every round is a sample (what llmtui does with one launch), the same if every launch is one (Student's t),
the share in which a true difference of 5% is shown, and how often the 95% interval holds it. Shares have their own
95% intervals (Wilson) in parentheses.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from llmtui.model import RunConfig
from llmtui.stats.launches import launch_means, launch_shift
from llmtui.stats.ranks import paired_shift
from tests.bench.calibration import Share
from tests.bench.common import command_line

ALPHA = 0.05
#: The true difference in the races that measure power.
TRUE = 0.05
LAUNCHES = (1, 5, 10)


class Setting(NamedTuple):
    """How many rounds a race has, and how far launches and rounds differ (standard deviations of logarithms)."""

    rounds: int
    spread: float
    noise: float


def race(setting: Setting, launches: int, truth: float, rng: random.Random) -> tuple[list[int], list[float]]:
    """Return the launch and the log ratio of each round of two servers that differ by the log ratio `truth`."""
    config = RunConfig(iterations=setting.rounds, launches=launches)
    places = [config.launch_of(number) for number in range(1, setting.rounds + 1)]
    of = {launch: rng.gauss(0, setting.spread) - rng.gauss(0, setting.spread) for launch in set(places)}
    noise = math.sqrt(2) * setting.noise
    return places, [truth + of[launch] + rng.gauss(0, noise) for launch in places]


def winners(setting: Setting, launches: int, races: int, seed: int, *, by_launch: bool) -> Share:
    """Return the share of races of equal servers in which one wins."""
    rng, hits = random.Random(seed), 0
    for _ in range(races):
        places, ratios = race(setting, launches, 0.0, rng)
        shift = launch_shift(launch_means(places, ratios), ALPHA) if by_launch else paired_shift(ratios, ALPHA)
        hits += shift.p <= ALPHA
    return Share(hits, races)


def found(setting: Setting, launches: int, races: int, seed: int) -> tuple[Share, Share]:
    """Return the shares of races in which a true difference is shown, and in which the interval holds it."""
    rng, shown, held = random.Random(seed), 0, 0
    truth = math.log1p(TRUE)
    for _ in range(races):
        shift = launch_shift(launch_means(*race(setting, launches, truth, rng)), ALPHA)
        shown += shift.p <= ALPHA and shift.estimate > 0
        held += shift.low <= truth <= shift.high
    return Share(shown, races), Share(held, races)


def main() -> None:
    """Print a line for each number of launches."""
    parser = command_line(__doc__)
    parser.add_argument("--races", type=int, default=4000, metavar="N")
    parser.add_argument("--rounds", type=int, default=50, metavar="N")
    parser.add_argument("--spread", type=float, default=1.0, metavar="PERCENT", help="between launches")
    parser.add_argument("--noise", type=float, default=3.0, metavar="PERCENT", help="between rounds of a launch")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    args = parser.parse_args()
    setting = Setting(args.rounds, args.spread / 100, args.noise / 100)
    print(f"{args.races} races of {args.rounds} rounds; launches differ by {args.spread:g}%, rounds by {args.noise:g}%")
    titles = ("a winner, by rounds", "by launches", "true 5% shown", "95% interval holds it")
    print(f"\n{'launches':>8}  {'  '.join(f'{title:22}' for title in titles)}".rstrip())
    for number, launches in enumerate(LAUNCHES):
        seed = args.seed + 10 * number
        by_round = winners(setting, launches, args.races, seed, by_launch=False)
        cells = [f"{by_round!s:22}", *([f"{'-':22}"] * 2), "-"]
        if launches > 1:
            by_launch = winners(setting, launches, args.races, seed + 1, by_launch=True)
            shown, held = found(setting, launches, args.races, seed + 2)
            cells[1:] = [f"{by_launch!s:22}", f"{shown!s:22}", str(held)]
        print(f"{launches:>8}  {'  '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
