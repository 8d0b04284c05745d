"""OpenMetrics: the reference parser takes it, names end in units, labels are escaped, and counts are right."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from llmtui.export.openmetrics import median_name, openmetrics
from llmtui.model import Backend, IterationDone, Load, Power, Progress, Tick
from llmtui.runview.run import RunView
from llmtui.stats.metrics import METRICS
from tests import build, loads
from tests.export.reports import sweep
from tests.export.run_views import SECRET, run_view


def parsed(view: RunView) -> dict[str, Metric]:
    text = openmetrics(view)
    assert text.endswith("# EOF\n") and SECRET not in text
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation for family in families)
    assert all(family.name.endswith(f"_{family.unit}") for family in families if family.unit)
    return {family.name: family for family in families}


def value(family: Metric, **labels: str) -> float:
    (found,) = [s.value for s in family.samples if labels.items() <= s.labels.items()]
    return float(found)


def test_a_race() -> None:
    view = run_view()
    view.apply(Progress(backend="slow", phase="measured", iteration=3, tokens=2, elapsed_s=0.5))
    found = parsed(view)
    iterations = found["llmtui_iterations"]
    assert iterations.type == "counter" and iterations.samples[0].name == "llmtui_iterations_total"
    assert value(iterations, backend="=HYPERLINK(1)", outcome="failed") == 1
    assert value(found["llmtui_median_latency_seconds"], backend="llama.cpp") == 0.8
    assert value(found["llmtui_median_decode_tokens_per_second"], backend="llama.cpp") == 80
    assert value(found["llmtui_in_flight_requests"], backend="slow") == 1
    assert value(found["llmtui_build"], version="0.1.0") == 1
    assert value(found["llmtui_run_phase"], llmtui_run_phase="done") == 1


def test_a_load_by_level() -> None:
    view = sweep(("a", "b"), (1, 8))
    view.apply(Tick(backend="a", phase="measured", round=1, level=2, in_flight=7))
    found = parsed(view)
    assert value(found["llmtui_requests"], backend="b", level="8 streams", outcome="finished") == 800
    assert value(found["llmtui_turns"], backend="b", level="1 stream", outcome="whole") == 10
    p95 = view.backends["a"].at_level(2).ttft
    assert p95 is not None
    assert value(found["llmtui_ttft_seconds"], backend="a", level="8 streams", quantile="0.95") == p95.p95
    assert value(found["llmtui_in_flight_requests"], backend="a") == 7


def test_labels_are_escaped() -> None:
    name = 'a"b\\c\nd{e="f"} 1'
    view = build.run_view(build.plan(Backend(name=name), run='r"'))
    assert value(parsed(view)["llmtui_backend"], backend='a"b\\c d{e="f"} 1') == 1


METERS = ["NVIDIA H200", 'package"0']


def power(joules: float) -> Power:
    error, above = joules / 40, joules - 9
    return Power(
        meters=METERS,
        watts=500.0,
        joules_per_token=joules,
        joules_per_token_error=error,
        joules_per_token_above_idle=above,
    )


def test_energy_and_power_of_a_race_where_they_were_measured() -> None:
    view = build.run_view(build.plan("a", "b", iterations=3))
    for number, joules in enumerate((8.0, 16.0, 20.0), 1):
        view.apply(IterationDone(iteration=build.answered("a", number, power=power(joules))))
        view.apply(IterationDone(iteration=build.answered("b", number)))
    found = parsed(view)
    assert {
        name: [(sample.labels, sample.value) for sample in found[name].samples]
        for name in found
        if "energy" in name or "watts" in name
    } == {
        "llmtui_median_energy_per_token_joules": [({"backend": "a"}, 16.0)],
        "llmtui_median_energy_per_token_above_idle_joules": [({"backend": "a"}, 7.0)],
        "llmtui_median_power_watts": [({"backend": "a"}, 500.0)],
        "llmtui_energy_per_token_error_joules": [({"backend": "a"}, 0.4)],
        "llmtui_energy": [({"backend": "a", "of": 'NVIDIA H200 + package"0'}, 1.0)],
    }


def test_energy_at_each_level_of_a_load() -> None:
    fields = {"a": lambda _, level: {"power": power(20.0 / level)}}
    found = parsed(loads.raced({"a": 1.0, "b": 1.0}, Load(concurrency=[4, 64], requests=40), 2, fields=fields))
    energy = found["llmtui_median_energy_per_token_joules"]
    assert [(s.labels["level"], s.value) for s in energy.samples] == [("4 streams", 20.0), ("64 streams", 10.0)]


def test_no_power_no_family() -> None:
    assert not [name for name in parsed(run_view()) if "energy" in name or "power" in name]


def test_names_of_medians_are_a_contract() -> None:
    assert [median_name(metric)[0].removeprefix("llmtui_median_") for metric in METRICS.values()] == [
        "latency_seconds",
        "ttft_seconds",
        "itl_seconds",
        "decode_tokens_per_second",
        "tpot_seconds",
        "prefill_tokens_per_second",
        "output_tokens_per_second",
        "requests_per_second",
        "goodput_requests_per_second",
        "attainment_ratio",
    ]
