"""Histories for the tests: a valid one, and ways to modify it from outside llmtui."""

from __future__ import annotations

import contextlib
import io
import random
import signal
import sqlite3
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from llmtui.cli.app import cli
from llmtui.cli.exits import exit_code_of
from llmtui.store.errors import StoreError
from llmtui.store.history import Store
from llmtui.store.open import open_store
from llmtui.text import sanitize
from tests.hostile.serving import LLMTUI, assert_plain, environment
from tests.store import runs, turns

RUN, OTHER = "ab12cd34", "ffff0000"
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
PAGE = 4096


def history(file: Path, *, iterations: int = 3) -> Path:
    """Write a valid history of two runs: `RUN`, which the tests modify, and the older `OTHER`."""
    store, notes = open_store(file)
    assert notes == []
    with store:
        for run, hour in ((OTHER, 14), (RUN, 15)):
            store.begin(runs.plan(run, iterations=iterations, created=f"2026-11-22T{hour}:00:00.000Z"), runs.MACHINE)
            for number in range(1, iterations + 1):
                store.save_iteration(runs.iteration(run, number=number, steal=0.5))
            store.save_state(run, runs.state(), "sha256:12")
            store.finish(run, "done")
    return file


def add_turns(store: Store) -> None:
    """Make `RUN` a load, and add two turns, the first with requests."""
    plan = turns.load_plan(1, 8, run=RUN)
    store._connection.execute("UPDATE runs SET plan = ? WHERE id = ?", (msgspec.json.encode(plan).decode(), RUN))
    store.save_turns(RUN, [turns.turn(), turns.turn(2, backend="b", level=2)], [])
    turns.save_requests(store, turns.requests(random.Random(1), 5, 4))


@contextlib.contextmanager
def spoiled(file: Path) -> Iterator[sqlite3.Connection]:
    """Open `file` for modification without any checks, and leave no journal."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        yield connection
        connection.execute("PRAGMA writable_schema = RESET")


def journal(names: str, pages: int) -> bytes:
    """Return a rollback journal that restores nothing and names the file `names` as its super-journal."""
    head = _JOURNAL_MAGIC + struct.pack(">IIIII", 0, 0, pages, 512, PAGE)
    return head.ljust(512, b"\0") + naming(names)


def naming(names: str) -> bytes:
    """Return the end of a rollback journal that names a super-journal."""
    name = names.encode()
    return struct.pack(">I", 2**30 // PAGE + 1) + name + struct.pack(">II", len(name), sum(name)) + _JOURNAL_MAGIC


def endless(file: Path, table: str, depth: int = 12, width: int = 200) -> None:
    """Change the tree of `table` so that all branches share one leaf: `width` ** `depth` rows in a few pages."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    data = bytearray(file.read_bytes())
    last = len(data) // PAGE
    leaf = data[(root - 1) * PAGE : root * PAGE]
    assert leaf[0] == 13, "the table is one leaf"
    child = last + 1
    pages = [bytes(leaf)]
    for level in range(depth):
        cells = struct.pack(">I", child) + bytes([1])
        body = bytearray(PAGE)
        start = PAGE - len(cells) * width
        body[:12] = struct.pack(">BHHHBI", 5, 0, width, start, 0, child)
        for cell in range(width):
            at = start + cell * len(cells)
            body[at : at + len(cells)] = cells
            body[12 + 2 * cell : 14 + 2 * cell] = struct.pack(">H", at)
        if level == depth - 1:
            data[(root - 1) * PAGE : root * PAGE] = body
        else:
            pages.append(bytes(body))
            child += 1
    data += b"".join(pages)
    data[28:32] = struct.pack(">I", len(data) // PAGE)
    file.write_bytes(data)


# --- Commands that read a history. ---

#: Each command takes less than a second on a busy machine.
TIMEOUT_S = 20


def llmtui(file: Path, *arguments: str, memory_bytes: int = 0) -> subprocess.CompletedProcess[bytes]:
    """Run a command that reads `file`, with a time limit."""
    limit = ["prlimit", f"--as={memory_bytes}"] if memory_bytes else []
    return subprocess.run(
        [*limit, *LLMTUI, *arguments, "--store", str(file)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env=environment(file.parent),
        timeout=TIMEOUT_S,
        check=False,
    )


def llmtui_inside(file: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """The same in this process, without limits: for values that make no command endless."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    code: object = 0
    handler = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name, value in environment(file.parent).items():
            patch.setenv(name, value)
        try:
            cli.main([*arguments, "--store", str(file)], prog_name="llmtui", standalone_mode=False)
        except SystemExit as ended:
            code = ended.code
        except Exception as error:
            code = exit_code_of(error)
        finally:
            signal.signal(signal.SIGINT, handler)
    said = []
    for stream in (out, err):
        stream.flush()
        said.append(stream.buffer.getvalue())
    assert code is None or isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code or 0, *said)


def refused(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the one line of stderr of a command that failed without output."""
    message = assert_plain(done.stderr)
    assert (done.returncode, done.stdout) == (1, b"") and message.count("\n") == 1
    assert message.startswith("llmtui: ")
    return message


def opening_it(file: Path) -> str:
    """Return the error of opening `file`."""
    with pytest.raises(StoreError) as caught:
        open_store(file)
    assert str(caught.value) == sanitize(str(caught.value), 2000)
    return str(caught.value)
