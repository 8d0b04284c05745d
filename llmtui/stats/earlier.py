"""What earlier runs say about the spread between launches of the same servers on the same machine.

An earlier run is comparable if it did the same work (`same_work`) with a backend of the same name and the same settings
(`same_backend`) on the same hardware: see llmtui.stats.same_work. Versions of servers are not compared: an update in
between widens the spread.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from llmtui.model import Iteration
from llmtui.stats.between import Mean, mean_of
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.rounds import Rounds

#: A run with fewer samples of a backend, or fewer rounds of a pair, is left out.
FEWEST = 6
#: So is a run in which other programs were busy during more than this share of the iterations.
_DISTURBED_SHARE = 0.5


def usable(iterations: Sequence[Iteration]) -> bool:
    """Whether these samples of one backend in one run are enough, and were mostly not disturbed."""
    return len(iterations) >= FEWEST and sum(i.disturbed for i in iterations) <= _DISTURBED_SHARE * len(iterations)


def launch_means(one: Sequence[Iteration], two: Sequence[Iteration]) -> dict[MetricKey, list[Mean]]:
    """The mean logarithm of the ratio of two backends in each launch of both, by metric.

    Of the samples of one run. Rounds that were not in turns are left out, and all of a metric with zeros.
    """
    launches = _by_launch(one, two)
    if sum(len(first) for first, _ in launches) < FEWEST:
        return {}
    means: Mapping[MetricKey, list[Mean]] = defaultdict(list)
    for first, second in launches:
        left, right = Rounds(first), Rounds(second)
        for metric in METRICS:
            if left.zeros(metric) or right.zeros(metric):
                continue
            mean = mean_of([math.log(a) - math.log(b) for a, b in left.pairs(right, metric)])
            if mean is not None:
                means[metric].append(mean)
    return dict(means)


def _by_launch(one: Sequence[Iteration], two: Sequence[Iteration]) -> list[tuple[list[Iteration], list[Iteration]]]:
    """The iterations of the same rounds, apart for each launch of both servers."""
    others = {i.iteration: i for i in two}
    groups: dict[tuple[int, ...], tuple[list[Iteration], list[Iteration]]] = {}
    for i in one:
        if (other := others.get(i.iteration)) is not None:
            launch = (i.part, i.launch, other.part, other.launch)
            first, second = groups.setdefault(launch, ([], []))
            first.append(i)
            second.append(other)
    return list(groups.values())
