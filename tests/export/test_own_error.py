"""Exports include the accuracy record of the run's machine."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest

from llmtui.export.csv import results_csv
from llmtui.export.json import RunRecord, run_json
from llmtui.export.load_columns import RESULT_COLUMNS
from llmtui.store.accuracy_record import store_record
from tests.build import record_of
from tests.export.run_views import run_view


def test_exports_have_the_newest_record_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTUI_STATE", str(tmp_path))
    full = run_view()
    record = record_of(full.machine, 0.00018)
    store_record(record)
    rows = list(csv.DictReader(io.StringIO(results_csv(full), newline="")))
    assert {row["own_error_p95_s"] for row in rows} == {"0.00018"}
    assert RESULT_COLUMNS[27].name == "own_error_p95_s"
    assert msgspec.json.decode(run_json(full), type=RunRecord).accuracy == record


def test_record_of_another_machine_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMTUI_STATE", str(tmp_path))
    full = run_view()
    store_record(record_of(msgspec.structs.replace(full.machine, cores=64)))
    assert all(row["own_error_p95_s"] == "" for row in csv.DictReader(io.StringIO(results_csv(full), newline="")))
    assert msgspec.json.decode(run_json(full), type=RunRecord).accuracy is None
