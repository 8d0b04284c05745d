"""Do means and typical values tell different things? They do if a few requests to one backend take much longer.

The verdict compares typical values. Of two servers, one that takes twice as long for every fifth request is typically
as fast as the other, and slower by 20% on average: who looks at throughput sees the mean.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from llmtui.stats.compare import Comparison
from llmtui.stats.metrics import METRICS
from llmtui.stats.rounds import Rounds
from llmtui.stats.student import two_sided_p, welch
from llmtui.text import sanitize
from llmtui.text.format import percent_text

#: Fewer samples say nothing about rare values.
LEAST = 10
#: Means and typical values differ if their ratios are this far apart, and by chance so far in this share of races
#: (tests.bench.samples --means).
APART = 0.05
CHANCE = 0.02
_NAME = 40


def means_apart(comparison: Comparison, samples: Mapping[str, Rounds]) -> str:
    """ "b and a: means differ by 20%, typical values by 1%"; "" if they differ by about the same.

    Once the typical values are brought to the same level by the ratio of the verdict, the rest has to be equal on
    average: Welch's test, or of rounds the t test. The text is plain text.
    """
    slower, faster = (samples[name] for name in (comparison.slower, comparison.faster))
    power = -1 if METRICS[comparison.metric].higher_is_better else 1
    pairs = slower.pairs(faster, comparison.metric) if comparison.paired else []
    if comparison.paired:
        one, two = [a**power for a, _ in pairs], [b**power for _, b in pairs]
    else:
        one, two = ([v**power for v in side.values(comparison.metric)] for side in (slower, faster))
    if min(len(one), len(two)) < LEAST or not comparison.bounded:
        return ""
    of_means = statistics.fmean(one) / statistics.fmean(two)
    if abs(math.log(of_means / comparison.ratio)) < math.log1p(APART):
        return ""
    level = [comparison.ratio * value for value in two]
    if _chance(one, level, comparison.paired) > CHANCE:
        return ""
    names = f"{sanitize(comparison.slower, _NAME)} and {sanitize(comparison.faster, _NAME)}"
    by = METRICS[comparison.metric].by
    means, typical = percent_text(max(of_means, 1 / of_means) - 1), percent_text(comparison.ratio - 1)
    other = " the other way" if of_means < 1 < comparison.ratio else ""
    return f"{names}{by}: means differ by {means}{other}, typical values by {typical}"


def _chance(one: list[float], two: list[float], paired: bool) -> float:
    """The two-sided p of the difference of the means."""
    if not paired:
        return welch(one, two).p
    differences = [a - b for a, b in zip(one, two, strict=True)]
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return two_sided_p(statistics.fmean(differences) / error, len(differences) - 1) if error else 0.0
