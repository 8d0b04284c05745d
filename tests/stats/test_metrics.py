"""The registry of metrics: values by hand, and that the contracts have a place for each."""

from __future__ import annotations

import typing

import msgspec
import pytest

from llmtui.model import Power
from llmtui.model.accuracy import Errors, Level
from llmtui.stats.metrics import ALL_METRICS, CHARTED, ENERGY, METRICS, Condition, MetricKey, needing
from llmtui.stats.summary import Summary
from tests.build import iteration

ITERATION = iteration(
    latency_s=2.0,
    ttft_s=0.5,
    itl_s=0.01,
    tokens_per_s=40.0,
    tpot_s=0.025,
    prompt_tokens=100,
    cached_tokens=20,
    output_tokens_per_s=300.0,
    requests_per_s=5.0,
    goodput_per_s=4.0,
    attainment=0.8,
)


def errors(p99: float) -> Errors:
    return Errors(n=1, median=0.0, p50=0.0, p95=0.0, p99=p99, max=0.0)


def test_every_key_has_a_record_and_a_field_of_the_summary() -> None:
    assert tuple(ALL_METRICS) == typing.get_args(MetricKey)
    assert all(Summary().spread(key) is None for key in ALL_METRICS)
    assert all(key == metric.key for key, metric in METRICS.items())
    assert set(METRICS) <= {field.name for field in msgspec.structs.fields(Summary)}


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("latency", 2.0),
        ("ttft", 0.5),
        ("itl", 0.01),
        ("tokens_per_s", 40.0),
        ("tpot", 0.025),
        ("prefill_tokens_per_s", 160.0),
        ("output_tokens_per_s", 300.0),
        ("requests_per_s", 5.0),
        ("goodput", 4.0),
        ("attainment", 0.8),
    ],
)
def test_values(metric: MetricKey, value: float) -> None:
    assert METRICS[metric].of(ITERATION) == value
    assert METRICS[metric].of(msgspec.structs.replace(ITERATION, **dict.fromkeys(_NUMBERS))) is None


_NUMBERS = (
    "latency_s",
    "ttft_s",
    "itl_s",
    "tokens_per_s",
    "tpot_s",
    "prompt_tokens",
    "cached_tokens",
    "output_tokens_per_s",
    "requests_per_s",
    "goodput_per_s",
    "attainment",
)


def test_energy_is_a_metric_that_decides_no_race() -> None:
    assert ENERGY.key not in METRICS
    assert ENERGY.value(iteration(power=Power(joules_per_token=0.5))) == 0.5
    assert ENERGY.value(iteration(power=Power(gpu_use=0.5))) is None and ENERGY.value(ITERATION) is None


def test_prefill_rate_is_unknown_when_a_cache_answered_the_whole_prompt() -> None:
    cached = msgspec.structs.replace(ITERATION, cached_tokens=100)
    assert METRICS["prefill_tokens_per_s"].of(cached) is None


def test_titles_with_units() -> None:
    titles = [metric.titled() for metric in METRICS.values()]
    assert METRICS["latency"].titled("ms") == "latency in ms"
    of_race = ["latency in s", "TTFT in s", "ITL in ms", "tokens/s", "TPOT in ms", "prefill tokens/s"]
    assert titles == [*of_race, "output tokens/s", "requests/s", "good requests/s", "attainment in share"]
    assert CHARTED == ("latency", "ttft", "itl", "tokens_per_s")


@pytest.mark.parametrize(
    ("condition", "metrics"),
    [
        ("length", ["latency", "requests_per_s", "goodput", "attainment"]),
        ("start", ["latency", "ttft", "requests_per_s", "goodput", "attainment"]),
        ("cache", ["latency", "ttft", "prefill_tokens_per_s", "requests_per_s", "goodput", "attainment"]),
        ("stream", ["ttft", "itl", "prefill_tokens_per_s"]),
        ("arrivals", ["itl"]),
        ("token counts", ["tokens_per_s", "tpot", "output_tokens_per_s"]),
        ("prompt counts", ["prefill_tokens_per_s"]),
    ],
)
def test_metrics_that_need_a_condition(condition: Condition, metrics: list[MetricKey]) -> None:
    assert needing(condition) == metrics


def test_own_error_is_a_duration_or_a_share() -> None:
    level = Level(
        streams=1,
        monitor=True,
        requests=1,
        tokens=1,
        coalesced=0.0,
        ttft_s=errors(0.001),
        itl_s=errors(0.002),
        latency_s=errors(0.003),
        tokens_per_s_share=errors(0.004),
    )
    of = {key: metric.own_error(level, 0.5) for key, metric in METRICS.items()}
    assert of == {
        "latency": 0.003,
        "ttft": 0.001,
        "itl": 0.002,
        "tokens_per_s": 0.004,
        "tpot": 0.004,
        "prefill_tokens_per_s": 0.002,
        "output_tokens_per_s": 0.004,
        "requests_per_s": 0.004,
        "goodput": 0.004,
        "attainment": 0.004,
    }
    assert METRICS["prefill_tokens_per_s"].own_error(level, None) == 0.0
