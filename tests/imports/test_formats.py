"""What is read of each tool's files, and which files are refused."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest

from llmtui.imports import reading
from llmtui.imports.build import runs_of
from llmtui.imports.files import named, read_files
from llmtui.imports.reading import ImportRefused
from llmtui.store.whole_run import WholeRun
from tests.imports import files


def runs(*words: str | Path) -> list[WholeRun]:
    """Import files."""
    reads, _ = read_files(named(map(str, words)))
    return runs_of(reads, {read.file.path: "2026-11-22T16:00:00.000Z" for read in reads})


def test_hyperfine(tmp_path: Path) -> None:
    both = [("ollama", [1.5, 1.25]), ("curl -H 'Authorization: Bearer sk-abcdef1234567890' http://h/", [2.0, 2.5])]
    path = files.write(tmp_path / "old.json", files.hyperfine(*both, codes=[0, 7]))
    (run,) = runs(path)
    assert [backend.name for backend in run.plan.backends] == ["ollama", "old 2"]
    assert [i.latency_s for i in run.iterations] == [1.5, None, 2.0, None]
    assert "exit code 7" in str(run.iterations[1].error)
    assert run.plan.imported is not None and run.plan.imported.tool == "hyperfine"
    assert run.plan.levels == [] and run.plan.config.order == "sequential"
    assert run.plan.created_utc == "2026-11-22T16:00:00.000Z"


def test_a_file_names_its_backend(tmp_path: Path) -> None:
    one = files.write(tmp_path / "a=b.json", files.hyperfine(("curl http://h/", [1.0])))
    assert [b.name for b in runs(one)[0].plan.backends] == ["a=b"]
    assert [b.name for b in runs(f"fast={one}")[0].plan.backends] == ["fast"]
    two = files.write(tmp_path / "two.json", files.hyperfine(("a", [1.0]), ("b", [1.0])))
    with pytest.raises(ImportRefused, match="2 commands"):
        runs(f"fast={two}")


def test_aiperf_with_requests(tmp_path: Path) -> None:
    records = files.write(tmp_path / "profile_export.jsonl", files.aiperf_records())
    summary = files.write(tmp_path / "profile_export_aiperf.json", files.aiperf_summary())
    for words in ([summary], [records], [records, summary]):
        (run,) = runs(*words)
        ((turn, requests),) = run.turns
        assert [level.title for level in run.plan.levels] == ["4 streams"]
        assert (turn.requests, turn.finished, turn.failed) == (41, 40, 1)
        assert turn.latency_s == pytest.approx(0.5, rel=0.01) and turn.ttft_s == pytest.approx(0.1, rel=0.01)
        assert turn.in_flight == pytest.approx(4.0, rel=0.05) and turn.in_flight_most == 4
        assert requests[0].itl_s == pytest.approx(0.01) and requests[0].output_tokens == 41
        assert str(requests[-1].error) == "overloaded"
        assert run.plan.backends[0].model == "meta/llama-8b"
        assert run.plan.created_utc == "2026-11-22T15:00:00.000Z"


def test_aiperf_summary_alone(tmp_path: Path) -> None:
    (run,) = runs(files.write(tmp_path / "profile_export_aiperf.json", files.aiperf_summary(streams=1)))
    ((turn, requests),) = run.turns
    assert (turn.latency_s, turn.finished, turn.failed, requests) == (0.5, 40, 1, [])
    assert turn.percentiles["latency"].p99 == 0.59
    assert [level.title for level in run.plan.levels] == ["1 stream"]


def test_failures_in_a_file_of_llmtui_in_this_format_are_failures_again(tmp_path: Path) -> None:
    """Regression: a backend that failed in 3 of 5 requests came back with 2 of 2, as of when the file was written."""
    when = "2026-10-01T12:00:00.250Z"
    document = files.hyperfine(("llama.cpp", [1.0, 2.0]))
    document["llmtui"] = {"backend": "llama.cpp", "failed": 3, "created_utc": when}
    (run,) = runs(files.write(tmp_path / "llama.json", document))
    assert [iteration.ok for iteration in run.iterations] == [True, True, False, False, False]
    assert run.plan.created_utc == when
    document["llmtui"] = {"backend": "llama.cpp", "failed": -1}
    with pytest.raises(ImportRefused, match=r"llmtui\.failed"):
        runs(files.write(tmp_path / "llama.json", document))


def test_guidellm(tmp_path: Path) -> None:
    loads: list[dict[str, Any]] = [
        {"type_": "synchronous"},
        {"type_": "concurrent", "streams": 8},
        {"kind": "throughput", "max_concurrency": None},
        {"type_": "poisson", "rate": 2.5},
    ]
    path = files.write(tmp_path / "benchmarks.json", files.guidellm(*loads))
    reads, remarks = read_files(named([str(path)]))
    closed, opened = runs_of(reads, {path: ""})
    assert [level.title for level in closed.plan.levels] == ["1 stream", "8 streams"]
    assert [level.title for level in opened.plan.levels] == ["2.5 requests/s"]
    assert "benchmarks[2] is left out" in remarks[0]
    turn, requests = opened.turns[0]
    assert (turn.finished, turn.failed, turn.unfinished) == (20, 1, 1)
    assert turn.tpot_s == pytest.approx(0.01, rel=0.01) and turn.late_s == pytest.approx(0.001, rel=0.05)
    assert all(not request.text for request in requests)


def test_guidellm_one_after_the_other_is_a_race(tmp_path: Path) -> None:
    (run,) = runs(files.write(tmp_path / "benchmarks.json", files.guidellm({"type_": "synchronous"})))
    assert run.plan.levels == [] and len(run.iterations) == 22
    assert run.iterations[1].started_utc == "2026-11-22T15:00:00.250Z"


def test_files_of_one_server_are_levels_and_rounds(tmp_path: Path) -> None:
    words = []
    for number, streams in enumerate([4, 16, 4]):
        result = files.vllm(detailed=True, max_concurrency=streams)
        words.append(f"gpu={files.write(tmp_path / str(number) / 'a.json', result)}")
    (run,) = runs(*words)
    assert [(turn.level, turn.round) for turn, _ in run.turns] == [(1, 1), (2, 1), (1, 2)]
    assert len(run.plan.backends) == 1


@pytest.mark.parametrize("detailed", [True, False])
def test_vllm(tmp_path: Path, detailed: bool) -> None:
    (run,) = runs(files.write(tmp_path / "vllm.json", files.vllm(detailed=detailed)))
    ((turn, requests),) = run.turns
    assert turn.latency_s == pytest.approx(0.14, rel=0.01) and (turn.finished, turn.failed) == (7, 1)
    assert len(requests) == (8 if detailed else 0)
    assert [level.title for level in run.plan.levels] == ["4 streams"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"results": [{"command": "a", "times": [1.0, "x"]}]},
            r"results\[0\]\.times.*: expected a number, not",
        ),
        ({"results": [{"times": [1.0]}]}, "command is missing"),
        ({"results": []}, "nothing to import"),
        ({"results": [{"command": "a", "times": [-1.0]}]}, r"results\[0\]\.times\[0\]: -1 is not a duration"),
        ({"results": [{"command": "a", "times": [1.0], "exit_codes": [0, 0]}]}, "2 codes for 1 times"),
        ({"some": 1, "\x1b[31mother": 2}, "is not a file of hyperfine.*its fields are: some, other"),
        ({"schema_version": 1, "backends": []}, "llmtui's own JSON"),
        ([1, 2], "expected an object, not a list"),
        (files.aiperf_summary(request_latency={"unit": "parsecs", "p50": 1.0}), "'parsecs' is not a unit of time"),
        (files.guidellm({"type_": "sprint"}), "its load 'sprint' is not one of llmtui"),
        (
            files.guidellm({"type_": "synchronous"}, request_latency=None),
            r"\[0\]\.request_latency: is missing",
        ),
        (files.vllm(detailed=True, itls=[[0.1]]), "itls: has 1 values, and ttfts has 8"),
    ],
)
def test_refused(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(ImportRefused, match=message) as refused:
        runs(files.write(tmp_path / "bad.json", document))
    assert "bad.json" in str(refused.value) and str(refused.value).isprintable()


def test_refused_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bad.json"
    for text, message in (
        ('{"results": [\n  {"command": }]}', "line 2, column 15: is not JSON"),
        ('{"results": [', "is cut off"),
        ("  \n", "is empty"),
        ('{"a":' * 100_000, "nested too deeply|cut off"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ImportRefused, match=message):
            runs(path)
    for data, message in (
        (json.dumps(files.hyperfine(("a", [1.0]))).encode("utf-16"), "is UTF-16, as PowerShell writes it"),
        (b'{"results": [{"command": "a", "times": [1.0, NaN]}]}', "line 1, column 46: NaN is not valid in JSON"),
        (b'{"results": [{"command": "a", "times": [1e999]}]}', "a number is too large"),
    ):
        path.write_bytes(data)
        with pytest.raises(ImportRefused, match=message):
            runs(path)
    path.write_bytes(codecs.BOM_UTF8 + json.dumps(files.hyperfine(("a", [1.0]))).encode())
    assert len(runs(path)[0].iterations) == 1
    lines = files.aiperf_records(n=2)
    record = json.loads(lines[2])
    record["metadata"]["request_start_ns"] = "soon"
    bad = files.write(tmp_path / "bad.jsonl", [*lines[:2], json.dumps(record)])
    with pytest.raises(ImportRefused, match=r"line 3: metadata\.request_start_ns: expected a whole number"):
        runs(bad)
    with pytest.raises(ImportRefused, match="no such file"):
        runs(tmp_path / "none.json")
    with pytest.raises(ImportRefused, match="is a folder"):
        runs(tmp_path)
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    with pytest.raises(ImportRefused, match="is larger than"):
        runs(files.write(path, files.hyperfine(("a", [1.0] * 100))))
