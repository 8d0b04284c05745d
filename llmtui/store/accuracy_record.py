"""What `llmtui accuracy` found: the record, its table, and the newest one of each machine in a file. No measuring.

The file is `accuracy.json` in `LLMTUI_STATE`, else in the user's state folder. It may be absent, foreign or torn: then
there is no record. Anything may read it; nothing here imports an HTTP client or a screen.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import msgspec
import platformdirs

from llmtui.model import Machine, Struct
from llmtui.model.accuracy import SCHEMA_VERSION, Record
from llmtui.store.atomic import write_private

MAX_MACHINES = 16
MAX_FILE_BYTES = 1_000_000


class _File(Struct, frozen=True):
    schema_version: int
    records: list[msgspec.Raw]


def record_file() -> Path:
    """Where the records lie. Raises OSError for a user without a home."""
    try:
        return Path(os.environ.get("LLMTUI_STATE") or platformdirs.user_state_dir("llmtui")) / "accuracy.json"
    except RuntimeError:
        raise FileNotFoundError(errno.ENOENT, "there is no home folder; set HOME or LLMTUI_STATE") from None


def read_records(file: Path) -> list[Record]:
    """The records of a file, newest first. What cannot be read, or is of another schema, is left out."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
        content = msgspec.json.decode(data, type=_File)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    records = []
    for raw in content.records:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            record = msgspec.json.decode(raw, type=Record)
            if record.schema_version == SCHEMA_VERSION:
                records.append(record)
    return records


def newest(machine: Machine, file: Path | None = None) -> Record | None:
    """The newest record of this machine and this version of everything; None where there is none."""
    same = _identity(machine)
    with contextlib.suppress(OSError):
        return next((r for r in read_records(file or record_file()) if _identity(r.machine) == same), None)
    return None


def keep(record: Record, file: Path | None = None) -> Path:
    """Make `record` the newest of its machine. The file is 0600 and replaced at once. Raises OSError."""
    file = file or record_file()
    others = [r for r in read_records(file) if _identity(r.machine) != _identity(record.machine)]
    raws = [msgspec.Raw(msgspec.json.encode(r)) for r in [record, *others][:MAX_MACHINES]]
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, msgspec.json.encode(_File(schema_version=SCHEMA_VERSION, records=raws)))
    return file


def _identity(machine: Machine) -> tuple[object, ...]:
    # Memory is left out: a guest's may change while it runs, and no figure depends on it.
    return machine.cpu, machine.cores, machine.os, machine.python, machine.llmtui
