"""Launches as samples: the ratio of two backends over several launches of their servers.

A server keeps what its launch gave it, such as the layout of its memory, for all its rounds. More rounds of one launch
therefore make a difference surer that another launch may not have. With several launches, each counts as one value: the
mean of the log ratios of its rounds. Their mean has the interval of Student's t (Kalibera and Jones 2013).
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Sequence

from llmtui.model.plan import LEAST_LAUNCHES
from llmtui.stats import student
from llmtui.stats.ranks import Shift


def launch_means(launches: Sequence[Hashable], ratios: Sequence[float]) -> list[float]:
    """Return the mean log ratio of each launch. `launches` has the launch of each of the log `ratios`."""
    of: dict[Hashable, list[float]] = defaultdict(list)
    for launch, ratio in zip(launches, ratios, strict=True):
        of[launch].append(ratio)
    return [statistics.fmean(values) for values in of.values()]


def launch_shift(means: Sequence[float], alpha: float) -> Shift:
    """Return the mean of the launches' means, with an interval that misses the truth at most `alpha` of the time.

    Below `LEAST_LAUNCHES` launches there is no interval, and p is 1. Raises ValueError without any.
    """
    estimate = statistics.fmean(means)
    if len(means) < LEAST_LAUNCHES:
        return Shift(estimate, -math.inf, math.inf, 1.0)
    df, error = len(means) - 1, _error(means)
    if error == 0:
        return Shift(estimate, estimate, estimate, 0.0 if estimate else 1.0)
    width = student.reach(df, 1 - alpha) * error
    return Shift(estimate, estimate - width, estimate + width, student.two_sided_p(estimate / error, df))


def least_shown(means: Sequence[float], alpha: float, power: float) -> float | None:
    """Return the log ratio that as many launches show at `alpha` with this power (0.5 to 1); None if they show none."""
    if len(means) < LEAST_LAUNCHES:
        return None
    df = len(means) - 1
    return (student.reach(df, 1 - alpha) + student.reach(df, 2 * power - 1)) * _error(means)


def _error(means: Sequence[float]) -> float:
    return statistics.stdev(means) / math.sqrt(len(means))
