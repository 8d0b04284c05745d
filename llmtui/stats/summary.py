"""What a backend's iterations add up to. Warm-ups and failed iterations are never samples.

Percentiles interpolate linearly between order statistics (Hyndman and Fan's type 7, the default of NumPy and R).
`stddev` is the sample standard deviation (n - 1), None below two samples.
"""

from __future__ import annotations

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
#: For which metrics more is better.
MORE_IS_BETTER: frozenset[Metric] = frozenset({"tokens_per_s"})


class Spread(Struct, frozen=True):
    """Location and spread of one metric over n samples, in the metric's own unit (seconds, or tokens/s)."""

    n: int
    mean: float
    median: float
    min: float
    max: float
    stddev: float | None
    p95: float


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


def spread(values: Iterable[float]) -> Spread | None:
    """Location and spread of `values`, None when there are none."""
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        return None
    mean = math.fsum(ordered) / n
    stddev = math.sqrt(math.fsum((v - mean) ** 2 for v in ordered) / (n - 1)) if n > 1 else None
    return Spread(
        n=n,
        mean=mean,
        median=percentile(ordered, 0.5),
        min=ordered[0],
        max=ordered[-1],
        stddev=stddev,
        p95=percentile(ordered, 0.95),
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
