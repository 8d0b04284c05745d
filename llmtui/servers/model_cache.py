"""The cache folder of the models: its permissions, locks, and private folders for work in progress.

Another user may have been able to write here before, so links are not followed and other users' files are not used.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import glob
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import platformdirs

from llmtui.config.file import other_writers
from llmtui.servers.base import Report, StartError, missing
from llmtui.text import sanitize

REMEDY = "set LLMTUI_CACHE to a folder of your own"
#: The number of links that Linux follows in a path.
_MAX_LINKS = 40
#: Suffix of the lock that replaces one which other users can open.
_PRIVATE = ".private"


def cache_folder() -> Path:
    """Return the folder of the model files: `$LLMTUI_CACHE/models`, or one in the user's cache folder. Create it.

    The path is absolute. Only this user and root can write there or rename a folder of the path; otherwise this raises
    StartError.
    """
    named = os.environ.get("LLMTUI_CACHE")
    try:
        base = Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("llmtui"))
    except RuntimeError as error:
        raise missing(f"the cache folder {shown(named or '~')} has no home folder: {error}", REMEDY) from error
    if not named and not base.is_absolute():
        raise missing("there is no home folder for the model files", f"set HOME, or {REMEDY}")
    folder = base / "models"
    try:
        folder = folder.absolute()
        _make_parents(folder)
    except OSError as error:
        raise disk_error(error, f"cannot create the cache folder {shown(folder)}") from error
    return own_folder(folder)


def own_folder(folder: Path) -> Path:
    """Create a folder with mode 0700, or set that mode on an existing one of ours. Return it.

    Raises StartError if that fails, or if it is a link, not a folder, or another user's.
    """
    try:
        mode = _made(folder).st_mode
        if not stat.S_ISDIR(mode):
            raise _unsafe(folder, "it is a link" if stat.S_ISLNK(mode) else "it is not a folder")
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            info = os.fstat(descriptor)
            if info.st_uid != os.geteuid():
                raise _unsafe(folder, f"it belongs to another user (uid {info.st_uid})")
            if info.st_mode & 0o077:
                os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise disk_error(error, f"cannot create the cache folder {shown(folder)}") from error
    return folder


def is_ours(info: os.stat_result) -> bool:
    """Whether this result of `lstat` or `fstat` is a regular file of this user."""
    return stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid()


def clear(path: Path) -> None:
    """Remove the file, folder or link at `path`, which is in a folder of ours. Raises OSError."""
    if path.name in ("", ".."):
        raise ValueError(f"{path} is a folder above")
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        shutil.rmtree(path)
    else:
        path.unlink()


@contextlib.asynccontextmanager
async def lock(target: Path, report: Report) -> AsyncIterator[None]:
    """Lock `target` among all processes of this user, until the block or the process ends. Raises StartError."""
    path = target.with_name(f".{target.name}.lock")
    try:
        descriptor = _open_lock(path)
    except OSError as error:
        raise disk_error(error, f"cannot write to {shown(target.parent)}") from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                report("waiting for another process to prepare the model", None)
                await asyncio.sleep(0.2)
            except OSError as error:
                raise disk_error(error, f"cannot lock {shown(path)}") from error
        yield
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    refusal = missing(f"{shown(path)} is not a lock file of llmtui", f"remove it, or {REMEDY}")
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        # A link, a folder or a socket. FreeBSD returns EMLINK for a link.
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO):
            raise refusal from error
        raise
    info = os.fstat(descriptor)
    if not is_ours(info) or info.st_nlink != 1:
        os.close(descriptor)
        raise refusal
    if info.st_mode & 0o077:
        # A lock of 0.1.0, which other users can open and then hold for ever. Leave it and use another.
        os.close(descriptor)
        if path.name.endswith(_PRIVATE):
            raise refusal
        return _open_lock(path.with_name(path.name + _PRIVATE))
    return descriptor


@contextlib.contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """Create a private folder beside `target` and remove it at the end. The caller must hold the lock of `target`.

    Raises StartError for an OSError in the block, such as a full disk.
    """
    prefix = f".work-{target.name}-"
    for abandoned in target.parent.glob(glob.escape(prefix) + "*"):
        with contextlib.suppress(OSError):
            clear(abandoned)
    try:
        with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent, ignore_cleanup_errors=True) as name:
            yield Path(name)
    except OSError as error:
        raise disk_error(error, f"cannot write to {shown(target.parent)}") from error


def disk_error(error: OSError, what: str) -> StartError:
    """Turn an error of the file system into a StartError; `what` says which step failed."""
    if error.errno == errno.ENOSPC:
        return missing(f"{what}: the disk is full", "free some space")
    return missing(f"{what}: {error.strerror or error}", "set LLMTUI_CACHE to a writable folder")


def shown(path: str | Path) -> str:
    """Return a path as text for a terminal."""
    return sanitize(str(path), 1000)


def _make_parents(folder: Path) -> None:
    """Create the folders above `folder` and check the existing ones. Raises StartError and OSError.

    Links are resolved here one by one, because each is in a folder that must be safe too.
    """
    at, names, links = Path(folder.anchor), list(reversed(folder.parts[1:])), 0
    while names:
        _check_step(folder, at)
        name = names.pop()
        if name == "..":
            at = at.parent
            continue
        if not names:
            return
        info = _made(at / name)
        if not stat.S_ISLNK(info.st_mode):
            at = at / name
            continue
        # In a sticky folder such as /tmp, the owner of a link can replace it.
        if info.st_uid not in (0, os.geteuid()):
            raise _unsafe(folder, f"the link {shown(at / name)} belongs to another user (uid {info.st_uid})")
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = Path(os.readlink(at / name))
        names += [part for part in reversed(target.parts) if part != target.anchor]
        at = Path(target.anchor) if target.is_absolute() else at


def _made(folder: Path) -> os.stat_result:
    """Create `folder` if it is missing. Return its status."""
    with contextlib.suppress(FileNotFoundError):
        return folder.lstat()
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    return folder.lstat()


def _check_step(folder: Path, step: Path) -> None:
    """Refuse a folder of the path in which another user could rename the next one."""
    info = step.lstat()
    if not stat.S_ISDIR(info.st_mode):
        raise _unsafe(folder, f"{shown(step)} is not a folder")
    if info.st_uid not in (0, os.geteuid()) and not _unmapped(info.st_uid):
        raise _unsafe(folder, f"{shown(step)} belongs to another user (uid {info.st_uid})")
    # In a sticky folder only the owner of an entry can rename it, and that owner is checked next.
    if (writers := other_writers(info)) and not info.st_mode & stat.S_ISVTX:
        raise _unsafe(folder, f"other users can write to {shown(step)}", f"chmod {writers}-w {shown(step)}, or ")


def _unmapped(uid: int) -> bool:
    """Whether `uid` represents all owners outside this user namespace, to which "/" may belong in a sandbox."""
    try:
        if uid != int(Path("/proc/sys/kernel/overflowuid").read_text("ascii")):
            return False
        ranges = [line.split() for line in Path("/proc/self/uid_map").read_text("ascii").splitlines()]
        return not any(int(first) <= uid < int(first) + int(count) for first, _, count in ranges)
    except (OSError, ValueError):
        return False


def _unsafe(folder: Path, why: str, before: str = "") -> StartError:
    return missing(f"the cache folder {shown(folder)} is not safe: {why}", before + REMEDY)
