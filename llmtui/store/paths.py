"""The path of the history: choosing it, creating it with private permissions, locking its folder, renaming it."""

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

from llmtui.store import file_safety
from llmtui.store.errors import LockedError, StoreError, file_error

FILE_NAME = "history.db"
ENVIRONMENT = "LLMTUI_STORE"
_SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})
_MAGIC = b"SQLite format 3\0"
_RETRY_S = 0.01


def locate(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the path of the history: `path`, else `LLMTUI_STORE`, else `history.db` in the user's data folder.

    An existing folder means the `history.db` in it. Raises StoreError if the user has no home folder.
    """
    named = os.fspath(path) if path is not None else os.environ.get(ENVIRONMENT, "")
    if not named:
        folder = _data_folder()
        if folder is None:
            raise StoreError("there is no home folder for the history; set HOME, or name a file with --store")
        return folder / FILE_NAME
    file = Path(os.path.abspath(os.path.expanduser(named)))
    return file / FILE_NAME if file.is_dir() else file


def _data_folder() -> Path | None:
    """The user's data folder for llmtui, or None for a user without a home."""
    try:
        folder = Path(platformdirs.user_data_dir("llmtui", appauthor=False))
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def make(file: Path) -> None:
    """Create `file` (mode 0600) and its folders (0700) if they are missing, and check it with llmtui.store.file_safety.

    Raises StoreError.
    """
    try:
        for folder in reversed([f for f in (file.parent, *file.parent.parents) if not f.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)
        try:
            # An existing file is not opened: closing it would drop the locks that this process may have on it.
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            file_safety.check(file)
        else:
            file_safety.check(file)
        if file.parent == _data_folder():
            tighten(file.parent)
    except OSError as error:
        raise file_error(error, file) from error


def tighten(path: Path) -> None:
    """Remove the permissions of other users from a file or folder of this user."""
    info = path.stat()
    if info.st_uid == os.geteuid() and info.st_mode & 0o077:
        path.chmod(stat.S_IMODE(info.st_mode) & 0o700)


@contextlib.contextmanager
def alone(file: Path, wait_s: float) -> Iterator[None]:
    """Lock the folder of `file` (flock), so that one process at a time opens a history in it.

    Otherwise one process could rename a damaged file just after another has replaced it. Raises LockedError after
    `wait_s`.
    """
    try:
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise file_error(error, file) from error
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
                raise LockedError(f"another program is opening the history {file}; try again") from None
            time.sleep(_RETRY_S)
        except OSError:
            # Some network file systems do not support flock. SQLite's own locks still work.
            return


def may_be_set_aside(file: Path) -> bool:
    """Whether a file that is not a readable database may have been one, and not, say, the user's config."""
    if file.suffix in _SUFFIXES:
        return True
    try:
        with file.open("rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def set_aside(file: Path) -> Path:
    """Rename a damaged history and SQLite's files beside it. Returns the new path. Raises StoreError."""
    aside = beside(file, "damaged")
    try:
        # The database first: SQLite deletes a log without a database, but would replay it into another one.
        file.rename(aside)
        for end in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                file.with_name(file.name + end).rename(aside.with_name(aside.name + end))
    except OSError as error:
        raise file_error(error, file) from error
    return aside


def beside(file: Path, what: str) -> Path:
    """Return an unused path beside `file`: `history.db.WHAT-YYYYmmddTHHMMSS`, with a number if that is taken."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    name = f"{file.name}.{what}-{stamp}"
    number = 1
    while (path := file.with_name(name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path
