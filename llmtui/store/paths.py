"""Where the history lies, who may read it, and how a damaged one is set aside. Knows files, not what is in them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import platformdirs

from llmtui.store import file_safety as guard
from llmtui.store.errors import LockedError, StoreError, os_words

FILE_NAME = "history.db"
ENVIRONMENT = "LLMTUI_STORE"
_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})
_MAGIC = b"SQLite format 3\0"
_RETRY_S = 0.01


def locate(path: str | os.PathLike[str] | None = None) -> Path:
    """The history's file: `path`, else what `LLMTUI_STORE` names, else `history.db` in the user's data folder.

    A folder that exists stands for the `history.db` in it. Raises StoreError where there is no home folder.
    """
    named = os.fspath(path) if path is not None else os.environ.get(ENVIRONMENT, "")
    if not named:
        folder = _data_folder()
        if folder is None:
            raise StoreError("there is no home folder to keep the history in; set HOME, or name a file with --store")
        return folder / FILE_NAME
    found = Path(os.path.abspath(os.path.expanduser(named)))
    return found / FILE_NAME if found.is_dir() else found


def _data_folder() -> Path | None:
    """The user's data folder for llmtui; None for a user without a home."""
    try:
        folder = Path(platformdirs.user_data_dir("llmtui", appauthor=False))
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def make(file: Path) -> None:
    """See to it that `file` is there, 0600, in a folder that is 0700 if made by us, and that SQLite may open it.

    Raises StoreError, also where it is not a file of this user (llmtui.store.file_safety).
    """
    try:
        for folder in reversed([f for f in (file.parent, *file.parent.parents) if not f.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)
        try:
            # Never opened again here: closing it would drop the locks that this process may hold on it.
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            guard.check(file)
        else:
            guard.check(file)
        if file.parent == _data_folder():
            tighten(file.parent)
    except OSError as error:
        raise os_words(error, file) from error


def tighten(path: Path) -> None:
    """Take from others what they may do with what is ours."""
    found = path.stat()
    if found.st_uid == os.geteuid() and found.st_mode & 0o077:
        path.chmod(stat.S_IMODE(found.st_mode) & 0o700)


@contextlib.contextmanager
def alone(file: Path, wait_s: float) -> Iterator[None]:
    """Nobody else opens a history in this folder meanwhile. Raises LockedError after `wait_s`.

    Without this, one process could set a damaged file aside while another has just begun the new one. The lock is the
    folder's own (flock), so no file of it is left behind.
    """
    try:
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise os_words(error, file) from error
    try:
        _flock(folder, file, wait_s)
        yield
    finally:
        os.close(folder)


def _flock(folder: int, file: Path, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise LockedError(f"the history {file} is being opened by another program; try again") from None
            time.sleep(_RETRY_S)
        except OSError:
            # Some network file systems know no flock; SQLite's own locks still hold.
            return


def may_be_set_aside(file: Path) -> bool:
    """Whether a file that cannot be read as a database may have been one. A config of the user's must stay."""
    if file.suffix in _SUFFIXES:
        return True
    try:
        with file.open("rb") as opened:
            return opened.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def set_aside(file: Path) -> Path:
    """Rename a damaged history, with what belongs to it. Returns its new name. Raises StoreError."""
    aside = beside(file, "damaged")
    try:
        # The database first: a log without a database is dropped by SQLite, one of another would be played into it.
        file.rename(aside)
        for end in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                file.with_name(file.name + end).rename(aside.with_name(aside.name + end))
    except OSError as error:
        raise os_words(error, file) from error
    return aside


def beside(file: Path, what: str) -> Path:
    """A name beside `file` that is free: `history.db.WHAT-YYYYmmddTHHMMSS`, counted on where that is taken."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    name = f"{file.name}.{what}-{stamp}"
    number = 1
    while (found := file.with_name(name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return found
