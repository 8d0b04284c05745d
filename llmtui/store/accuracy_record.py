"""The results of `llmtui accuracy`: a file with the newest record of each machine.

The file is `accuracy.json` in `LLMTUI_STATE`, else in the user's state folder. A file that is missing or damaged counts
as empty.
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
    """Return the path of the file. Raises OSError if the user has no home folder."""
    try:
        return Path(os.environ.get("LLMTUI_STATE") or platformdirs.user_state_dir("llmtui")) / "accuracy.json"
    except RuntimeError:
        raise FileNotFoundError(errno.ENOENT, "there is no home folder; set HOME or LLMTUI_STATE") from None


def read_records(file: Path) -> list[Record]:
    """Return the records in `file`, newest first, without those that are invalid or of another schema."""
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
    """Return the newest record of this machine with the same versions of everything, or None."""
    wanted = _identity(machine)
    with contextlib.suppress(OSError):
        return next((r for r in read_records(file or record_file()) if _identity(r.machine) == wanted), None)
    return None


def store_record(record: Record, file: Path | None = None) -> Path:
    """Store `record` as the newest of its machine, and return the path of the file (mode 0600). Raises OSError."""
    file = file or record_file()
    others = [r for r in read_records(file) if _identity(r.machine) != _identity(record.machine)]
    raws = [msgspec.Raw(msgspec.json.encode(r)) for r in [record, *others][:MAX_MACHINES]]
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, msgspec.json.encode(_File(schema_version=SCHEMA_VERSION, records=raws)))
    return file


def _identity(machine: Machine) -> tuple[object, ...]:
    # Not the memory: that of a virtual machine may change at run time, and no result depends on it.
    return machine.cpu, machine.cores, machine.os, machine.python, machine.llmtui
