"""The fuzz target of histories: edited cells, patched pages, or an added journal or log, as described by any bytes."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from llmtui.cli.history_list import run_line
from llmtui.export.csv import iterations_csv, turns_csv
from llmtui.runview.run import RunView
from llmtui.store.errors import StoreError
from llmtui.store.open import open_store
from tests.hostile.histories import OTHER, RUN, add_turns, history, journal, naming

FOLDER = Path("/dev/shm")
DOCUMENT = "thesis.txt"
#: The first byte is the kind of the input.
CELLS, PAGES, JOURNAL, LOG = 0, 1, 2, 3
#: Added to `JOURNAL`: it ends with the name of the user's document.
NAMING = 4
#: The second byte of an edit is the kind of the new value.
NOTHING, WHOLE, REAL, TEXT, BYTES, SPLICE = range(6)


#: The rows that an edit changes: those of `RUN`.
_WHERE = {
    "runs": "id",
    "backends": "run",
    "iterations": "iteration = 1 AND run",
    "turns": "run",
    "requests": "turn IN (SELECT seq FROM turns WHERE turn = 1) AND (SELECT run FROM turns WHERE turn = 1)",
}


@functools.cache
def image() -> bytes:
    """Return the file of a valid history."""
    with tempfile.TemporaryDirectory() as folder:
        file = history(Path(folder) / "history.db", iterations=2)
        with open_store(file)[0] as store:
            add_turns(store)
        return file.read_bytes()


@functools.cache
def columns() -> list[tuple[str, str]]:
    """Return every column of every table."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(_rollback(image()))
        tables = ("runs", "backends", "iterations", "turns", "requests")
        return [(t, row[1]) for t in tables for row in connection.execute(f"PRAGMA table_info({t})")]


def _rollback(data: bytes) -> bytes:
    """Return `data` with a rollback journal in place of WAL, which can be opened in memory."""
    return data[:18] + b"\x01\x01" + data[20:]


def edit(table: str, column: str, kind: int, data: bytes) -> bytes:
    """Encode one edit for `made`."""
    return bytes([columns().index((table, column)), kind, len(data)]) + data


def _edited(data: bytes) -> bytes:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.deserialize(_rollback(image()))
        connection.execute("PRAGMA ignore_check_constraints = ON")
        while len(data) >= 3:
            (which, kind, length), rest = data[:3], data[3:]
            value, data = rest[:length], rest[length:]
            table, column = columns()[which % len(columns())]
            run = _WHERE[table]
            new, put = _value(kind % 6, value)
            if kind % 6 == SPLICE:
                at = min(value[0], 200) if value else 0
                put = f"CAST(substr({column}, 1, {at}) || ? || substr({column}, {at + len(value)}) AS TEXT)"
            with contextlib.suppress(sqlite3.IntegrityError):
                connection.execute(f"UPDATE {table} SET {column} = {put} WHERE {run} = ?", (new, RUN))
        return connection.serialize()


def _value(kind: int, value: bytes) -> tuple[object, str]:
    if kind == NOTHING:
        return None, "?"
    if kind == WHOLE:
        return int.from_bytes(value[:8], "big", signed=True), "?"
    if kind == REAL:
        return struct.unpack(">d", value[:8].rjust(8, b"\0"))[0], "?"
    if kind == TEXT:
        return value, "CAST(? AS TEXT)"
    return (value[1:] if kind == SPLICE else value), "?"


def _patched(data: bytes) -> bytes:
    patched = bytearray(_rollback(image()))
    while len(data) >= 4:
        at = int.from_bytes(data[:3], "big") % len(patched)
        patch, data = data[4 : 4 + data[3]], data[4 + data[3] :]
        patched[at : at + len(patch)] = patch
    return bytes(patched)


def made(folder: Path, data: bytes) -> Path:
    """Create the history that `data` describes in `folder`."""
    file = folder / "history.db"
    kind = data[0] % 4 if data else CELLS
    file.write_bytes(_edited(data[1:]) if kind == CELLS else _patched(data[1:]) if kind == PAGES else image())
    if kind == JOURNAL:
        end = naming(str(folder / DOCUMENT)) if data[0] & NAMING else b""
        (folder / "history.db-journal").write_bytes(data[1:] + end)
    elif kind == LOG:
        (folder / "history.db-wal").write_bytes(data[1:])
    return file


def seeds() -> list[bytes]:
    """Return one input of each kind, and one of each kind of cell."""
    pages = len(image()) // 4096
    log = struct.pack(">8I", 0x377F0682, 3007000, 4096, 0, 1, 2, 0, 0)
    return [
        bytes([CELLS]) + edit("runs", "label", TEXT, b"\x1b]52;c;eA==\x07\xff"),
        bytes([CELLS]) + edit("runs", "engine_pid", TEXT, b"../../x") + edit("runs", "state", TEXT, b"running"),
        bytes([CELLS]) + edit("turns", "record", SPLICE, b'\x10"level":9,'),
        bytes([CELLS]) + edit("turns", "buckets", TEXT, b'{"latency":[1900,1]}'),
        bytes([CELLS]) + edit("requests", "packed", BYTES, b"x\x9c\x03\x00\x00\x00\x00\x01"),
        bytes([CELLS]) + edit("requests", "count", WHOLE, b"\x7f" * 8),
        bytes([CELLS]) + edit("iterations", "latency_s", REAL, struct.pack(">d", float("inf"))),
        bytes([CELLS]) + edit("iterations", "arrival_tokens", BYTES, bytes.fromhex("0280c2d72f")),
        bytes([CELLS]) + edit("runs", "plan", SPLICE, b"\x28[[[["),
        bytes([CELLS]) + edit("backends", "state", SPLICE, b'\x0a","attempt":-1,"'),
        bytes([CELLS]) + edit("iterations", "iteration", WHOLE, b"\x7f" * 8) + edit("runs", "note", NOTHING, b""),
        bytes([PAGES]) + b"\x00\x00\x10\x04\xff\xff\xff\xff" + b"\x00\x10\x00\x08\x05\x00\x00\x00\x03\x00\x00\x00",
        # Damages the list of tables, so that SQLite reports a name that is not UTF-8.
        bytes.fromhex("0100001000ffff00103008 0525c22fae80000000 0300fd00"),
        # Damages it so that SQLite reports that it is out of memory.
        b"m" * 5 + bytes(73) + b"\xff" * 9 + b"\x00\xff",
        bytes([JOURNAL]) + journal(DOCUMENT, pages)[:512],
        bytes([JOURNAL + NAMING]) + journal(DOCUMENT, pages)[:512],
        bytes([LOG]) + log + bytes(64),
    ]


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    # In memory if possible, to spare the disk.
    with tempfile.TemporaryDirectory(prefix="llmtui-fuzz-", dir=FOLDER if FOLDER.is_dir() else None) as name:
        yield Path(name)


def run(data: bytes) -> None:
    """List, find and load the runs of a history as `history`, `show`, `export` and `compare` do."""
    with _folder() as folder:
        document = folder / DOCUMENT
        document.write_bytes(b"years of work")
        with contextlib.suppress(StoreError):
            _read(made(folder, data))
        assert document.read_bytes() == b"years of work"


def _read(file: Path) -> None:
    try:
        store, notes = open_store(file)
    except StoreError as error:
        _is_a_line(str(error))
        raise
    for note in notes:
        _is_a_line(note)
    with store:
        try:
            store.mark_dead()
            for row in store.runs():
                _is_a_line(run_line(row))
        except StoreError as error:
            _is_a_line(str(error))
        for name in (RUN, OTHER, ""):
            try:
                stored = store.load(store.find(name))
            except StoreError as error:
                _is_a_line(str(error))
                continue
            run_view = RunView(stored.plan, keep=0)
            run_view.apply(stored.hello())
            run_view.requests = store.requests
            try:
                lines = (iterations_csv(run_view) + turns_csv(run_view)).splitlines()
            except StoreError as error:
                lines = [str(error)]
            for line in lines:
                assert line.isprintable(), repr(line)


def _is_a_line(text: str) -> None:
    assert text and text.isprintable() and len(text) <= 2_000, repr(text)
