"""A history from another source: foreign tables, and files beside it. It is read, or refused with one message."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtui.store import limits as bounds
from llmtui.store import open as opening
from llmtui.store.errors import StoreError
from llmtui.store.history import Store
from llmtui.store.open import open_store
from tests.hostile.histories import (
    OTHER,
    RUN,
    endless,
    history,
    journal,
    llmtui,
    opening_it,
    refused,
    spoiled,
)
from tests.hostile.strangers import NOBODY, needs_root
from tests.store.runs import mode

READING = (["history"], ["show", RUN], ["export", RUN], ["compare", RUN, OTHER], ["resume", RUN, "--text"])


# --- Tables ---

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
def test_foreign_schemas_are_refused_and_left_unchanged(tmp_path: Path, name: str) -> None:
    file = history(tmp_path / "history.db")
    with spoiled(file) as connection:
        connection.executescript(FOREIGN[name])
    before = file.read_bytes()
    assert "does not have the tables that llmtui creates, so it was not changed" in opening_it(file)
    assert file.read_bytes() == before and [f.name for f in tmp_path.iterdir()] == ["history.db"]


def test_an_endless_view_is_not_queried(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    with spoiled(file) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
        names = ", ".join(f"n AS {name}" for name in columns)
        connection.execute("DROP TABLE runs")
        connection.execute(
            f"CREATE VIEW runs AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT {names} FROM c"
        )
    for command in READING:
        assert "does not have the tables that llmtui creates" in refused(llmtui(file, *command))


def test_tables_of_analyze_are_accepted(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    with spoiled(file) as connection:
        connection.execute("ANALYZE")
    store, _ = open_store(file)
    with store:
        assert [row.run for row in store.runs()] == [RUN, OTHER]


@pytest.mark.parametrize("ask", [Store.runs, lambda store: store.load(RUN), lambda store: store.label(RUN, "x")])
def test_reading_an_endless_table_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Store], object]
) -> None:
    file = history(tmp_path / "history.db")
    endless(file, "runs")
    # As for a file that is too large for a complete check.
    monkeypatch.setattr(opening, "CHECK_S", -1.0)
    monkeypatch.setattr(bounds, "EVERY_STEPS", 100)
    monkeypatch.setattr(bounds, "MAX_STEPS", 1_000_000)
    store, notes = open_store(file)
    with store:
        assert notes == []
        with pytest.raises(StoreError, match=r"takes too long|more than fits into its file"):
            ask(store)


def test_an_endless_table_is_reported_as_damage(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    endless(file, "runs")
    assert b"was damaged: it was renamed to" in llmtui(file, "history").stderr


# --- Files beside it ---


@pytest.mark.parametrize("command", READING)
def test_a_journal_cannot_delete_a_file_of_the_user(tmp_path: Path, command: list[str]) -> None:
    file, document = history(tmp_path / "history.db"), tmp_path / "thesis.txt"
    document.write_text("years of work")
    pages = file.stat().st_size // 4096
    (tmp_path / "history.db-journal").write_bytes(journal(str(document), pages))
    assert "names another file, which SQLite would delete" in refused(llmtui(file, *command))
    assert document.read_text() == "years of work"


def test_a_journal_beside_the_target_of_a_link_cannot_delete_a_file(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    file, document, link = history(there / "history.db"), tmp_path / "thesis.txt", tmp_path / "link.db"
    document.write_text("years of work")
    (there / "history.db-journal").write_bytes(journal(str(document), file.stat().st_size // 4096))
    link.symlink_to(file)
    assert "names another file" in opening_it(link)
    assert document.read_text() == "years of work"


def test_a_journal_that_names_a_pipe_does_not_block(tmp_path: Path) -> None:
    file, pipe = history(tmp_path / "history.db"), tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "history.db-journal").write_bytes(journal(str(pipe), file.stat().st_size // 4096))
    assert "names another file" in refused(llmtui(file, "history"))


def test_a_journal_without_a_name_is_rolled_back(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    whole = journal("x", file.stat().st_size // 4096)
    (tmp_path / "history.db-journal").write_bytes(whole[:512])
    store, notes = open_store(file)
    with store:
        assert notes == [] and len(store.runs()) == 2
    assert [f.name for f in tmp_path.iterdir()] == ["history.db"]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", "-journal", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link", "hard link"])
def test_special_files_and_links_are_not_opened(tmp_path: Path, end: str, kind: str) -> None:
    file = history(tmp_path / "history.db")
    place, document = tmp_path / f"history.db{end}", tmp_path / "thesis.txt"
    document.write_text("years of work" * 1000)
    before = document.read_bytes()
    if not end:
        if kind in ("link", "hard link"):
            pytest.skip("a link of the user to a history is followed")
        file.unlink()
        if kind == "folder":
            pytest.skip("a folder means the history in it")
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "hard link":
        place.hardlink_to(document)
    else:
        place.symlink_to("/dev/zero" if kind == "device" else document)
    message = refused(llmtui(file, "history"))
    assert ("has a second hard link" if kind == "hard link" else "is not a regular file") in message
    assert document.read_bytes() == before


def test_a_link_of_the_user_is_followed(tmp_path: Path) -> None:
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
def test_a_file_of_another_user_is_not_opened(tmp_path: Path, end: str) -> None:
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
