"""Checks of a history's files before SQLite opens them: their type and their owner.

SQLite opens up to three files beside the history. One of them, the rollback journal, may name a fourth.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from llmtui.store.errors import StoreError

#: Suffixes of SQLite's own files beside a database.
_BESIDE = ("-journal", "-wal", "-shm")
#: The end of a rollback journal that names a super-journal, the record of a commit to several databases.
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_MAX_LINKS = 40


def check(file: Path) -> None:
    """Raise StoreError unless the history and SQLite's files beside it are regular files of this user, or missing.

    Opens nothing but the user's own journal. Raises OSError too.
    """
    real = _resolved(file)
    _check_file(real)
    for end in _BESIDE:
        _check_file(real.with_name(real.name + end), beside=True)
    _check_journal(real.with_name(f"{real.name}-journal"))


def _resolved(file: Path) -> Path:
    """Resolve links. SQLite puts its own files beside the target. Raises StoreError for a link of another user."""
    path = file
    for _ in range(_MAX_LINKS):
        try:
            info = path.lstat()
        except FileNotFoundError:
            break
        if not stat.S_ISLNK(info.st_mode):
            break
        if info.st_uid not in (os.geteuid(), 0):
            raise StoreError(f"{path} is a link that another user made; name the file itself with --store")
        path = path.parent / os.readlink(path)
    return Path(os.path.realpath(path))


def _check_file(path: Path, *, beside: bool = False) -> None:
    try:
        info = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(info.st_mode):
        remedy = "move it away, or use another file with --store" if beside else "use another file with --store"
        raise StoreError(f"{path} is not a regular file; {remedy}")
    if info.st_uid != os.geteuid():
        raise StoreError(
            f"{path} belongs to another user, so it was not opened; copy the history, and use the copy with --store"
        )
    if beside and info.st_nlink > 1:
        # SQLite truncates these files, and the other hard link may be a document.
        raise StoreError(f"{path} has a second hard link; move it away, or use another file with --store")


def _check_journal(path: Path) -> None:
    """Raise StoreError for a journal that names a super-journal: SQLite would open that file, and delete it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(descriptor).st_size
        end = os.pread(descriptor, len(_JOURNAL_MAGIC), max(0, size - len(_JOURNAL_MAGIC)))
    finally:
        os.close(descriptor)
    if end == _JOURNAL_MAGIC:
        raise StoreError(
            f"the journal {path} names another file, which SQLite would delete; llmtui writes no such journal, so the "
            "history was not opened. Delete the journal if the history is yours, or use another file with --store"
        )
