"""What lies at the name of a history, looked at before SQLite opens it: whose it is, and what would come along.

SQLite opens up to three files beside the history itself. One of them, the rollback journal, may name a fourth.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from llmtui.store.errors import StoreError

#: What SQLite keeps beside a database.
_BESIDE = ("-journal", "-wal", "-shm")
#: How a rollback journal ends that names a super-journal, the record of a commit to several databases.
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_MAX_LINKS = 40


def check(file: Path) -> None:
    """Refuse a history that is not a regular file of this user, or that has something beside it which is not.

    Nothing is opened but a journal of the user's. Raises StoreError, and OSError.
    """
    real = _followed(file)
    _check_file(real)
    for end in _BESIDE:
        _check_file(real.with_name(real.name + end), beside=True)
    _check_journal(real.with_name(f"{real.name}-journal"))


def _followed(file: Path) -> Path:
    """The file that `file` is, links followed. SQLite puts its own files beside that one."""
    place = file
    for _ in range(_MAX_LINKS):
        try:
            found = place.lstat()
        except FileNotFoundError:
            break
        if not stat.S_ISLNK(found.st_mode):
            break
        if found.st_uid not in (os.geteuid(), 0):
            raise StoreError(f"{place} is a link that another user made; name the file itself with --store")
        place = place.parent / os.readlink(place)
    return Path(os.path.realpath(place))


def _check_file(path: Path, *, beside: bool = False) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        remedy = "move it away, or name another file with --store" if beside else "name another with --store"
        raise StoreError(f"{path} is not a regular file; {remedy}")
    if found.st_uid != os.geteuid():
        raise StoreError(
            f"{path} belongs to another user, so it was not opened; copy the history, and name the copy with --store"
        )
    if beside and found.st_nlink > 1:
        # SQLite empties these files: the other name may be that of a document.
        raise StoreError(f"{path} has a second name elsewhere; move it away, or name another file with --store")


def _check_journal(path: Path) -> None:
    """Refuse a journal that names a super-journal: SQLite would open the file of that name, and delete it."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(opened).st_size
        end = os.pread(opened, len(_JOURNAL_MAGIC), max(0, size - len(_JOURNAL_MAGIC)))
    finally:
        os.close(opened)
    if end == _JOURNAL_MAGIC:
        raise StoreError(
            f"the journal {path} names another file, which SQLite would delete; llmtui writes no such journal, so the "
            "history was not opened. Remove the journal if the history is yours, or name another file with --store"
        )
