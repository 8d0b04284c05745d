"""Simulated runs with objectives: how often does a level seem to keep them, or to miss them, and how often is that so?

    python -m tests.bench.attainment [--runs 2000] [--seed 1]

Each run has turns of one level. In a turn, each request keeps the objectives with a chance that is the true share, or
wanders around it from turn to turn (beta-distributed; `correlation` is that of two requests of a turn: 0 is
independent, at 0.1 turns of 40 requests differ 2.2 times as much). 95% have to keep them. Of levels whose true share
is exactly 95%, "keeps" and "misses" are both wrong; of those at 90% and 99%, one is right. Goal: a wrong claim of each
kind in at most 5% (2.5% is nominal).
"""

from __future__ import annotations

import random
from collections import Counter

from llmtui.stats.attainment import keeps
from tests.bench.common import command_line

SHARE = 0.95
TRUTHS = (0.95, 0.90, 0.99)
TURNS = (6, 10)
REQUESTS = (20, 40)
CORRELATIONS = (0.0, 0.02, 0.1)


def shares(truth: float, turns: int, requests: int, correlation: float, rng: random.Random) -> list[float]:
    """The share of the requests of each turn that kept the objectives."""
    found = []
    for _ in range(turns):
        chance = truth
        if correlation:
            weight = (1 - correlation) / correlation
            chance = rng.betavariate(truth * weight, (1 - truth) * weight)
        found.append(sum(rng.random() < chance for _ in range(requests)) / requests)
    return found


def main() -> None:
    """Print a row for each kind of run."""
    parser = command_line(__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    print("                                     at 95%          at 90%  at 99%")
    print("turns  requests a turn  correlation  keeps   misses  misses  keeps")
    for turns in TURNS:
        for requests in REQUESTS:
            for correlation in CORRELATIONS:
                counts = {
                    truth: Counter(
                        keeps(shares(truth, turns, requests, correlation, rng), SHARE, turns * requests)
                        for _ in range(options.runs)
                    )
                    for truth in TRUTHS
                }
                at, below, above = (counts[truth] for truth in TRUTHS)
                figures = [f"{100 * n / options.runs:5.1f}%" for n in (at["yes"], at["no"], below["no"], above["yes"])]
                print(f"{turns:5}  {requests:15}  {correlation:11g}  {'  '.join(figures)}")


if __name__ == "__main__":
    main()
