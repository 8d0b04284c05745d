"""Summary statistics of one backend's iterations. Warm-ups and failed iterations are never samples.

Percentiles interpolate linearly between order statistics (Hyndman and Fan's type 7, the default of NumPy and R).
`stddev` is the sample standard deviation (n - 1), None for fewer than two samples. Mean and stddev come from exact
sums, so adding values one by one (llmtui.stats.running) gives the same bits as adding them together.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence

from llmtui.model import Iteration, Struct
from llmtui.stats.metrics import METRICS, MetricKey

#: The smallest n for `Spread.p95`.
P95_FROM = 20
#: The smallest n for outliers.
OUTLIERS_FROM = 8
#: No value is an outlier that is within this factor of a quartile.
OUTLIER_RATIO = 1.1


#: Fields of a summary that do not have the name of their metric.
_FIELDS: dict[MetricKey, str] = {"energy_per_token": "joules_per_token"}


class Spread(Struct, frozen=True):
    """Location and spread of one metric over n samples, in the metric's own unit: seconds, s per token, or a rate.

    `p95` is that of these samples, None for fewer than `P95_FROM`: most often it is below the true one. Only exports
    have it; screens show that of llmtui.stats.intervals.
    """

    n: int
    mean: float
    median: float
    min: float
    max: float
    stddev: float | None
    p95: float | None


class Summary(Struct, frozen=True):
    """One attempt of one backend. `errors` and `disturbed` count measured iterations only.

    `outliers` counts samples whose latency is beyond the fences of `far_out`; they are part of every figure. `first_s`
    is the latency of the very first request to the cold server, `warmups` the latency of all warm-ups including it.
    `left_out` counts the values of samples that cannot be true (`llmtui.stats.metrics.Metric.possible`) and are in no
    figure, and `loaded` the samples that are in none, as the server loaded its model meanwhile. The last three are of
    the samples with power (llmtui.model.power), None without any.
    """

    n: int = 0
    errors: int = 0
    disturbed: int = 0
    latency: Spread | None = None
    ttft: Spread | None = None
    itl: Spread | None = None
    tokens_per_s: Spread | None = None
    output_tokens_median: float | None = None
    prompt_tokens_median: float | None = None
    tpot: Spread | None = None
    prefill_tokens_per_s: Spread | None = None
    output_tokens_per_s: Spread | None = None
    requests_per_s: Spread | None = None
    goodput: Spread | None = None
    attainment: Spread | None = None
    outliers: int = 0
    first_s: float | None = None
    warmups: Spread | None = None
    left_out: int = 0
    loaded: int = 0
    watts: Spread | None = None
    joules_per_token: Spread | None = None
    joules_per_token_above_idle: Spread | None = None

    def spread(self, metric: MetricKey) -> Spread | None:
        """The spread of `metric`, None without samples."""
        value: Spread | None = getattr(self, _FIELDS.get(metric, metric))
        return value


def percentile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile (0 to 1) of ascending values, linearly interpolated (type 7). Raises ValueError without values."""
    if not ordered:
        raise ValueError("a percentile needs at least one value")
    position = (len(ordered) - 1) * q
    low = math.floor(position)
    high = math.ceil(position)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def units(value: float) -> int:
    """A finite float as an integer multiple of 2**-1074, the smallest float: sums of these are exact."""
    numerator, denominator = value.as_integer_ratio()
    return numerator << (1075 - denominator.bit_length())


def spread_of(ordered: Sequence[float], total: int, squares: int) -> Spread | None:
    """The spread of ascending values with their sum and sum of squares in `units`; None without values."""
    n = len(ordered)
    if n == 0:
        return None
    variance: float | None = None
    if n > 1:
        try:
            variance = (n * squares - total * total) / (n * (n - 1) << 2148)
        except OverflowError:  # integers have no limit, but floats have one
            variance = math.inf
    return Spread(
        n=n,
        mean=total / (1 << 1074) / n,
        median=percentile(ordered, 0.5),
        min=ordered[0],
        max=ordered[-1],
        stddev=math.sqrt(variance) if variance is not None else None,
        p95=percentile(ordered, 0.95) if n >= P95_FROM else None,
    )


def spread(values: Iterable[float]) -> Spread | None:
    """Location and spread of the finite values, None without any."""
    ordered = sorted(v for v in values if math.isfinite(v))
    exact = [units(v) for v in ordered]
    return spread_of(ordered, sum(exact), sum(u * u for u in exact))


def far_out(ordered: Sequence[float]) -> tuple[float, float]:
    """The fences beyond which ascending values are outliers; infinite for fewer than `OUTLIERS_FROM` values.

    They are three interquartile ranges beyond the quartiles (Tukey 1977), or `OUTLIER_RATIO` if that is more. All this
    is on logarithms, as the verdict is: latencies are skewed, and of skewed values many are far above the others.
    """
    if len(ordered) < OUTLIERS_FROM or ordered[math.floor((len(ordered) - 1) * 0.25)] <= 0:
        return -math.inf, math.inf
    q1, q3 = (_log_percentile(ordered, q) for q in (0.25, 0.75))
    reach = max(3 * (q3 - q1), math.log(OUTLIER_RATIO))
    # Beyond, exp() overflows.
    return math.exp(q1 - reach), math.exp(q3 + reach) if q3 + reach < 700 else math.inf


def _log_percentile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile of the logarithms of ascending values, in constant time: they are in the same order."""
    position = (len(ordered) - 1) * q
    low, high = (math.log(ordered[place]) for place in (math.floor(position), math.ceil(position)))
    return low + (high - low) * (position - math.floor(position))


def outliers(ordered: Sequence[float]) -> int:
    """The number of outliers among ascending values."""
    low, high = far_out(ordered)
    return bisect.bisect_left(ordered, low) + len(ordered) - bisect.bisect_right(ordered, high)


class Box(Struct, frozen=True):
    """Tukey's box: quartiles (type 7), the furthest values within 1.5 interquartile ranges, and the values beyond.

    `below` and `above` are ascending, each thinned evenly to at most 40 values that include the outermost.
    """

    q1: float
    median: float
    q3: float
    low: float
    high: float
    below: tuple[float, ...] = ()
    above: tuple[float, ...] = ()


def thinned(ordered: Sequence[float], most: int, start: int = 0, stop: int | None = None) -> tuple[float, ...]:
    """At most `most` (2 or more) of the ascending values in [start, stop): evenly by rank, with the first and last."""
    n = (len(ordered) if stop is None else stop) - start
    places = range(n) if n <= most else [round(i * (n - 1) / (most - 1)) for i in range(most)]
    return tuple(ordered[start + place] for place in places)


def box(ordered: Sequence[float]) -> Box:
    """The box of ascending values. Raises ValueError without values."""
    q1, median, q3 = (percentile(ordered, q) for q in (0.25, 0.5, 0.75))
    reach = 1.5 * (q3 - q1)
    first = bisect.bisect_left(ordered, q1 - reach)
    after = bisect.bisect_right(ordered, q3 + reach)
    return Box(
        q1=q1,
        median=median,
        q3=q3,
        low=ordered[first],
        high=ordered[after - 1],
        below=thinned(ordered, 40, 0, first),
        above=thinned(ordered, 40, after),
    )


def first_latency(iteration: Iteration) -> float | None:
    """The latency of the first iteration, None if it failed."""
    return METRICS["latency"].value(iteration) if iteration.ok else None


def ratios_to(best: float | None, values: Sequence[float | None], metric: MetricKey = "latency") -> list[float | None]:
    """Each value as a multiple of `best`, above 1.0 if it is worse; None if either is unknown or not positive."""
    if best is None or best <= 0:
        return [None for _ in values]
    if METRICS[metric].higher_is_better:
        return [best / v if v is not None and v > 0 else None for v in values]
    return [v / best if v is not None and v > 0 else None for v in values]
