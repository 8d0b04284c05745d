"""Exports of a load: a row per backend and level, per turn and per request, read while they are written."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from llmtui.cli.output import write_files
from llmtui.export.csv import iterations_csv, iterations_lines, results_csv, turns_csv
from llmtui.export.json import RunRecord, run_json
from llmtui.export.load_columns import ITERATION_COLUMNS, RESULT_COLUMNS, TURN_COLUMNS
from llmtui.model import Failure, Iteration, IterationDone, Turn
from llmtui.runview.run import RunView
from llmtui.store.open import open_store
from tests import build
from tests.export.run_views import run_view as race
from tests.loads import OPEN, raced
from tests.store.runs import MACHINE
from tests.store.turns import load_plan, requests, save_requests, turn

#: The columns of a race end here: those of a load follow.
RACE_RESULTS, RACE_ITERATIONS = "start", "written_stamp"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_columns_of_a_load_follow_those_of_a_race_and_are_empty_in_one() -> None:
    for columns, last, table in (
        (RESULT_COLUMNS, RACE_RESULTS, results_csv(race())),
        (ITERATION_COLUMNS, RACE_ITERATIONS, iterations_csv(race())),
    ):
        names = [column.name for column in columns]
        later = names[names.index(last) + 1 :]
        assert later and all(row[name] == "" for row in rows(table) for name in later)
    names = [column.name for column in ITERATION_COLUMNS]
    at = names.index("round")
    assert names[at : at + 8] == ["round", "level", "turn", "request", "worker", "due_s", "queue_s", "in_flight"]
    names = [column.name for column in TURN_COLUMNS]
    assert len(set(names)) == len(names)
    assert rows(turns_csv(race())) == []


def test_results_have_a_row_per_level_and_backend_the_best_first() -> None:
    view = raced({"slow": 1.0, "fast": 1.5}, rounds=6)
    listed = rows(results_csv(view))
    assert [(row["level"], row["streams"], row["rate"], row["backend"]) for row in listed] == [
        ("4 streams", "4", "", "fast"),
        ("4 streams", "4", "", "slow"),
        ("8 streams", "8", "", "fast"),
        ("8 streams", "8", "", "slow"),
    ]
    for row in listed:
        assert (row["iterations"], row["requests"], row["finished"], row["failed"]) == ("6", "240", "240", "0")
        assert row["slots"] == "16" and row["latency_p95_s"] == row["latency_p95_type8_s"] == ""
        assert (float(row["ratio_to_fastest"]) > 1.4) == (row["backend"] == "slow")
    assert float(listed[2]["output_tokens_per_s"]) == pytest.approx(768, rel=0.02)


def test_results_of_an_open_loop() -> None:
    (row, _) = rows(results_csv(raced({"a": 1.0, "b": 1.0}, load=OPEN)))
    assert (row["level"], row["streams"], row["rate"]) == ("2 requests/s", "", "2")


def test_turns_have_a_row_each() -> None:
    view = raced({"a": 1.0, "b": 1.5}, rounds=2)
    listed = rows(turns_csv(view))
    assert len(listed) == 2 * 2 * 3
    first = listed[0]
    assert (first["backend"], first["phase"], first["level"], first["state"]) == ("a", "warmup", "4 streams", "whole")
    assert (first["requests"], first["unfinished"], first["beyond_capacity"]) == ("40", "0", "no")


def _with_requests() -> RunView:
    """A load with one turn of three requests: a good one, one that was cut off, and one that was refused."""
    view = build.run_view(load_plan(1, 8))
    view.apply(IterationDone(iteration=build.iteration("a", 1, 0.5, phase="warmup")))
    view.backends["a"].add_turn(turn(level=2))
    late = {"due_s": 0.5, "written_s": 0.75, "waited_s": 0.125}
    samples = requests(random.Random(1), 3, 4, level=2, worker=1, **late)
    cut = Failure(kind="stopped", message="cut off")
    samples[1] = msgspec.structs.replace(samples[1], latency_s=1.5, error=cut)
    samples[2] = msgspec.structs.replace(
        samples[2], latency_s=None, refused=1, error=Failure(kind="http", message="429", hint="=1+1\u202e")
    )

    def read(of: Turn) -> Iterator[list[Iteration]]:
        assert of.seq == 1
        yield samples[:2]
        yield samples[2:]

    view.requests = read
    return view


def test_iterations_have_a_row_per_request() -> None:
    warmup, good, cut, refused = rows(iterations_csv(_with_requests()))
    assert (warmup["phase"], warmup["round"], warmup["level"], warmup["outcome"]) == ("warmup", "", "", "")
    shown = ("round", "level", "turn", "request", "worker", "due_s", "queue_s", "in_flight", "written_s", "waited_s")
    assert [good[name] for name in shown] == ["1", "8 streams", "1", "1", "1", "0.5", "0.25", "8", "0.75", "0.125"]
    assert (good["outcome"], good["age_s"], good["ttft_s"] != "") == ("finished", "", True)
    assert (cut["outcome"], cut["age_s"], cut["latency_s"], cut["ttft_s"]) == ("unfinished", "1.5", "", "")
    assert (refused["outcome"], refused["age_s"], refused["latency_s"]) == ("refused", "", "")


def test_rows_are_made_while_they_are_written() -> None:
    view, read = _with_requests(), []
    (turn_of,) = view.backends["a"].turns
    samples = [sample for batch in view.requests(turn_of) for sample in batch]

    def endless(_: Turn) -> Iterator[list[Iteration]]:
        while True:
            read.append(512)
            yield samples[:1] * 512

    view.requests = endless
    pieces = iterations_lines(view)
    assert sum(next(pieces).count("\n") for _ in range(8)) > 3_000
    assert len(read) <= 9


def test_json_has_levels_turns_and_requests() -> None:
    view = _with_requests()
    text = run_json(view)
    document = json.loads(text)
    assert [level["title"] for level in document["levels"]] == ["1 stream", "8 streams"]
    assert [level["counts"] for level in document["levels"]] == [False, True]
    assert document["levels"][1]["backends"][0]["figures"]["requests"] == 4
    assert [each["seq"] for each in document["turns"]] == [1] and "buckets" not in document["turns"][0]
    assert [each["request"] for each in document["requests"]] == [1, 2, 3]
    assert len(document["requests"][0]["arrivals_ns"]) == 4
    assert "\u202e" not in text, "invisible characters are escaped"
    record = msgspec.json.decode(text, type=RunRecord)
    (turn_of,) = view.backends["a"].turns
    assert record.requests == [sample for batch in view.requests(turn_of) for sample in batch]
    assert record.load == view.plan.load and record.turns == [turn_of]
    view.requests = lambda _: ()
    assert json.loads(run_json(view))["requests"] == []


def test_files_of_a_load_get_the_requests_from_the_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = requests(random.Random(1), 600, 4)
    store, _ = open_store(tmp_path / "history.db")
    with store:
        store.begin(load_plan(1, 8), MACHINE)
        store.save_turns("ab12cd34", [turn()], [])
        save_requests(store, samples)
        stored = store.load("ab12cd34")
    view = RunView(stored.plan)
    view.apply(stored.hello())
    files = {"iterations_csv": tmp_path / "i.csv", "turns_csv": tmp_path / "t.csv", "json": tmp_path / "j.json"}
    assert write_files(view, dict(files), str(tmp_path / "history.db"))
    assert len(rows(files["iterations_csv"].read_text())) == 600
    assert len(rows(files["turns_csv"].read_text())) == 1
    assert msgspec.json.decode(files["json"].read_text(), type=RunRecord).requests == samples
    (tmp_path / "history.db").write_text("no database" * 100)
    view.requests = lambda _: ()
    assert not write_files(view, {"iterations_csv": files["iterations_csv"]}, str(tmp_path / "history.db"))
    assert "the files have no requests" in capsys.readouterr().err
