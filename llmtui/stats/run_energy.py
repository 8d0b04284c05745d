"""Energy per token of two runs: which one took more, if that is more than the errors of both.

The error of a run has two parts. The readings may be off by as much as llmtui.engine.watch.energy says: that is a
limit, and not less for more samples. And the samples differ: the median of others like them would be elsewhere. What
changed between the runs, such as the machine, is in neither.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from llmtui.model import Struct
from llmtui.stats.intervals import LEVEL, MEDIAN_FROM, median_interval
from llmtui.stats.running import Running
from llmtui.stats.student import reach
from llmtui.text import sanitize
from llmtui.text.format import figure, percent_text, plural

#: What stands below the sentences of two runs if one of them says that a run took more.
WITHIN = (
    "the errors of energies are those within each run: a machine that changed between the runs can cause a difference "
    "too"
)
_NAME = 40
_METERS = 200
_REASON = 600


class EnergyPerToken(Struct, frozen=True):
    """The median of `n` samples in J per output token, with its `error`; None for one sample.

    `reading_error` is the part of the error by when the meters were read. `meters` has one text, such as "NVIDIA H200 +
    package-0"; several if not all samples are of the same meters.
    """

    n: int
    median: float
    error: float | None
    reading_error: float
    meters: list[str]


class EnergyChange(Struct, frozen=True):
    """Energy per token of backend `a` of run A and `b` of run B; null where none was measured.

    `change` is that of B as a multiple of A's, less 1. `shown` is "more" if B took more by more than both errors
    together, "less", or null. `reason` says why they are not compared, "" if they are.
    """

    a: str
    b: str
    energy_a: EnergyPerToken | None
    energy_b: EnergyPerToken | None
    change: float | None
    shown: str | None
    reason: str
    sentence: str


def energy_of(attempts: Sequence[Running]) -> EnergyPerToken | None:
    """The energy per token of a backend in these runs together, None if none of them has any."""
    runs = [ordered for attempt in attempts if (ordered := attempt.ordered("energy_per_token"))]
    values = sorted(value for ordered in runs for value in ordered)
    if not values:
        return None
    readings = sorted(error for attempt in attempts for error in attempt.energy_errors)
    reading = statistics.median(readings) if readings else 0.0
    noise = _noise(values)
    if noise is not None and len(runs) > 1:
        # Samples of one run are more alike than those of several.
        medians = [statistics.median(ordered) for ordered in runs]
        noise = max(noise, (max(medians) - min(medians)) / 2)
    meters = sorted({" + ".join(of) for attempt in attempts for of in attempt.meters})
    return EnergyPerToken(
        n=len(values),
        median=statistics.median(values),
        error=reading + noise if noise is not None else None,
        reading_error=reading,
        meters=[sanitize(of, _METERS) for of in meters],
    )


def energy_change(
    pair: tuple[str, str], names: tuple[str, str], head: str, a: Sequence[Running], b: Sequence[Running], reason: str
) -> EnergyChange | None:
    """Compare the attempts of a pair of backends, which the sentence calls `names` after `head`; None without energy.

    `reason` says why the two are not comparable, "" if nothing is known against it.
    """
    one, two = energy_of(a), energy_of(b)
    if one is None and two is None:
        return None
    called = [sanitize(name, _NAME) for name in names]
    change = two.median / one.median - 1 if one is not None and two is not None and one.median > 0 else None
    if one is None or two is None:
        reason = f"{called[one is not None]} has no energy"
    reason = reason or _unlike(one, two, called)
    shown = None
    if one is not None and two is not None and change is not None and not reason:
        difference, errors = two.median - one.median, (one.error or 0.0) + (two.error or 0.0)
        shown = "more" if difference > errors else "less" if -difference > errors else None
    figures = ", ".join(_figure(name, of) for name, of in zip(called, (one, two), strict=True) if of is not None)
    if reason:
        result = f"not compared: {sanitize(reason, _REASON)}"
    elif shown is None or change is None:
        result = "no difference shown, as it is within both errors together"
    else:
        result = f"{called[1]} took {percent_text(abs(change))} {shown}, beyond both errors together"
    return EnergyChange(*pair, one, two, change, shown, reason, f"{head}energy per token: {figures}: {result}")


def _noise(ordered: Sequence[float]) -> float | None:
    """How far the median of other samples may be from that of these; None for one sample."""
    if len(ordered) < 2:
        return None
    interval = median_interval(ordered)
    if interval is not None:
        median = statistics.median(ordered)
        return max(median - interval[0], interval[1] - median)
    # Too few for an interval of the median, as of the turns of a load: Student's t.
    assert len(ordered) < MEDIAN_FROM
    return reach(len(ordered) - 1, LEVEL) * statistics.stdev(ordered) / math.sqrt(len(ordered))


def _unlike(one: EnergyPerToken | None, two: EnergyPerToken | None, names: Sequence[str]) -> str:
    """Why two energies cannot be held against each other; "" if they can."""
    if one is None or two is None:
        return ""
    if one.meters != two.meters or len(one.meters) > 1:
        both = zip(names, (one, two), strict=True)
        of = (f"{name} is of {' or '.join(energy.meters)}" for name, energy in both)
        return f"different meters ({', '.join(of)})"
    few = [
        f"{name} has {plural(of.n, 'sample')}" for name, of in zip(names, (one, two), strict=True) if of.error is None
    ]
    return ", ".join(few)


def _figure(name: str, of: EnergyPerToken) -> str:
    error = f" ± {figure(of.error, 'J/token').removesuffix(' J/token')}" if of.error is not None else ""
    return f"{name} {figure(of.median, 'J/token').removesuffix(' J/token')}{error} J"
