"""A history that is damaged, locked, or without room: told in words, set aside where it must be, nothing lost."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmtui.store import limits as bounds
from llmtui.store import open as opening
from llmtui.store import schema
from llmtui.store.errors import LockedError, StoreError
from llmtui.store.open import open_store
from tests.store.runs import MACHINE, database, filled, iteration, mode, plan

# --- Damaged. ---


def _truncate(data: bytes) -> bytes:
    return data[: len(data) // 2 + 100]


def _garbage_header(data: bytes) -> bytes:
    return b"\xde\xad\xbe\xef" * 25 + data[100:]


def _garbage_page(data: bytes) -> bytes:
    page = 4096
    middle = len(data) // page // 2 * page
    return data[:middle] + b"\xa5" * page + data[middle + page :]


def _garbage_schema(data: bytes) -> bytes:
    return data[:100] + b"\xff" * 3996 + data[4096:]


@pytest.mark.parametrize("damage", [_truncate, _garbage_header, _garbage_page, _garbage_schema])
def test_a_damaged_file_is_set_aside_and_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = filled(tmp_path / "history.db")
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    file.with_name("history.db-wal").write_bytes(b"a log")
    store, notes = open_store(file)
    with store:
        assert store.runs() == []
        store.begin(plan(), MACHINE)
    (aside,) = [f for f in tmp_path.glob("history.db.damaged-*") if "-wal" not in f.name and "-shm" not in f.name]
    assert notes == [f"the history {file} was damaged: it was set aside as {aside.name}, and a new one was begun"]
    assert aside.read_bytes() == damaged
    assert mode(file) == 0o600
    store, notes = open_store(file)
    with store:
        assert notes == []
        assert len(store.runs()) == 1


def test_damage_met_later_is_told(tmp_path: Path) -> None:
    store, _ = open_store(filled(tmp_path / "history.db"))
    with store:
        # From outside, while it is open, as a failing disk would do it. What was read at opening is forgotten first.
        store._connection.execute("PRAGMA shrink_memory")
        with store.path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (store.path.stat().st_size - 4096))
        with pytest.raises(StoreError, match="is damaged; llmtui sets it aside when it opens it next"):
            store.load("ab12cd34")


def test_a_check_that_takes_too_long_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = filled(tmp_path / "history.db")
    file.write_bytes(_garbage_page(file.read_bytes()))
    monkeypatch.setattr(opening, "CHECK_S", -1.0)
    monkeypatch.setattr(bounds, "EVERY_STEPS", 1)
    store, notes = open_store(file)
    with store:
        assert notes == []
    assert [f.name for f in tmp_path.iterdir()] == ["history.db"]


# --- Locked, full. ---


def test_locked_by_another_while_opening(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    with database(file) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LockedError, match="is locked by another program; wait until that has ended, or name"):
            open_store(file, wait_s=0.05)
    open_store(file, wait_s=0.05)[0].close()


def test_locked_by_another_while_writing(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path / "history.db", wait_s=0.05)
    with store, database(store.path) as other:
        store.begin(plan(), MACHINE)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LockedError, match="is locked by another program"):
            store.save_iteration(iteration())
        # Reading goes on: a listing is not held up by a writer, nor is opening for one.
        assert [row.run for row in store.runs()] == ["ab12cd34"]
        with open_store(store.path, wait_s=0.05)[0] as reader:
            assert [row.run for row in reader.runs()] == ["ab12cd34"]
        other.execute("ROLLBACK")
        store.save_iteration(iteration())
        assert store.load("ab12cd34").iterations == [iteration()]


def test_how_long_a_call_waits_can_be_told(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path / "history.db", wait_s=30)
    with store, database(store.path) as other:
        store.begin(plan(), MACHINE)
        other.execute("BEGIN EXCLUSIVE")
        store.wait(0)
        began = time.monotonic()
        with pytest.raises(LockedError):
            store.save_iteration(iteration())
        assert time.monotonic() - began < 5


def test_another_is_just_opening_it(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="is being opened by another program; try again"):
            open_store(tmp_path / "history.db", wait_s=0.05)
    finally:
        os.close(folder)


def _fill_up(file: Path) -> int:
    """Save until there is no room; returns how many were saved."""
    store, _ = open_store(file)
    with store:
        store.begin(plan(), MACHINE)
        saved = 0
        with pytest.raises(StoreError, match=r"there is no room for the history .*: the disk is full; what was saved"):
            for number in range(1, 1000):
                store.save_iteration(iteration(number=number, text="x" * 20_000))
                saved = number
        # It can be asked again and again, and what was there is there.
        with pytest.raises(StoreError):
            store.save_iteration(iteration(number=saved + 1, text="x" * 500_000))
        assert len(store.load("ab12cd34").iterations) == saved
    return saved


def test_a_database_that_may_not_grow(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path / "history.db")
    with store:
        store.begin(plan(), MACHINE)
        store._connection.execute("PRAGMA max_page_count = 50")
        with pytest.raises(StoreError, match="the disk is full"):
            store.save_iteration(iteration(text="x" * 500_000))
        store._connection.execute("PRAGMA max_page_count = 5000")
        store.save_iteration(iteration(text="x" * 500_000))
        assert len(store.load("ab12cd34").iterations) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "llmtui-test", folder], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no mount here")
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    saved = _fill_up(small_disk / "history.db")
    assert saved > 10
    store, notes = open_store(small_disk / "history.db")
    with store:
        assert notes == []
        assert [i.iteration for i in store.load("ab12cd34").iterations] == list(range(1, saved + 1))


def test_no_room_to_begin(small_disk: Path) -> None:
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(b"\0" * 4096)
    with pytest.raises(StoreError, match=r"the disk is full|is full, under"):
        open_store(small_disk / "history.db")


def test_no_room_for_the_copy(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = small_disk / "history.db"
    shutil.copy(filled(small_disk.parent / "history.db", 400), file)
    monkeypatch.setattr(schema, "STEPS", [*schema.STEPS, lambda _: None])
    with pytest.raises(StoreError, match="the disk is full"):
        open_store(file)
    assert {f.name for f in small_disk.iterdir()} == {"history.db"}
    monkeypatch.undo()
    store, notes = open_store(file)
    with store:
        assert notes == []
        assert len(store.load("ab12cd34").iterations) == 400
