"""What a backend's iterations add up to. Warm-ups and failed iterations are never samples.

Percentiles interpolate linearly between order statistics (Hyndman and Fan's type 7, the default of NumPy and R).
`stddev` is the sample standard deviation (n - 1), None below two samples. Mean and stddev come from exact sums, so that
adding values one by one (llmtui.stats.running) gives the same bits as adding them all at once.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from typing import Literal

from llmtui.model import Iteration, Struct

Metric = Literal["latency", "ttft", "itl", "tokens_per_s"]

METRICS: tuple[Metric, ...] = ("latency", "ttft", "itl", "tokens_per_s")
METRIC_TITLES: dict[Metric, str] = {
    "latency": "latency",
    "ttft": "TTFT",
    "itl": "ITL",
    "tokens_per_s": "tokens/s",
}
METRIC_UNITS: dict[Metric, str] = {"latency": "s", "ttft": "s", "itl": "ms", "tokens_per_s": "tokens/s"}
#: With fewer samples the 95th percentile is withheld.
P95_FROM = 20
#: For which metrics more is better.
MORE_IS_BETTER: frozenset[Metric] = frozenset({"tokens_per_s"})


class Spread(Struct, frozen=True):
    """Location and spread of one metric over n samples, in the metric's own unit (seconds, or tokens/s).

    `p95` is None below `P95_FROM` samples: of fewer it is little else than the largest.
    """

    n: int
    mean: float
    median: float
    min: float
    max: float
    stddev: float | None
    p95: float | None


class Summary(Struct, frozen=True):
    """One backend, one attempt. `errors` and `disturbed` count measured iterations only."""

    n: int = 0
    errors: int = 0
    disturbed: int = 0
    latency: Spread | None = None
    ttft: Spread | None = None
    itl: Spread | None = None
    tokens_per_s: Spread | None = None
    output_tokens_median: float | None = None
    prompt_tokens_median: float | None = None

    def spread(self, metric: Metric) -> Spread | None:
        """The spread of `metric`, None without samples."""
        value: Spread | None = getattr(self, metric)
        return value


def percentile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile (0 to 1) of ascending values, linearly interpolated (type 7). Raises ValueError when empty."""
    if not ordered:
        raise ValueError("a percentile needs at least one value")
    position = (len(ordered) - 1) * q
    low = math.floor(position)
    high = math.ceil(position)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def units(value: float) -> int:
    """A finite float as a whole number of 2**-1074 (the least float): sums of these are exact."""
    numerator, denominator = value.as_integer_ratio()
    return numerator << (1075 - denominator.bit_length())


def spread_of(ordered: Sequence[float], total: int, squares: int) -> Spread | None:
    """The spread of ascending values with their sum and sum of squares in `units`; None when there are none."""
    n = len(ordered)
    if n == 0:
        return None
    variance = (n * squares - total * total) / (n * (n - 1) << 2148) if n > 1 else None
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
    """Location and spread of the finite ones of `values`, None when there are none."""
    ordered = sorted(v for v in values if math.isfinite(v))
    exact = [units(v) for v in ordered]
    return spread_of(ordered, sum(exact), sum(u * u for u in exact))


class Box(Struct, frozen=True):
    """Tukey's box: quartiles (type 7), the furthest values within 1.5 times their distance, and what lies beyond.

    `below` and `above` are ascending, thinned to at most 40 evenly taken values each, the outermost always among them.
    """

    q1: float
    median: float
    q3: float
    low: float
    high: float
    below: tuple[float, ...] = ()
    above: tuple[float, ...] = ()


def thinned(ordered: Sequence[float], most: int) -> tuple[float, ...]:
    """At most `most` (2 or more) of ascending values, evenly taken by rank, first and last always among them."""
    n = len(ordered)
    if n <= most:
        return tuple(ordered)
    return tuple(ordered[round(i * (n - 1) / (most - 1))] for i in range(most))


def box(ordered: Sequence[float]) -> Box:
    """The box of ascending values. Raises ValueError when empty."""
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
        below=thinned(ordered[:first], 40),
        above=thinned(ordered[after:], 40),
    )


def metric_value(iteration: Iteration, metric: Metric) -> float | None:
    """The value of `metric` in one iteration: seconds for the durations, tokens/s for the rate; None where unknown."""
    match metric:
        case "latency":
            return iteration.latency_s
        case "ttft":
            return iteration.ttft_s
        case "itl":
            return iteration.itl_s
        case "tokens_per_s":
            return iteration.tokens_per_s


def summarise(iterations: Iterable[Iteration]) -> Summary:
    """Summary of the measured iterations among `iterations` (of one backend and attempt)."""
    measured = [i for i in iterations if i.phase == "measured"]
    good = [i for i in measured if i.ok]

    def over(metric: Metric) -> Spread | None:
        return spread(v for i in good if (v := metric_value(i, metric)) is not None)

    outputs = spread(i.output_tokens for i in good if i.output_tokens is not None)
    prompts = spread(i.prompt_tokens for i in good if i.prompt_tokens is not None)
    return Summary(
        n=len(good),
        errors=len(measured) - len(good),
        disturbed=sum(1 for i in good if i.disturbed),
        latency=over("latency"),
        ttft=over("ttft"),
        itl=over("itl"),
        tokens_per_s=over("tokens_per_s"),
        output_tokens_median=outputs.median if outputs else None,
        prompt_tokens_median=prompts.median if prompts else None,
    )


def ratios_to_best(values: Sequence[float | None], metric: Metric = "latency") -> list[float | None]:
    """How many times worse than the best each value is (1.0 for the best, None where unknown or not positive)."""
    known = [v for v in values if v is not None and v > 0]
    if not known:
        return [None for _ in values]
    if metric in MORE_IS_BETTER:
        best = max(known)
        return [best / v if v is not None and v > 0 else None for v in values]
    best = min(known)
    return [v / best if v is not None and v > 0 else None for v in values]
