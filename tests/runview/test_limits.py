"""--fail-if: what expressions mean, which of them cannot be checked, and what a run breaks or leaves open."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmtui.model import IterationDone, Load, Plan, Power, Slo
from llmtui.model.errors import UsageError
from llmtui.model.load import Cells
from llmtui.runview.limits import Findings, judge_limits, parse_limits
from llmtui.runview.run import RunView
from llmtui.stats.buckets import Buckets
from tests import build, loads

CLOSED = Load(concurrency=[4, 8], requests=40)


def load_plan(load: Load = CLOSED, **config: Any) -> Plan:
    return msgspec.structs.replace(loads.plan("a", "b", load=load, **config), slo=Slo(ttft_s=0.2))


def race(latencies: dict[str, list[float]]) -> RunView:
    """A finished race with these latencies; a TTFT is a tenth of them."""
    most = max(map(len, latencies.values()))
    view = build.run_view(build.plan(*latencies, iterations=most), keep=0)
    for name, values in latencies.items():
        for number, latency_s in enumerate(values, 1):
            view.apply(IterationDone(iteration=build.answered(name, number, latency_s, ttft_s=latency_s / 10)))
        view.apply(build.changed(name, planned=most))
    return view


def under_load(fields: dict[str, dict[str, Any]], load: Load = CLOSED) -> RunView:
    """A finished run of 6 rounds, with these fields in each turn of a backend."""
    view = loads.raced(dict.fromkeys(fields, 1.0), load=load, rounds=6, noise=0.0, fields=fields)
    view.plan = msgspec.structs.replace(view.plan, slo=Slo(ttft_s=0.2))
    return view


def durations(*values: float) -> list[int]:
    buckets = Buckets()
    buckets.add(values)
    return buckets.encoded()


def judged(view: RunView, *texts: str) -> Findings:
    return judge_limits(view, parse_limits(texts, view.plan))


def test_a_race() -> None:
    view = race({"a": [1.0] * 30 + [3.0] * 30, "b": [0.5] * 60})
    assert judged(view, "latency>2.5", "latency_p50>=4", "ttft_p90<0.01", "failed>0") == ([], [])
    broken, left_open = judged(view, "latency_p95>2", "ttft_mean>150ms")
    assert broken == [
        "a: latency p95 is 3.00 s (n = 60), more than 2 s (--fail-if 'latency_p95>2')",
        "a: TTFT mean is 0.200 s (n = 60), more than 0.15 s (--fail-if 'ttft_mean>150ms')",
    ]
    assert left_open == []


def test_too_few_samples_pass_no_limit() -> None:
    """The planned ones would have been enough."""
    view = race({"a": [1.0] * 60, "b": [1.0] * 20})
    assert judged(view, "latency_p95>2") == (
        [],
        ["b: n = 20 is too small for latency p95: 59 are needed (--fail-if 'latency_p95>2')"],
    )
    nothing = race({"a": [1.0] * 3, "b": []})
    assert judged(nothing, "latency>2", "failed>0.1").open == [
        "b: no value of latency (--fail-if 'latency>2')",
        "b: no requests to tell the share of failed (--fail-if 'failed>0.1')",
    ]


def test_requests_of_a_load_are_pooled_over_its_turns() -> None:
    fast = {"buckets": {"ttft": durations(*[0.1] * 40)}}
    slow = {"buckets": {"ttft": durations(*[0.1] * 36, *[0.5] * 4)}}
    view = under_load({"a": fast, "b": slow})
    assert judged(view, "ttft>0.2", "ttft_p95@4<0.09", "ttft_mean>0.15") == ([], [])
    assert judged(view, "ttft_p95@8>0.2").broken == [
        "b at 8 streams: TTFT p95 is 0.499 s (n = 240), more than 0.2 s (--fail-if 'ttft_p95@8>0.2')"
    ]
    assert len(judged(view, "ttft_p95>200ms").broken) == 2, "at each level"


def test_values_of_turns() -> None:
    view = under_load({"a": {"output_tokens_per_s": 90.0}, "b": {"output_tokens_per_s": 110.0}})
    assert [text.split(",")[0] for text in judged(view, "output_tokens_per_s<100").broken] == [
        "a at 4 streams: output tokens/s is 90.0 tok/s (n = 6)",
        "a at 8 streams: output tokens/s is 90.0 tok/s (n = 6)",
    ]


def test_attainment_and_failures() -> None:
    kept = {"kept": 38, "missed": 2, "objectives": {"ttft": [38, 2, 0]}}
    lost = {"kept": 30, "missed": 10, "objectives": {"ttft": [30, 10, 0]}, "finished": 36, "timed_out": 4}
    view = under_load({"a": kept, "b": lost})
    assert judged(view, "attainment@8<0.95", "failed@4>5%") == (
        [
            "b at 8 streams: attainment is 75.0% of 240 requests, less than 95% (--fail-if 'attainment@8<0.95')",
            "b at 4 streams: failed is 10.0% of 240 requests, more than 5% (--fail-if 'failed@4>5%')",
        ],
        [],
    )


def test_requests_without_an_answer_are_slower_than_any_limit() -> None:
    """Else a server that drops its slowest requests would pass."""
    lost = {"finished": 36, "timed_out": 4, "buckets": {"ttft": durations(*[0.1] * 36)}}
    view = under_load({"a": lost})
    assert judged(view, "ttft_p90@8>0.2", "ttft@8>0.2", "ttft_p95@8<0.01") == ([], [])
    broken, left_open = judged(view, "ttft_p95@8>0.2", "ttft_mean@8>0.2")
    assert broken == [
        "a at 8 streams: 10.0% of 240 requests got no answer, so no TTFT p95 (--fail-if 'ttft_p95@8>0.2')"
    ]
    assert "10.0% of the requests got no answer, so TTFT mean is that of the others" in left_open[0]


@pytest.mark.parametrize(
    ("text", "plan", "expected"),
    [
        ("ttft", load_plan(), "--fail-if: expected METRIC, a sign and a number, such as 'ttft_p95>0.2'"),
        ("ttft>x", load_plan(), "--fail-if: expected METRIC, a sign and a number, such as"),
        ("ttft>1.2.3", load_plan(), "--fail-if 'ttft>1.2.3': expected a number, got '1.2.3'"),
        ("tfft>1", load_plan(), "--fail-if 'tfft>1': unknown metric 'tfft'; did you mean 'ttft'?"),
        ("ttft@3>1", load_plan(), "--fail-if 'ttft@3>1': this load has no level @3"),
        (
            "ttft@4>1",
            build.plan("a"),
            "--fail-if 'ttft@4>1': @4 is a level of a load, and this is a race; leave it out",
        ),
        ("goodput<1", build.plan("a"), "--fail-if 'goodput<1': goodput is of a load, and this is a race with one"),
        ("attainment<1", loads.plan("a"), "--fail-if 'attainment<1': attainment needs objectives; set them in [slo]"),
        ("attainment_p95<1", load_plan(), "attainment has one value at a level, of all requests; leave out _p95"),
        ("attainment<95", load_plan(), "attainment is a share; write 0.95 or 95%"),
        ("failed>1s", load_plan(), "failed is a share; write 0.95 or 95%"),
        ("ttft>5%", load_plan(), "ttft is in seconds; write 0.2 or 200ms"),
        ("tokens_per_s<5ms", load_plan(), "tokens_per_s is per second"),
        ("latency_p95>1", build.plan("a", iterations=10), "p95 needs 59 iterations, and this run has 10; raise --it"),
        ("goodput_p90<1", load_plan(iterations=10), "p90 needs 29 turns, and this run has 10; raise --iterations"),
        ("ttft_p99>1", load_plan(iterations=6), "p99 needs 299 requests, and this run has 240; raise --requests"),
    ],
)
def test_expressions_that_cannot_be_checked(text: str, plan: Plan, expected: str) -> None:
    """Said before the first request."""
    with pytest.raises(UsageError) as error:
        parse_limits([text], plan)
    assert expected in str(error.value)


def test_expressions_in_other_forms() -> None:
    one, two, three = parse_limits([" TTFT_p95 @8 >= 200ms ", "failed>1%", "tpot<=5e-2s"], load_plan())
    assert (one.name, one.which, one.numbers, one.sign, one.value) == ("ttft", "p95", (2,), ">=", 0.2)
    assert (two.name, two.which, two.value, three.value) == ("failed", "", 0.01, 0.05)
    (opened,) = parse_limits(["latency@2>1"], load_plan(Load(request_rate=[0.5, 2.0], duration_s=5.0)))
    assert opened.numbers == (2,)
    assert opened.holds(1.1) and not opened.holds(1.0)


def test_a_level_of_a_grid_is_all_its_cells() -> None:
    grid = Load(concurrency=[1, 8], requests=40, cells=Cells(max_tokens=[16, 256]))
    view = loads.raced(
        {"a": 1.0}, load=grid, rounds=6, fields={"a": lambda _, n: {"requests_per_s": 1.0 if n == 3 else 10.0}}
    )
    [text] = judged(view, "requests_per_s@8<5").broken
    assert text.startswith("a at 8 streams, 16 tokens: requests/s is ")
    assert judged(view, "requests_per_s@1<5") == ([], [])


def test_energy_per_token() -> None:
    view = build.run_view(build.plan("a", "b", iterations=10), keep=0)
    for number in range(1, 11):
        power = Power(joules_per_token=0.5 + number / 100)
        view.apply(IterationDone(iteration=build.answered("a", number, power=power)))
        view.apply(IterationDone(iteration=build.answered("b", number)))
    assert judged(view, "energy_per_token>0.6J").broken == []
    broken, left_open = judged(view, "energy_per_token_mean>=0.5")
    assert broken == [
        "a: energy per token mean is 0.555 J/token (n = 10), at least 0.5 J/token "
        "(--fail-if 'energy_per_token_mean>=0.5')"
    ]
    assert left_open == [
        "b: no value of energy per token, as no meter told it (llmtui explain power) "
        "(--fail-if 'energy_per_token_mean>=0.5')"
    ]
    with pytest.raises(UsageError, match="energy_per_token is in J per token"):
        parse_limits(["energy_per_token>5ms"], view.plan)
    with pytest.raises(UsageError, match="ttft is in seconds"):
        parse_limits(["ttft>5J"], view.plan)


def test_energy_of_a_load_is_that_of_its_turns() -> None:
    view = under_load({"a": {"power": Power(joules_per_token=2.0)}, "b": {"power": Power(joules_per_token=1.0)}})
    assert judged(view, "energy_per_token@8>1.5").broken == [
        "a at 8 streams: energy per token is 2.00 J/token (n = 6), more than 1.5 J/token "
        "(--fail-if 'energy_per_token@8>1.5')"
    ]
