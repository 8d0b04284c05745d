"""Values in a stored history that llmtui never writes: each is refused or printed sanitized."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path

import pytest

from llmtui.export.csv import iterations_csv, results_csv
from llmtui.export.json import run_json
from llmtui.runview.run import RunView
from llmtui.store import process_id as life
from llmtui.store import schema
from llmtui.store.errors import StoreError
from llmtui.store.open import open_store
from llmtui.text import sanitize
from tests.hostile.histories import (
    OTHER,
    RUN,
    history,
    llmtui,
    llmtui_inside,
    refused,
    spoiled,
)
from tests.hostile.serving import PAYLOAD, assert_plain

READING = (["history"], ["show", RUN], ["export", RUN], ["compare", RUN, OTHER], ["resume", RUN, "--text"])


#: Values that are invalid in most columns.
VALUES: dict[str, object] = {
    "nothing": None,
    "bytes": b"\x1b]52;c;HOSTILE\x07",
    "escapes": PAYLOAD,
    "a path": "../../x",
    "long": "A" * 3_000_000,
    "below zero": -1,
    "huge": 2**62,
    "infinite": float("inf"),
    "below infinite": float("-inf"),
    "nested object": '{"a":' * 100_000,
    "not UTF-8": b"text:\x1b]52;c;HOSTILE\x07\xff",
}


def put(file: Path, table: str, column: str, value: object) -> None:
    """Write `value` into `column` of the first row of `RUN`; bytes that begin with "text:" as text."""
    which = {"runs": "id = ?", "backends": "run = ?", "iterations": "iteration = 1 AND run = ?"}[table]
    with spoiled(file) as connection:
        what = "CAST(? AS TEXT)" if isinstance(value, bytes) and value.startswith(b"text:") else "?"
        connection.execute(f"UPDATE {table} SET {column} = {what} WHERE {which}", (value, RUN))


def columns() -> list[tuple[str, str]]:
    """Return every column except the row number."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.upgrade(connection)
        tables = ("runs", "backends", "iterations")
        return [(t, row[1]) for t in tables for row in connection.execute(f"PRAGMA table_info({t})") if row[1] != "seq"]


def all_of_it(file: Path) -> tuple[str, str]:
    """Return the CSV of both runs, or their errors, and their JSON documents, which have the texts unabridged."""
    outputs, documents = [], []
    store, notes = open_store(file)
    with store:
        store.mark_dead()
        rows = store.runs()
        assert len(rows) + rows.unread == 2
        for name in (RUN, OTHER):
            try:
                stored = store.load(name)
            except StoreError as error:
                message = str(error)
                assert message == sanitize(message, 2000) and len(message) < 600
                outputs.append(message)
                continue
            run_view = RunView(stored.plan)
            run_view.apply(stored.hello())
            assert max((i.latency_s or 0 for i in stored.iterations), default=0) < 1e12
            outputs += [results_csv(run_view), iterations_csv(run_view)]
            documents.append(run_json(run_view))
    return "".join([*notes, *outputs]), "".join(documents)


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column"), columns())
def test_invalid_values_of_a_column_are_refused(tmp_path: Path, table: str, column: str) -> None:
    good = history(tmp_path / "good.db").read_bytes()
    file = tmp_path / "history.db"
    for value in VALUES.values():
        file.write_bytes(good)
        try:
            put(file, table, column, value)
        except sqlite3.IntegrityError:
            assert value is None, "only an empty cell is refused by the table itself"
            continue
        told, documents = all_of_it(file)
        assert_plain(told.encode())
        assert_plain(documents.encode(), swallowed=False)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["good.db", "history.db"]


def test_a_small_value_does_not_expand_to_a_large_one(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    # One token, repeated fifty million times.
    put(file, "iterations", "arrival_tokens", bytes.fromhex("0280c2d72f"))
    said = refused(llmtui(file, "show", RUN, memory_bytes=600_000_000))
    assert "a run has an impossible length" in said


def test_a_pid_in_the_history_is_not_used_as_a_path(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    os.mkfifo(tmp_path / "stat")
    with spoiled(file) as connection:
        connection.execute(
            "UPDATE runs SET state = 'running', engine_place = ?, engine_pid = ? WHERE id = ?",
            (life.here(), f"../..{tmp_path}", RUN),
        )
    done = llmtui(file, "history")
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 1)
    assert assert_plain(done.stderr) == "llmtui: skipped 1 unreadable run; for the reason, try: llmtui show RUN\n"


def test_one_invalid_run_does_not_hide_the_others(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    put(file, "iterations", "latency_s", float("inf"))
    store, _ = open_store(file)
    with store:
        rows = store.runs()
        assert ([row.run for row in rows], rows.unread) == ([OTHER], 1)
        with pytest.raises(StoreError, match=f"run {RUN} of the history .* latency_s is not between 0 and 1e"):
            store.load(RUN)


PLANS = {
    "of another run": ("$.run", OTHER),
    "more iterations than a config may have": ("$.config.iterations", 10**9),
    "a prompt of nothing": ("$.config.prompt", " "),
    "no whole number": ("$.config.max_tokens", 1.5),
    "an infinite wait": ("$.config.timeout_s", 1e308 * 10),
    "a name with escapes": ("$.backends[0].name", PAYLOAD[:30]),
    "a name twice": ("$.backends[0].name", "b"),
    "a name that no iteration has": ("$.backends[0].name", "c"),
    "a long name": ("$.backends[0].name", "n" * 41),
    "no time": ("$.created_utc", "yesterday"),
    "no backends": ("$.backends", None),
    "a config that is a list": ("$.config", 3),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_a_stored_plan_must_be_within_the_limits_of_a_config(tmp_path: Path, name: str) -> None:
    file = history(tmp_path / "history.db")
    path, value = PLANS[name]
    with spoiled(file) as connection:
        connection.execute("UPDATE runs SET plan = json_set(plan, ?, ?) WHERE id = ?", (path, value, RUN))
    for command in READING[1:]:
        assert f"run {RUN} of the history {file} cannot be read: " in refused(llmtui_inside(file, *command))
    assert llmtui_inside(file, "history").stdout.startswith(OTHER.encode())


#: Columns that may contain any text, and the document with each.
PRINTED = {
    "runs.llmtui": "",
    "runs.label": "",
    "runs.note": "",
    "runs.machine": '{"cpu":"%","os":"%","python":"%","llmtui":"%","gpu":"%","governor":"%"}',
    "backends.state": '{"name":"a","state":"failed","failure":{"kind":"http","message":"%","hint":"%"},'
    '"note":"%","version":"%","model":"%","weights":"%","log_tail":["%"],"url":"%"}',
    "backends.model_digest": "",
    "iterations.text": "",
    "iterations.finish_reason": "",
    "iterations.error_message": "",
}


@pytest.mark.slow
def test_stored_text_is_sanitized_when_printed(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    said = PAYLOAD[:79]
    with spoiled(file) as connection:
        for place, form in PRINTED.items():
            table, column = place.split(".")
            value = form.replace("%", json.dumps(PAYLOAD)[1:-1]) if "%" in form else said
            connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
        connection.execute("UPDATE iterations SET error_kind = 'http', error_hint = ? WHERE iteration = 1", (said,))
    for command in (*READING[:4], ["export", RUN, "--json", "-"], ["export", RUN, "--markdown", "-"]):
        done = llmtui_inside(file, *command)
        assert done.returncode == 0, done.stderr
        assert_plain(done.stdout, swallowed="-" not in command)
        assert_plain(done.stderr)
