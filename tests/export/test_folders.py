"""The formats that are folders: hyperfine's JSON and Parquet."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import msgspec
import pytest

from llmtui.export.csv import run_samples
from llmtui.export.hyperfine import file_name, write_hyperfine
from llmtui.export.load_columns import ITERATION_COLUMNS, TURN_COLUMNS
from llmtui.export.parquet import _batches, kind_of, write_parquet
from llmtui.model import Iteration, Load, Turn
from llmtui.runview.run import RunView
from llmtui.store.errors import StoreError
from tests import build
from tests.export import run_views


def load_view() -> RunView:
    """Two rounds of 4 requests at 8 streams, the fastest of which failed."""
    plan = msgspec.structs.replace(build.plan("vllm"), load=Load(concurrency=[1, 8], requests=4))
    view = RunView(plan)
    requests: dict[int, list[Iteration]] = {}
    for seq, level in enumerate([1, 2, 2], 1):
        turn = Turn(
            run=plan.run,
            backend="vllm",
            attempt=1,
            phase="measured",
            round=seq,
            level=level,
            seq=seq,
            started_utc="2026-11-22T15:00:00.000Z",
            state="whole",
            latency_s=seq + 0.3,
        )
        view.backends["vllm"].add_turn(turn)
        requests[seq] = [
            turn.request(request=n, share="settling" if n == 4 else "window", latency_s=seq + n / 10) for n in (1, 2, 4)
        ]
        requests[seq].append(turn.request(request=3, share="window", error=run_views.failed("a", 1, "gone").error))
    view.requests = lambda turn: [requests[turn.seq]]
    return view


def test_hyperfine_as_a_notebook_reads_it(tmp_path: Path) -> None:
    remarks = write_hyperfine(run_views.run_view(), tmp_path / "out")
    assert remarks == ["no file for ollama: it has no samples"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["HYPERLINK-1.json", "llama.cpp.json", "slow.json"]
    result = json.loads((tmp_path / "out" / "llama.cpp.json").read_text())["results"][0]
    assert result["times"] == [0.7, 0.9] and result["exit_codes"] == [0, 0]
    for name, of in (("mean", statistics.mean), ("median", statistics.median), ("min", min), ("max", max)):
        assert result[name] == pytest.approx(of(result["times"]))
    assert result["stddev"] == pytest.approx(statistics.stdev(result["times"]))
    assert result["user"] is None and result["system"] is None
    # A notebook that removes what it does not draw has bars of what is left: a further field would be one of them.
    drawn, removed = ["mean", "median", "min", "max"], ["command", "stddev", "user", "system", "times", "exit_codes"]
    assert sorted(result) == sorted(drawn + removed)
    # What such a notebook draws: bars of seconds for each file, and a point for each time.
    files = [json.loads(path.read_text()) for path in sorted((tmp_path / "out").iterdir())]
    heights = [[file["results"][0][name] for file in files] for name in ("mean", "median", "min", "max")]
    assert all(isinstance(height, float) for bars in heights for height in bars)
    points = [(n, time) for file in files for n, time in enumerate(file["results"][0]["times"])]
    latencies = [i.latency_s for view in run_views.run_view().backends.values() for i in view.iterations]
    assert {time for _, time in points} <= {*latencies}
    assert len(result["exit_codes"]) == len(result["times"])
    other = json.loads((tmp_path / "out" / "HYPERLINK-1.json").read_text())
    assert (other["results"][0]["stddev"], other["llmtui"]["failed"]) == (None, 1)


def test_hyperfine_of_a_load_is_at_the_level_that_counts(tmp_path: Path) -> None:
    write_hyperfine(load_view(), tmp_path)
    document = json.loads((tmp_path / "vllm.json").read_text())
    assert document["results"][0]["command"] == "vllm (8 streams)"
    assert document["results"][0]["times"] == pytest.approx([2.1, 2.2, 3.1, 3.2])
    assert (document["llmtui"]["level"], document["llmtui"]["failed"]) == ("8 streams", 2)


def test_names_of_files_are_safe_and_differ() -> None:
    taken: set[str] = set()
    names = [file_name(name, ".json", taken) for name in ("a/../b", "a b", "A B", "..", "ä")]
    assert names == ["a-..-b.json", "a-b.json", "A-B-2.json", "backend.json", "backend-2.json"]


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="PyArrow is not installed (the extra parquet)")
    view = run_views.run_view()
    write_parquet(view, tmp_path)
    table = parquet.read_table(tmp_path / "samples.parquet")
    assert table.column_names == [column.name for column in ITERATION_COLUMNS]
    assert table.num_rows == len(list(run_samples(view)))
    types = {field.name: str(field.type) for field in table.schema}
    assert types["latency_s"] == "double" and types["output_tokens"] == "int64" and types["disturbed"] == "bool"
    assert types["started_utc"].startswith("timestamp") and types["backend"] == "string"
    first = table.slice(1, 1).to_pylist()[0]
    assert first["latency_s"] == 1.5 and first["disturbed"] is False and first["level"] is None
    assert "\x1b" not in "".join(filter(None, table["error"].to_pylist()))
    assert not (tmp_path / "turns.parquet").exists()
    write_parquet(load_view(), tmp_path)
    turns = parquet.read_table(tmp_path / "turns.parquet")
    assert turns["level"].to_pylist() == ["1 stream", "8 streams", "8 streams"]
    assert parquet.read_table(tmp_path / "samples.parquet").num_rows == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples.parquet", "turns.parquet"]


def test_parquet_that_cannot_be_written_leaves_no_folder(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow.parquet", reason="PyArrow is not installed (the extra parquet)")
    view = load_view()

    def broken(_: Turn) -> list[list[Iteration]]:
        raise StoreError("the history is locked")

    view.requests = broken
    with pytest.raises(StoreError):
        write_parquet(view, tmp_path / "tables")
    assert list(tmp_path.iterdir()) == []


def test_kinds_of_columns() -> None:
    names = {column.name for column in ITERATION_COLUMNS} | {column.name for column in TURN_COLUMNS}
    texts = {"run", "backend", "phase", "token_source", "finish_reason", "error", "stamp", "written_stamp", "level"}
    assert {name for name in names if kind_of(name) == "text"} == texts | {
        "share",
        "outcome",
        "prompt",
        "state",
        "energy_of",
    }


def test_batches_of_no_rows_are_one() -> None:
    assert list(_batches([])) == [[]]
