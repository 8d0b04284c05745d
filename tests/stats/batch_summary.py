"""The summary of an attempt from all of its iterations at once: what `Running` computes step by step."""

from __future__ import annotations

from collections.abc import Iterable

from llmtui.model import Iteration
from llmtui.stats.metrics import METRICS
from llmtui.stats.summary import Summary, first_latency, outliers, spread


def batch_summary(iterations: Iterable[Iteration]) -> Summary:
    """Return the summary of all `iterations` (of one backend and attempt) at once, to check `Running` against."""
    every = list(iterations)
    measured = [i for i in every if i.phase == "measured"]
    good = [i for i in measured if i.ok]

    spreads = {key: spread(v for i in good if (v := metric.counted(i)) is not None) for key, metric in METRICS.items()}
    latency = METRICS["latency"].value
    outputs = spread(i.output_tokens for i in good if i.output_tokens is not None)
    prompts = spread(i.prompt_tokens for i in good if i.prompt_tokens is not None)
    return Summary(
        n=len(good),
        errors=len(measured) - len(good),
        disturbed=sum(1 for i in good if i.disturbed),
        output_tokens_median=outputs.median if outputs else None,
        prompt_tokens_median=prompts.median if prompts else None,
        outliers=outliers(sorted(v for i in good if (v := METRICS["latency"].counted(i)) is not None)),
        loaded=sum(i.loaded for i in good),
        first_s=first_latency(every[0]) if every else None,
        warmups=spread(v for i in every if i.phase == "warmup" and i.ok and (v := latency(i)) is not None),
        left_out=sum(metric.of(i) is not None and metric.value(i) is None for i in good for metric in METRICS.values()),
        **spreads,
    )
