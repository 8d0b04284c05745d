"""Opening a history that is missing, older, newer, foreign or not permitted: no traceback, and no lost data."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from llmtui.store import schema
from llmtui.store.errors import StoreError
from llmtui.store.open import open_store
from tests.store.runs import MACHINE, database, filled, history_of_0_1_0, iteration, mode, plan, state

# --- Path and permissions. ---


def test_new_files_and_folders_are_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store, _ = open_store(tmp_path / "deep" / "data" / "history.db")
        with store:
            store.begin(plan(), MACHINE)
            assert mode(tmp_path / "deep") == mode(store.path.parent) == 0o700
            names = {file.name: mode(file) for file in store.path.parent.iterdir()}
    finally:
        os.umask(old)
    assert names == {"history.db": 0o600, "history.db-wal": 0o600, "history.db-shm": 0o600}


def test_permissions_of_other_users_are_removed(tmp_path: Path) -> None:
    file = filled(tmp_path / "history.db", 1)
    file.chmod(0o644)
    tmp_path.chmod(0o755)
    open_store(file)[0].close()
    assert mode(file) == 0o600
    # The folder is the user's choice.
    assert mode(tmp_path) == 0o755


def test_the_path_comes_from_option_variable_or_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMTUI_STORE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "llmtui").mkdir(mode=0o755)
    with open_store()[0] as store:
        assert store.path == tmp_path / "llmtui" / "history.db"
    assert mode(store.path.parent) == 0o700
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "other.db"))
    with open_store()[0] as store:
        assert store.path == tmp_path / "other.db"
    with open_store(tmp_path)[0] as store:
        assert store.path == tmp_path / "history.db"


def test_a_user_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLMTUI_STORE", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    # As for a user without an entry in the password database.
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(StoreError, match="there is no home folder for the history; set HOME, or name a"):
        open_store()


def test_a_path_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot use the history .*: Not a directory; use another file with --store"):
        open_store(tmp_path / "home" / "llmtui" / "history.db")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_a_folder_that_even_root_cannot_write() -> None:
    with pytest.raises(StoreError, match="use another file with --store"):
        open_store("/proc/self/llmtui/history.db")


_WITHOUT_ROOT = """
import os, sys
from llmtui.store.errors import StoreError
from llmtui.store.open import open_store
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
for file in sys.argv[1:]:
    try:
        open_store(file)
    except StoreError as error:
        print(error)
"""


def test_a_read_only_folder_and_a_read_only_file() -> None:
    """In a child process without root's permissions."""
    with tempfile.TemporaryDirectory(prefix="llmtui-test-") as name:
        folder = Path(name)
        there = filled(folder / "history.db", 1)
        there.chmod(0o444)
        if os.geteuid() == 0:
            os.chown(there, 65534, 65534)
        folder.chmod(0o555)
        files = [there, folder / "new.db", folder / "deep" / "history.db"]
        try:
            done = subprocess.run(
                [sys.executable, "-c", _WITHOUT_ROOT, *files], capture_output=True, text=True, check=True
            )
        finally:
            folder.chmod(0o700)
        assert done.stdout.splitlines() == [
            f"no permission to write to the history {file}; use another file with --store" for file in files
        ]
        assert [f.name for f in folder.iterdir()] == ["history.db"]


def test_a_named_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    with pytest.raises(StoreError, match="is not a regular file"):
        open_store(tmp_path / "pipe.db")


# --- Versions. ---


def test_the_schema_of_0_1_0_is_read(tmp_path: Path) -> None:
    store, _ = open_store(history_of_0_1_0(tmp_path / "history.db", "v1_rows.sql"))
    with store:
        stored = store.load("first")
        assert stored.plan == plan()
        assert stored.iterations == [iteration(number=1, phase="warmup"), iteration(number=2)]
        assert stored.states[0] == state()


def test_a_run_recorded_by_0_1_0_is_read(tmp_path: Path) -> None:
    """What an engine of 0.1.0 wrote, with a server that did not answer."""
    store, notes = open_store(history_of_0_1_0(tmp_path / "history.db", "v1_run.sql"))
    with store:
        (copy,) = tmp_path.glob("history.db.v1-*")
        assert notes == [f"the history {store.path} was upgraded; the old version is kept as {copy.name}"]
        assert store.mark_dead() == []
        (row,) = store.runs()
        assert [(b.name, b.state, b.measured) for b in row.backends] == [
            ("truth", "done", 3),
            ("gone", "unreachable", 0),
        ]
        stored = store.load(row.run)
        assert [(i.phase, i.iteration) for i in stored.iterations] == [
            ("warmup", 1),
            ("measured", 1),
            ("measured", 2),
            ("measured", 3),
        ]
        assert [len(i.arrivals_ns) for i in stored.iterations] == [8, 7, 8, 7]
        assert stored.states[1].failure is not None
        assert (stored.turns, stored.plan.levels, stored.plan.head_level) == ([], [], None), "a race"


def _add_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE runs ADD COLUMN colour TEXT NOT NULL DEFAULT 'green'")


def _fail(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE iterations")
    raise sqlite3.OperationalError("something went wrong")


def test_an_older_schema_is_upgraded_after_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = filled(tmp_path / "history.db")
    monkeypatch.setattr(schema, "STEPS", [*schema.STEPS, _add_column])
    store, notes = open_store(file)
    with store:
        assert len(store.load("ab12cd34").iterations) == 50
        assert store._connection.execute("SELECT colour FROM runs").fetchone()[0] == "green"
    before = len(schema.STEPS) - 1
    (copy,) = tmp_path.glob(f"history.db.v{before}-????????T??????")
    assert notes == [f"the history {file} was upgraded; the old version is kept as {copy.name}"]
    assert mode(copy) == 0o600
    with database(copy) as connection:
        assert schema.version(connection) == before
        assert connection.execute("SELECT count(*) FROM iterations").fetchone() == (50,)
    store, notes = open_store(file)
    with store:
        assert notes == []
    assert {f.name for f in tmp_path.iterdir()} == {"history.db", copy.name}


def test_a_failed_upgrade_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = filled(tmp_path / "history.db")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", [*schema.STEPS, _add_column, _fail])
        with pytest.raises(StoreError, match="something went wrong"):
            open_store(file)
    store, notes = open_store(file)
    with store:
        assert notes == []
        assert len(store.load("ab12cd34").iterations) == 50


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    file = filled(tmp_path / "history.db", 1)
    with database(file) as connection:
        connection.execute("PRAGMA user_version = 7")
        connection.execute("PRAGMA journal_mode = DELETE")
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"newer llmtui \(schema 7, this version reads up to \d+\); update llmtui"):
        open_store(file)
    assert file.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["history.db"]


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "places.db"
    with database(file) as connection:
        connection.execute("CREATE TABLE places (url TEXT)")
    before = file.read_bytes()
    with pytest.raises(StoreError, match="is a database of another program"):
        open_store(file)
    assert file.read_bytes() == before


def test_a_file_that_is_no_database_is_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[run]\niterations = 10\n" * 100)
    with pytest.raises(StoreError, match="is not a history of llmtui, so it was not changed"):
        open_store(file)
    assert file.read_text().startswith("[run]")
