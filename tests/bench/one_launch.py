"""Does one launch of each server make a false winner? Simulated races of two servers whose launches differ.

    python -m tests.bench.one_launch [--races 4000] [--rounds 50] [--spread 0.01] [--seed 1]

Each race has one launch of each server, and as many earlier runs as the line says, each with launches of its own. A
launch has a speed of its own: the ratio of the two has a standard deviation of `--spread`. "star" is a winner that the
check one-launch does not withhold; of equal servers, any is an error (goal: at most 6%). Noise of 3% in each request.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from llmtui.model import Machine, PairSpread, RunConfig
from llmtui.stats.between import Mean, between, mean_of
from llmtui.stats.board import board
from llmtui.stats.checks.base import Race
from llmtui.stats.checks.launches import one_launch
from llmtui.stats.correction import LEVEL
from tests.bench.calibration import SPREAD, Share, race
from tests.bench.common import command_line

HISTORIES = (0, 5, 10, 20, 30)
RATIOS = (1.0, 1.05, 1.1)


def stars(ratio: float, spread: float, earlier: int, races: int, rounds: int, seed: int) -> tuple[Share, Share]:
    """Return the shares of races in which a difference is decided, and in which the faster one keeps its star."""
    rng = random.Random(f"{seed} {ratio} {spread} {earlier}")
    decided = starred = 0
    for _ in range(races):
        past = [_earlier(rng, ratio, spread, rounds) for _ in range(earlier)]
        launch = ratio * math.exp(rng.gauss(0, spread))
        made = race(iter(lambda: math.exp(rng.gauss(0, SPREAD)), None), [1, launch], rounds, seed=rng.getrandbits(32))
        compared = board(made, "latency", (), lambda *_: True, LEVEL).comparisons
        if any(c.decided and (ratio == 1 or c.slower == "b") for c in compared):
            decided += 1
            starred += not any(
                c.code == "one-launch"
                for c in one_launch(Race([], RunConfig(), Machine(), compared, spreads=_known(past)))
            )
    return Share(decided, races), Share(starred, races)


def _earlier(rng: random.Random, ratio: float, spread: float, rounds: int) -> Mean:
    launch = math.log(ratio) + rng.gauss(0, spread)
    mean = mean_of([launch + rng.gauss(0, SPREAD * math.sqrt(2)) for _ in range(rounds)])
    assert mean is not None
    return mean


def _known(means: Sequence[Mean]) -> list[PairSpread]:
    found = between(means)
    return [PairSpread(one="a", two="b", metric="latency", spread=found)] if found is not None else []


def main() -> None:
    """Print a line for each length of the history."""
    parser = command_line(__doc__)
    parser.add_argument("--races", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--spread", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(
        f"{given.races} races of {given.rounds} rounds, launches differ by {given.spread:.1%}; 95% intervals (Wilson)"
    )
    for earlier in HISTORIES:
        for ratio in RATIOS:
            shown, kept = stars(ratio, given.spread, earlier, given.races, given.rounds, given.seed)
            print(
                f"{earlier:2} earlier runs, true ratio {ratio:.2f}: shown {shown!s:>22}  star {kept!s:>22}", flush=True
            )


if __name__ == "__main__":
    main()
