"""How versions of the tools differ: names of fields, where the load is said, and loads that llmtui has not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmtui.imports.build import runs_of
from llmtui.imports.files import named, read_files
from llmtui.imports.reading import ImportRefused
from llmtui.store.whole_run import WholeRun
from tests.imports import files

WARMUP = {"name": "warmup", "type": "concurrency", "exclude_from_results": True, "requests": 16, "concurrency": 16}


def run_of(path: Path) -> WholeRun:
    """The run of a file."""
    reads, _ = read_files(named([str(path)]))
    (run,) = runs_of(reads, {path: "2026-11-22T16:00:00.000Z"})
    return run


def aiperf(tmp_path: Path, *phases: dict[str, Any], **more: Any) -> WholeRun:
    """The run of AIPerf's summary with these phases."""
    summary = files.aiperf_summary(input_config=files.aiperf_phases(*phases), **more)
    return run_of(files.write(tmp_path / "profile_export_aiperf.json", summary))


@pytest.mark.parametrize(
    ("phase", "title"),
    [
        ({"type": "concurrency", "concurrency": 2}, "2 streams"),
        ({"type": "poisson", "rate": 2.5}, "2.5 requests/s"),
        ({"type": "constant", "rate": 4, "concurrency": 8}, "4 requests/s"),
        ({"type": "gamma", "rate": 4.0, "smoothness": 0.5}, "4 requests/s"),
    ],
)
def test_the_load_of_aiperf_is_that_of_the_measured_phase(tmp_path: Path, phase: dict[str, Any], title: str) -> None:
    run = aiperf(tmp_path, WARMUP, {"name": "profiling"} | phase)
    assert [level.title for level in run.plan.levels] == [title]
    assert run.plan.backends[0].model == "meta/llama-8b"
    assert run.plan.load.max_concurrency == (8 if phase["type"] == "constant" else 0)
    assert (run.plan.load.arrival, run.plan.load.burstiness) == {
        "constant": ("constant", 1.0),
        "gamma": ("gamma", 0.5),
    }.get(phase["type"], ("poisson", 1.0))


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ([{"name": "profiling", "type": "fixed_schedule"}], "llmtui has no load like its 'fixed_schedule'"),
        ([{"name": "profiling", "type": "user_centric", "rate": 2, "users": 5}], "'user_centric'"),
        ([{"name": "profiling", "type": "poisson", "rate_series": {"points": []}}], "has no single rate"),
        ([{"name": n, "kind": "profiling", "type": "concurrency"} for n in "ab"], "has 2 phases with results"),
    ],
)
def test_loads_that_llmtui_has_not_are_refused(tmp_path: Path, phases: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ImportRefused, match=words):
        aiperf(tmp_path, WARMUP, *phases)
    old = {"loadgen": {"concurrency": 4}, "input": {"fixed_schedule": True}}
    with pytest.raises(ImportRefused, match="by a schedule or by users"):
        run_of(files.write(tmp_path / "profile_export_aiperf.json", files.aiperf_summary(input_config=old)))


def test_the_first_versions_of_aiperf(tmp_path: Path) -> None:
    run = run_of(files.write(tmp_path / "profile_export.jsonl", files.old_aiperf_records()))
    assert [i.ttft_s for i in run.iterations][:10] == [pytest.approx(0.1)] * 10, "the warm-up is left out"
    assert run.plan.created_utc == "2026-11-22T15:00:00.000Z"


def test_the_time_of_a_summary_has_no_zone(tmp_path: Path) -> None:
    run = aiperf(tmp_path, {"name": "profiling", "type": "concurrency"}, start_time="2026-07-03T05:21:36.274997")
    assert run.plan.created_utc == "2026-07-03T05:21:36.274Z"
    assert run.plan.imported is not None and "when exactly it was measured" in run.plan.imported.unknown


def test_vllm_stores_latencies_without_details(tmp_path: Path) -> None:
    document = files.vllm(detailed=False, latencies=[0.14] * 6 + [0.2, 0.0])
    for name in ("median_e2el_ms", "p99_e2el_ms"):
        del document[name]
    ((turn, _),) = run_of(files.write(tmp_path / "vllm.json", document)).turns
    assert turn.latency_s == 0.14 and turn.percentiles["latency"].n == 7
    document["latencies"][-1] = 0.1
    with pytest.raises(ImportRefused, match="has no latencies"):
        run_of(files.write(tmp_path / "vllm.json", document))


def test_vllm_says_when_it_ended_and_how_long_prompts_waited(tmp_path: Path) -> None:
    document = files.vllm(
        detailed=True,
        request_rate=4.0,
        latencies=[0.15] * 8,
        start_times=[100.0 + n / 4 for n in range(8)],
        queue_times=[0.0, *[0.02] * 7],
    )
    run = run_of(files.write(tmp_path / "vllm.json", document))
    assert run.plan.created_utc == "2026-11-22T14:59:58.000Z"
    ((turn, requests),) = run.turns
    assert [level.title for level in run.plan.levels] == ["4 requests/s"]
    assert requests[0].latency_s == 0.15 and requests[1].due_s == pytest.approx(0.23)
    assert turn.late_s == pytest.approx(0.02, rel=0.05)


def test_results_that_vllm_appended_are_rounds(tmp_path: Path) -> None:
    lines = [json.dumps(files.vllm(detailed=True)) for _ in range(3)]
    path = files.write(tmp_path / "vllm.json", lines)
    assert [turn.round for turn, _ in run_of(path).turns] == [1, 2, 3]
    files.write(path, [*lines, json.dumps({"completed": 1})])
    with pytest.raises(ImportRefused, match="line 4: is not a result of vLLM"):
        run_of(path)


def test_other_benchmarks_with_names_of_vllm_are_not_its(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="is not a file of"):
        run_of(files.write(tmp_path / "sglang.json", files.vllm(detailed=True, median_e2e_latency_ms=1.0)))
    with pytest.raises(ImportRefused, match="was ramped up"):
        run_of(files.write(tmp_path / "vllm.json", files.vllm(detailed=True, ramp_up_strategy="linear")))


def test_warm_up_and_cool_down_of_guidellm_are_left_out(tmp_path: Path) -> None:
    document = files.guidellm({"type_": "synchronous"})
    # Requests of 0.5 s, one each 0.25 s: of 20 the first three and the last seven are not under way in these 2 s.
    document["benchmarks"][0] |= {"start_time": files.START + 1.1, "duration": 2.0}
    document["benchmarks"][0]["metrics"]["request_totals"] = {"successful": 10, "errored": 0, "incomplete": 1}
    run = run_of(files.write(tmp_path / "benchmarks.json", document))
    assert sum(iteration.ok for iteration in run.iterations) == 20 - 3 - 7
    assert run.plan.created_utc == "2026-11-22T15:00:01.100Z"


def test_rates_of_guidellm_are_over_the_time_after_its_warm_up(tmp_path: Path) -> None:
    document = files.guidellm({"type_": "concurrent", "streams": 2})
    document["benchmarks"][0] |= {"start_time": files.START + 1.1, "duration": 2.0}
    document["benchmarks"][0]["metrics"]["request_totals"] = {"successful": 10, "errored": 0, "incomplete": 1}
    ((turn, _),) = run_of(files.write(tmp_path / "benchmarks.json", document)).turns
    # Ten requests from 0.75 s on, the last of which begins 2.25 s later and takes 0.5 s.
    assert turn.window_s == pytest.approx(2.75, abs=0.01)


def test_a_sample_of_the_requests_of_guidellm_gives_no_rates(tmp_path: Path) -> None:
    """Regression: 100 of 3,800 requests in the file were taken for all, at 1.67 requests/s instead of 63.3."""
    document = files.guidellm({"type_": "concurrent", "streams": 32}, {"type_": "synchronous"})
    for benchmark in document["benchmarks"]:
        percentiles = {"count": 3800, "percentiles": {"p50": 0.5, "p95": 0.6}}
        benchmark["metrics"] = {
            "request_totals": {"successful": 3800, "errored": 2, "incomplete": 0},
            "requests_per_second": {"successful": {"mean": 63.3}},
            "output_tokens_per_second": {"successful": {"mean": 6333.0}},
            "request_latency": {"successful": percentiles},
        }
    run = run_of(files.write(tmp_path / "benchmarks.json", document))
    for turn, samples in run.turns:
        assert (turn.requests, turn.failed, turn.requests_per_s, turn.output_tokens_per_s) == (3802, 2, 63.3, 6333.0)
        assert turn.latency_s == 0.5 and turn.in_flight is None and samples == []
    assert run.plan.imported is not None and "3781 requests that are not in the file" in run.plan.imported.unknown
    # Requests sent one after the other are a race, whose figures are those of its samples.
    document["benchmarks"] = document["benchmarks"][1:]
    assert sum(iteration.ok for iteration in run_of(files.write(tmp_path / "b.json", document)).iterations) == 20


def test_throughput_of_guidellm_is_streams_only_if_its_cap_was_reached(tmp_path: Path) -> None:
    def of(cap: int) -> Path:
        return files.write(tmp_path / "b.json", files.guidellm({"type_": "throughput", "max_concurrency": cap}))

    assert [level.title for level in run_of(of(16)).plan.levels] == ["16 streams"]
    with pytest.raises(ImportRefused, match="all requests were sent at once"):
        run_of(of(512))
