"""A history that is damaged or locked, or whose disk is full: clear messages, and no lost data."""

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

# --- Damage. ---


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
def test_a_damaged_file_is_renamed_and_replaced(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = filled(tmp_path / "history.db")
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    file.with_name("history.db-wal").write_bytes(b"a log")
    store, notes = open_store(file)
    with store:
        assert store.runs() == []
        store.begin(plan(), MACHINE)
    (aside,) = [f for f in tmp_path.glob("history.db.damaged-*") if "-wal" not in f.name and "-shm" not in f.name]
    assert notes == [f"the history {file} was damaged: it was renamed to {aside.name}, and a new one was created"]
    assert aside.read_bytes() == damaged
    assert mode(file) == 0o600
    store, notes = open_store(file)
    with store:
        assert notes == []
        assert len(store.runs()) == 1


def test_damage_after_opening_is_reported(tmp_path: Path) -> None:
    store, _ = open_store(filled(tmp_path / "history.db"))
    with store:
        # Overwrite the open file, as a failing disk would. Drop SQLite's page cache first.
        store._connection.execute("PRAGMA shrink_memory")
        with store.path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (store.path.stat().st_size - 4096))
        with pytest.raises(StoreError, match="is damaged; llmtui will rename it and start a new one"):
            store.load("ab12cd34")


def test_a_slow_check_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = filled(tmp_path / "history.db")
    file.write_bytes(_garbage_page(file.read_bytes()))
    monkeypatch.setattr(opening, "CHECK_S", -1.0)
    monkeypatch.setattr(bounds, "EVERY_STEPS", 1)
    store, notes = open_store(file)
    with store:
        assert notes == []
    assert [f.name for f in tmp_path.iterdir()] == ["history.db"]


# --- Locks and full disks. ---


def test_a_lock_while_opening_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    with database(file) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LockedError, match="is locked by another program; try again when that has ended, or use"):
            open_store(file, wait_s=0.05)
    open_store(file, wait_s=0.05)[0].close()


def test_a_lock_while_writing_is_reported(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path / "history.db", wait_s=0.05)
    with store, database(store.path) as other:
        store.begin(plan(), MACHINE)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LockedError, match="is locked by another program"):
            store.save_iteration(iteration())
        # Reading and opening do not wait for the writer.
        assert [row.run for row in store.runs()] == ["ab12cd34"]
        with open_store(store.path, wait_s=0.05)[0] as reader:
            assert [row.run for row in reader.runs()] == ["ab12cd34"]
        other.execute("ROLLBACK")
        store.save_iteration(iteration())
        assert store.load("ab12cd34").iterations == [iteration()]


def test_the_lock_timeout_can_be_changed(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path / "history.db", wait_s=30)
    with store, database(store.path) as other:
        store.begin(plan(), MACHINE)
        other.execute("BEGIN EXCLUSIVE")
        store.wait(0)
        began = time.monotonic()
        with pytest.raises(LockedError):
            store.save_iteration(iteration())
        assert time.monotonic() - began < 15


def test_concurrent_opening_is_reported(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match=r"another program is opening the history .*; try again"):
            open_store(tmp_path / "history.db", wait_s=0.05)
    finally:
        os.close(folder)


def _fill_up(file: Path) -> int:
    """Save until the disk is full. Returns the number of saved iterations."""
    store, _ = open_store(file)
    with store:
        store.begin(plan(), MACHINE)
        saved = 0
        with pytest.raises(
            StoreError, match=r"cannot write to the history .*: the disk is full; earlier results are safe"
        ):
            for number in range(1, 1000):
                store.save_iteration(iteration(number=number, text="x" * 20_000))
                saved = number
        # Trying again fails again, and the saved iterations can still be read.
        with pytest.raises(StoreError):
            store.save_iteration(iteration(number=saved + 1, text="x" * 500_000))
        assert len(store.load("ab12cd34").iterations) == saved
    return saved


def test_writing_works_again_once_there_is_space(tmp_path: Path) -> None:
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
    """A tmpfs of 1 MB."""
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


def test_a_full_disk_keeps_what_was_saved(small_disk: Path) -> None:
    saved = _fill_up(small_disk / "history.db")
    assert saved > 10
    store, notes = open_store(small_disk / "history.db")
    with store:
        assert notes == []
        assert [i.iteration for i in store.load("ab12cd34").iterations] == list(range(1, saved + 1))


def test_a_full_disk_while_creating(small_disk: Path) -> None:
    with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(b"\0" * 4096)
    with pytest.raises(StoreError, match=r"the disk is full|is full, under"):
        open_store(small_disk / "history.db")


def test_a_full_disk_while_copying_for_an_upgrade(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
