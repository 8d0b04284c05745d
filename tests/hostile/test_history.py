"""A history that somebody else made is read as it is, or refused in a sentence: nothing in it acts on its reader."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtui.export.csv import iterations_csv, results_csv
from llmtui.export.json import run_json
from llmtui.runview.run import RunView
from llmtui.store import limits as bounds
from llmtui.store import open as opening
from llmtui.store import process_id as life
from llmtui.store import schema
from llmtui.store.errors import StoreError
from llmtui.store.history import Store
from llmtui.store.open import open_store
from llmtui.text import sanitize
from tests.hostile.histories import OTHER, RUN, endless, history, journal, spoiled
from tests.hostile.serving import LLMTUI, PAYLOAD, environment
from tests.hostile.strangers import NOBODY, needs_root
from tests.hostile.test_text import assert_plain
from tests.store.runs import mode

#: On a machine that is busy, each of these took below a second.
TIMEOUT_S = 20
READING = (["history"], ["show", RUN], ["export", RUN], ["compare", RUN, OTHER], ["resume", RUN, "--text"])


def llmtui(file: Path, *arguments: str, memory_bytes: int = 0) -> subprocess.CompletedProcess[bytes]:
    """A command that reads `file`, in a process that is ended where it hangs."""
    limit = ["prlimit", f"--as={memory_bytes}"] if memory_bytes else []
    return subprocess.run(
        [*limit, *LLMTUI, *arguments, "--store", str(file)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env=environment(file.parent),
        timeout=TIMEOUT_S,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a command said that failed with one sentence, and printed nothing."""
    said = assert_plain(done.stderr)
    assert (done.returncode, done.stdout) == (1, b"") and said.count("\n") == 1 and said.startswith("llmtui: ")
    return said


def opening_it(file: Path) -> str:
    """What is said where `file` is not opened."""
    with pytest.raises(StoreError) as told:
        open_store(file)
    assert str(told.value) == sanitize(str(told.value), 2000)
    return str(told.value)


# --- Its tables. ---

FOREIGN = {
    "view": "CREATE VIEW more AS SELECT 1",
    "trigger": "CREATE TRIGGER t AFTER UPDATE ON runs BEGIN DELETE FROM iterations; END",
    "table": "CREATE TABLE more (x)",
    "index": "CREATE INDEX more ON runs (label)",
    "partial index": "CREATE INDEX more ON runs (label) WHERE abs(label) > 0",
    "virtual table": "CREATE VIRTUAL TABLE more USING fts5 (x)",
    "generated column": "ALTER TABLE iterations ADD COLUMN extra AS (zeroblob(900000000))",
    "column": "ALTER TABLE runs ADD COLUMN more TEXT",
    "missing table": "DROP TABLE backends",
    "column type": "PRAGMA writable_schema = ON;"
    "UPDATE sqlite_schema SET sql = replace(sql, 'latency_s REAL', 'latency_s BLOB') WHERE name = 'iterations'",
    "schema 0": "PRAGMA user_version = 0",
    "schema below 0": "PRAGMA user_version = -1",
    "a name that is not UTF-8": "CREATE VIEW more AS SELECT 1; PRAGMA writable_schema = ON;"
    "UPDATE sqlite_schema SET sql = 'no SQL', name = CAST(x'ff1b5dc2' AS TEXT) WHERE name = 'more'",
    "words that are no SQL": "CREATE VIEW more AS SELECT 1; PRAGMA writable_schema = ON;"
    "UPDATE sqlite_schema SET sql = 'CREATE VIEW more AS \x1b]52;c;HOSTILE\x07' WHERE name = 'more'",
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_what_llmtui_does_not_make_is_refused_and_left_as_it_is(tmp_path: Path, name: str) -> None:
    file = history(tmp_path / "history.db")
    with spoiled(file) as connection:
        connection.executescript(FOREIGN[name])
    before = file.read_bytes()
    assert "does not have the tables that llmtui creates, so it was not changed" in opening_it(file)
    assert file.read_bytes() == before and [f.name for f in tmp_path.iterdir()] == ["history.db"]


def test_a_view_that_never_ends_is_not_asked(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    with spoiled(file) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
        told = ", ".join(f"n AS {name}" for name in columns)
        connection.execute("DROP TABLE runs")
        connection.execute(
            f"CREATE VIEW runs AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT {told} FROM c"
        )
    for command in READING:
        assert "does not have the tables that llmtui creates" in refused(llmtui(file, *command))


def test_what_analyze_leaves_is_no_foreign_table(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    with spoiled(file) as connection:
        connection.execute("ANALYZE")
    store, _ = open_store(file)
    with store:
        assert [row.run for row in store.runs()] == [RUN, OTHER]


@pytest.mark.parametrize("ask", [Store.runs, lambda store: store.load(RUN), lambda store: store.label(RUN, "x")])
def test_a_table_without_end_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Store], object]
) -> None:
    file = history(tmp_path / "history.db")
    endless(file, "runs")
    # As for a file that is too large to be checked whole.
    monkeypatch.setattr(opening, "CHECK_S", -1.0)
    monkeypatch.setattr(bounds, "EVERY_STEPS", 100)
    monkeypatch.setattr(bounds, "MAX_STEPS", 1_000_000)
    store, notes = open_store(file)
    with store:
        assert notes == []
        with pytest.raises(StoreError, match=r"takes too long|more than fits into its file"):
            ask(store)


def test_a_table_without_end_is_damage(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    endless(file, "runs")
    assert b"was damaged: it was renamed to" in llmtui(file, "history").stderr


# --- Files beside it. ---


@pytest.mark.parametrize("command", READING)
def test_no_file_of_the_user_is_deleted_by_way_of_a_journal(tmp_path: Path, command: list[str]) -> None:
    file, document = history(tmp_path / "history.db"), tmp_path / "thesis.txt"
    document.write_text("years of work")
    pages = file.stat().st_size // 4096
    (tmp_path / "history.db-journal").write_bytes(journal(str(document), pages))
    assert "names another file, which SQLite would delete" in refused(llmtui(file, *command))
    assert document.read_text() == "years of work"


def test_nor_by_way_of_a_journal_beside_what_a_link_names(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    file, document, link = history(there / "history.db"), tmp_path / "thesis.txt", tmp_path / "link.db"
    document.write_text("years of work")
    (there / "history.db-journal").write_bytes(journal(str(document), file.stat().st_size // 4096))
    link.symlink_to(file)
    assert "names another file" in opening_it(link)
    assert document.read_text() == "years of work"


def test_a_journal_that_names_a_pipe_hangs_nothing(tmp_path: Path) -> None:
    file, pipe = history(tmp_path / "history.db"), tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "history.db-journal").write_bytes(journal(str(pipe), file.stat().st_size // 4096))
    assert "names another file" in refused(llmtui(file, "history"))


def test_a_journal_that_names_nothing_is_played_back(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    whole = journal("x", file.stat().st_size // 4096)
    (tmp_path / "history.db-journal").write_bytes(whole[:512])
    store, notes = open_store(file)
    with store:
        assert notes == [] and len(store.runs()) == 2
    assert [f.name for f in tmp_path.iterdir()] == ["history.db"]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "-journal", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link", "second name"])
def test_what_is_no_file_of_its_own_is_never_opened(tmp_path: Path, end: str, kind: str) -> None:
    file = history(tmp_path / "history.db")
    place, document = tmp_path / f"history.db{end}", tmp_path / "thesis.txt"
    document.write_text("years of work" * 1000)
    before = document.read_bytes()
    if not end:
        if kind in ("link", "second name"):
            pytest.skip("a link of the user's own to a history is followed")
        file.unlink()
        if kind == "folder":
            pytest.skip("a folder stands for the history in it")
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "second name":
        place.hardlink_to(document)
    else:
        place.symlink_to("/dev/zero" if kind == "device" else document)
    said = refused(llmtui(file, "history"))
    assert ("has a second name" if kind == "second name" else "is not a regular file") in said
    assert document.read_bytes() == before


def test_a_link_of_the_users_own_is_followed(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    file.chmod(0o644)
    (tmp_path / "link.db").symlink_to("history.db")
    (tmp_path / "again.db").symlink_to(tmp_path / "link.db")
    store, _ = open_store(tmp_path / "again.db")
    with store:
        assert len(store.runs()) == 2
    assert mode(file) == 0o600


@needs_root
@pytest.mark.parametrize("end", ["", "-journal", "-wal", "-shm"])
def test_what_belongs_to_another_user_is_not_opened(tmp_path: Path, end: str) -> None:
    file = history(tmp_path / "history.db")
    place = tmp_path / f"history.db{end}"
    place.touch()
    place.chmod(0o644)
    os.chown(place, NOBODY, NOBODY)
    before = place.read_bytes()
    assert "belongs to another user, so it was not opened; copy the history" in opening_it(file)
    assert (place.read_bytes(), mode(place), place.stat().st_uid) == (before, 0o644, NOBODY)


@needs_root
def test_a_link_of_another_user_is_not_followed(tmp_path: Path) -> None:
    file, link = history(tmp_path / "history.db"), tmp_path / "link.db"
    file.chmod(0o644)
    link.symlink_to(file)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    assert "is a link that another user made" in opening_it(link)
    assert mode(file) == 0o644


# --- What it holds. ---

#: No column may hold any of these, but for those that it may: text, a number, or nothing.
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
    """Every column but the row's number."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.upgrade(connection)
        tables = ("runs", "backends", "iterations")
        return [(t, row[1]) for t in tables for row in connection.execute(f"PRAGMA table_info({t})") if row[1] != "seq"]


def all_of_it(file: Path) -> tuple[str, str]:
    """What is told of `file`, or the sentences of why not; and the documents of its runs, which hold texts whole."""
    told, documents = [], []
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
                told.append(message)
                continue
            run_view = RunView(stored.plan)
            run_view.apply(stored.hello())
            assert max((i.latency_s or 0 for i in stored.iterations), default=0) < 1e12
            told += [results_csv(run_view), iterations_csv(run_view)]
            documents.append(run_json(run_view))
    return "".join([*notes, *told]), "".join(documents)


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column"), columns())
def test_a_column_holds_what_it_may_or_the_run_is_refused(tmp_path: Path, table: str, column: str) -> None:
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


def test_six_bytes_are_no_gigabyte(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    # One token, fifty million times.
    put(file, "iterations", "arrival_tokens", bytes.fromhex("0280c2d72f"))
    said = refused(llmtui(file, "show", RUN, memory_bytes=600_000_000))
    assert "a run has an impossible length" in said


def test_the_number_of_a_process_is_no_path(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    os.mkfifo(tmp_path / "stat")
    with spoiled(file) as connection:
        connection.execute(
            "UPDATE runs SET state = 'running', engine_place = ?, engine_pid = ? WHERE id = ?",
            (life.here(), f"../..{tmp_path}", RUN),
        )
    done = llmtui(file, "history")
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 1)
    assert assert_plain(done.stderr) == "llmtui: left out: 1 run that cannot be read; llmtui show RUN says why\n"


def test_one_bad_run_leaves_the_others_in_the_listing(tmp_path: Path) -> None:
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
def test_a_plan_obeys_the_bounds_of_a_config(tmp_path: Path, name: str) -> None:
    file = history(tmp_path / "history.db")
    path, value = PLANS[name]
    with spoiled(file) as connection:
        connection.execute("UPDATE runs SET plan = json_set(plan, ?, ?) WHERE id = ?", (path, value, RUN))
    for command in READING[1:]:
        assert f"run {RUN} of the history {file} cannot be read: " in refused(llmtui(file, *command))
    assert llmtui(file, "history").stdout.startswith(OTHER.encode())


#: Where any text may stand, and the document that it stands in.
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


def test_what_may_be_any_text_is_printed_plainly(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    said = PAYLOAD[:79]
    with spoiled(file) as connection:
        for place, form in PRINTED.items():
            table, column = place.split(".")
            value = form.replace("%", json.dumps(PAYLOAD)[1:-1]) if "%" in form else said
            connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
        connection.execute("UPDATE iterations SET error_kind = 'http', error_hint = ? WHERE iteration = 1", (said,))
    for command in (*READING[:4], ["export", RUN, "--json", "-"], ["export", RUN, "--markdown", "-"]):
        done = llmtui(file, *command)
        assert done.returncode == 0, done.stderr
        assert_plain(done.stdout, swallowed="-" not in command)
        assert_plain(done.stderr)
