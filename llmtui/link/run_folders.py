"""The private folders of runs, with their socket and log: where they are, and how one is made and removed.

The name of a run's folder is the run's id, and an id may come from a history that somebody else wrote. So it is checked
here, where a path is made of it, and nothing is removed that llmtui did not make. An engine holds a lock on its log for
as long as it lives, so nothing that is in use is removed either.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from llmtui.config.file import other_writers
from llmtui.exit_codes import CommandError
from llmtui.model import is_run_id
from llmtui.text import sanitize

#: sockaddr_un holds 108 bytes on Linux and 104 elsewhere, the closing zero included.
MAX_SOCKET_PATH_BYTES = 103
#: Each run's folder has it from its first moment on: it tells the folder from one that llmtui did not make.
LOG_NAME = "engine.log"
SOCKET_NAME = "engine.sock"


class EngineError(CommandError):
    """The engine could not be started, or ended before it could be reached. The message is for the terminal."""


def runtime_folder() -> Path:
    """The private folder for sockets and logs of runs: 0700 and ours, made when missing. Raises EngineError."""
    candidates = []
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        candidates.append(Path(runtime) / "llmtui")
    candidates.append(Path(tempfile.gettempdir()) / f"llmtui-{os.getuid()}")
    problem = ""
    for folder in candidates:
        if len(os.fsencode(folder)) + len(f"/12345678/{SOCKET_NAME}") > MAX_SOCKET_PATH_BYTES:
            problem = f"{folder}: the path is too long for a socket"
            continue
        try:
            if reason := _replaceable(folder.parent):
                problem = f"{folder.parent}: {reason}"
                continue
            folder.mkdir(mode=0o700, exist_ok=True)
            info = folder.lstat()
        except OSError as error:
            problem = f"{folder}: {error.strerror or error}"
            continue
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
            problem = f"{folder}: is not a folder of this user"
            continue
        if info.st_mode & 0o077:
            folder.chmod(0o700)
        return folder
    raise EngineError(f"no private folder for the run: {problem}; set XDG_RUNTIME_DIR to a folder of yours")


def _replaceable(parent: Path) -> str:
    """Why another user could put another folder in the place of one in `parent`; "" where that cannot be done."""
    info = parent.stat()
    if info.st_uid not in (0, os.geteuid()):
        return f"belongs to another user (uid {info.st_uid})"
    if other_writers(info) and not info.st_mode & stat.S_ISVTX:
        return "can be written by others"
    return ""


def folder_of(run: str) -> Path:
    """Where the folder of `run` is, or would be. Raises EngineError for an id that cannot be one."""
    if not is_run_id(run):
        raise EngineError(
            f"{sanitize(repr(run), 60)} is not the id of a run (eight hex digits); the history it comes from was not "
            "written by llmtui"
        )
    return runtime_folder() / run


def make(run: str) -> tuple[Path, int]:
    """Make the folder of `run`, with a log in it. Returns the folder, and the log open for writing and locked: the
    process that holds it keeps the folder. Raises EngineError where it cannot be made or is there."""
    folder = folder_of(run)
    try:
        with _opened(alone=True):
            folder.mkdir(mode=0o700)
            log = os.open(folder / LOG_NAME, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileExistsError:
        raise EngineError(f"run {run} is being carried out already; look at it with: llmtui attach {run}") from None
    except OSError as error:
        raise EngineError(f"{folder}: {error.strerror or error}") from None
    return folder, log


def remove(run: str, *, own: bool = False) -> None:
    """Remove the folder of `run` with all that is in it. `own`: this process is its engine.

    Does nothing where it is not there or not llmtui's, or where another engine lives in it.
    """
    if not is_run_id(run):
        return
    with contextlib.suppress(OSError, EngineError), _opened(alone=True) as parent:
        with contextlib.suppress(OSError):
            os.rmdir(run, dir_fd=parent)  # empty: its maker was killed before it had made the log
        if not _is_ours(parent, run):
            return
        log = os.open(f"{run}/{LOG_NAME}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            if not own:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _empty(parent, run)
            # Relative to an open folder and never through a link, so that it cannot be led elsewhere meanwhile.
            shutil.rmtree(run, ignore_errors=True, dir_fd=parent)
        finally:
            os.close(log)


def _empty(parent: int, run: str) -> None:
    """Remove all but the log, which goes last: without it the folder would no longer be known for llmtui's."""
    folder = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    shutil.rmtree(name, ignore_errors=True, dir_fd=folder)
                elif name != LOG_NAME:
                    os.unlink(name, dir_fd=folder)
    finally:
        os.close(folder)


def existing() -> list[tuple[Path, int]]:
    """The folders of runs that are there, each with the time of its last change (ns, UTC)."""
    found = []
    with contextlib.suppress(OSError, EngineError), _opened() as parent:
        root = runtime_folder()
        for name in os.listdir(parent):
            with contextlib.suppress(OSError):
                if _is_ours(parent, name):
                    found.append((root / name, os.stat(name, dir_fd=parent, follow_symlinks=False).st_mtime_ns))
    return found


@contextlib.contextmanager
def _opened(*, alone: bool = False) -> Iterator[int]:
    """The runtime folder. `alone`: no other process makes or removes a run's folder meanwhile."""
    parent = os.open(runtime_folder(), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if alone:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(parent, fcntl.LOCK_EX)
        yield parent
    finally:
        os.close(parent)


def _is_ours(parent: int, name: str) -> bool:
    """Whether `name` in the folder `parent` is a run's folder as `make` makes one. Raises OSError."""
    if not is_run_id(name):
        return False
    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        return False
    log = os.stat(f"{name}/{LOG_NAME}", dir_fd=parent, follow_symlinks=False)
    return stat.S_ISREG(log.st_mode) and log.st_uid == os.getuid()
