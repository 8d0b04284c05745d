"""The private folders of runs, with their socket and log.

A run's folder is named after the run's id, which may come from a history that another user wrote. So the id is
validated here, before a path is made of it, and only folders that llmtui created are removed. An engine locks its log
until it exits, so that a folder in use is not removed either.
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
from llmtui.model import is_run_id
from llmtui.model.errors import CommandError
from llmtui.text import sanitize

#: sockaddr_un holds 108 bytes on Linux and 104 elsewhere, the closing zero included.
MAX_SOCKET_PATH_BYTES = 103
#: Created together with the folder; a folder without it was not created by llmtui.
LOG_NAME = "engine.log"
SOCKET_NAME = "engine.sock"


class EngineError(CommandError):
    """The engine could not be started, or exited before a client could connect. The message is for the terminal."""


def runtime_folder() -> Path:
    """Return the folder for sockets and logs of runs, mode 0700, created if missing. Raises EngineError."""
    candidates = []
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        candidates.append(Path(runtime) / "llmtui")
    problem = ""
    try:
        candidates.append(Path(tempfile.gettempdir()) / f"llmtui-{os.getuid()}")
    except FileNotFoundError:
        problem = "no folder for temporary files is writable"
    for folder in candidates:
        if len(os.fsencode(folder)) + len(f"/12345678/{SOCKET_NAME}") > MAX_SOCKET_PATH_BYTES:
            problem = f"{folder}: the path is too long for a socket"
            continue
        try:
            if reason := _untrusted(folder.parent):
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


def scratch_folder(prefix: str) -> tempfile.TemporaryDirectory[str]:
    """Return a new temporary folder: where /tmp is read-only, in that of the runs. Raises EngineError."""
    try:
        return tempfile.TemporaryDirectory(prefix=prefix)
    except FileNotFoundError:
        return tempfile.TemporaryDirectory(prefix=prefix, dir=runtime_folder())


def _untrusted(parent: Path) -> str:
    """Return why another user could replace a folder in `parent`, "" if none can."""
    info = parent.stat()
    if info.st_uid not in (0, os.geteuid()):
        return f"belongs to another user (uid {info.st_uid})"
    if other_writers(info) and not info.st_mode & stat.S_ISVTX:
        return "can be written by others"
    return ""


def folder_of(run: str) -> Path:
    """Return the path of the folder of `run`. Raises EngineError if `run` is not a valid id."""
    if not is_run_id(run):
        raise EngineError(
            f"{sanitize(repr(run), 60)} is not the id of a run (eight hex digits): llmtui did not write this history"
        )
    return runtime_folder() / run


def make(run: str) -> tuple[Path, int]:
    """Create the folder of `run` with its log. Return the folder and a descriptor of the log, open for writing.

    The log is locked: as long as a process has it open, the folder is not removed. Raises EngineError if the folder
    exists or cannot be created.
    """
    folder = folder_of(run)
    try:
        with _runtime_fd(exclusive=True):
            folder.mkdir(mode=0o700)
            log = os.open(folder / LOG_NAME, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileExistsError:
        raise EngineError(f"run {run} is already running; attach to it with: llmtui attach {run}") from None
    except OSError as error:
        raise EngineError(f"{folder}: {error.strerror or error}") from None
    return folder, log


def remove(run: str, *, own: bool = False) -> None:
    """Remove the folder of `run`. `own`: this process is its engine.

    Does nothing if the folder does not exist, was not created by llmtui, or is in use by another engine.
    """
    if not is_run_id(run):
        return
    with contextlib.suppress(OSError, EngineError), _runtime_fd(exclusive=True) as parent:
        with contextlib.suppress(OSError):
            os.rmdir(run, dir_fd=parent)  # empty: the process was killed before it created the log
        if not _is_ours(parent, run):
            return
        log = os.open(f"{run}/{LOG_NAME}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            if not own:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _empty(parent, run)
            # Relative to an open folder and without following links, so that no other folder can be put in its place.
            shutil.rmtree(run, ignore_errors=True, dir_fd=parent)
        finally:
            os.close(log)


def _empty(parent: int, run: str) -> None:
    """Remove everything but the log, which goes last: a folder without it does not count as llmtui's."""
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
    """Return the folders of runs, each with the time of its last change (ns, UTC)."""
    folders = []
    with contextlib.suppress(OSError, EngineError), _runtime_fd() as parent:
        root = runtime_folder()
        for name in os.listdir(parent):
            with contextlib.suppress(OSError):
                if _is_ours(parent, name):
                    folders.append((root / name, os.stat(name, dir_fd=parent, follow_symlinks=False).st_mtime_ns))
    return folders


@contextlib.contextmanager
def _runtime_fd(*, exclusive: bool = False) -> Iterator[int]:
    """Open the runtime folder. `exclusive`: no other process creates or removes a run's folder meanwhile."""
    parent = os.open(runtime_folder(), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if exclusive:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(parent, fcntl.LOCK_EX)
        yield parent
    finally:
        os.close(parent)


def _is_ours(parent: int, name: str) -> bool:
    """Whether `name` in the folder `parent` is one that `make` created. Raises OSError."""
    if not is_run_id(name):
        return False
    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        return False
    log = os.stat(f"{name}/{LOG_NAME}", dir_fd=parent, follow_symlinks=False)
    return stat.S_ISREG(log.st_mode) and log.st_uid == os.getuid()
