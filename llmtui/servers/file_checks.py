"""Seals: what llmtui once found out about a file, kept beside it for as long as the file stays as it was.

A seal holds one claim (a digest, or what a file was made from) and the state of the file when the claim was true:
size, times and inode. A file that was touched since has another state, so its seal says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import stat
import tempfile
import threading
import time
from pathlib import Path

from llmtui.servers.gguf import open_regular
from llmtui.servers.model_cache import is_ours

_FIRST_LINE = "llmtui seal 2"
_CLAIM = re.compile(r"sha256:[0-9a-f]{64}|made from \d+ -?\d+ -?\d+ \d+")
_MAX_SEAL_BYTES = 1024 * 1024
_MAX_FILES = 5_000
#: Longer than the clock of a file system stands still. A change within one tick leaves the times as they were.
_TICK_S = 0.02
_BLOCK_BYTES = 1024 * 1024


def seal_file(path: Path) -> Path:
    """Where the seal of `path` is."""
    return path.with_name(f".{path.name}.seal")


def claim(seal: Path, state: str | None) -> str:
    """What a seal says about a file in this state, "" when it says nothing."""
    text = _read(seal)
    first, said, rest = [*text.split("\n", 2), "", ""][:3]
    return said if state and first == _FIRST_LINE and rest == state + "\n" and _CLAIM.fullmatch(said) else ""


def put(seal: Path, said: str, state: str | None) -> None:
    """Write a seal, whole or not at all.

    A cache that cannot be written to gets no seal, and its file is checked again at the next start.
    """
    if not state:
        return
    with contextlib.suppress(OSError):
        descriptor, new = tempfile.mkstemp(prefix=f"{seal.name}.", suffix=".new", dir=seal.parent)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(f"{_FIRST_LINE}\n{said}\n{state}\n")
                file.flush()
                os.fsync(file.fileno())
            # What stands there is replaced and not written to, whatever it leads to.
            os.replace(new, seal)
        except BaseException:
            os.unlink(new)
            raise


def state_of_own(path: Path) -> str | None:
    """The state of a file or folder in the cache, None when it is missing, a link, or not ours throughout."""
    try:
        info = _settled(path)
        if not stat.S_ISDIR(info.st_mode):
            return _state(info) if is_ours(info) else None
        if info.st_uid != os.geteuid():
            return None
        lines: list[str] = []
        for place, folders, names in os.walk(path, onerror=_raise):
            folders.sort()
            for name in sorted(folders + names):
                info = _settled(file := Path(place, name))
                if stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid():
                    continue
                if not is_ours(info) or len(lines) == _MAX_FILES:
                    return None
                lines.append(f"{_state(info)} {os.path.relpath(file, path)!a}")
    except OSError:
        return None
    return "\n".join(lines) or None


def state_of(path: Path) -> str:
    """The state of a model file of the user's; links are followed. Raises NotGguf for other files, and OSError."""
    descriptor = open_regular(path)
    try:
        return _settled_state(descriptor)
    finally:
        os.close(descriptor)


async def read_digest(path: Path) -> tuple[str, str]:
    """The state of a file, and the SHA-256 in hexadecimals of what was read in that state.

    The state is "" when the file changed while it was read. Raises NotGguf for what is not a file, and OSError.
    """
    stop = threading.Event()
    try:
        return await asyncio.to_thread(_read_digest, path, stop)
    finally:
        # A thread cannot be cancelled, and at its end the program waits for it.
        stop.set()


def _read_digest(path: Path, stop: threading.Event) -> tuple[str, str]:
    digest = hashlib.sha256()
    with open(open_regular(path), "rb", buffering=0) as file:
        before = _settled_state(file.fileno())
        left = os.fstat(file.fileno()).st_size
        while left > 0 and not stop.is_set() and (block := file.read(min(left, _BLOCK_BYTES))):
            digest.update(block)
            left -= len(block)
        after = _state(os.fstat(file.fileno()))
    return before if before == after and not left else "", digest.hexdigest()


def _state(info: os.stat_result) -> str:
    return f"{info.st_size} {info.st_mtime_ns} {info.st_ctime_ns} {info.st_ino}"


def _settled(path: Path) -> os.stat_result:
    info = path.lstat()
    return path.lstat() if stat.S_ISREG(info.st_mode) and _wait(info) else info


def _settled_state(descriptor: int) -> str:
    _wait(os.fstat(descriptor))
    return _state(os.fstat(descriptor))


def _wait(info: os.stat_result) -> bool:
    """Wait until a change would show in the times of the file. Whether there was a wait."""
    age_s = time.time() - info.st_ctime_ns / 1e9
    if not -1 < age_s < _TICK_S:
        return False
    time.sleep(_TICK_S)
    return True


def _read(path: Path) -> str:
    """The text of a seal, "" when it is missing or cannot be one of ours."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            info = os.fstat(descriptor)
            if not is_ours(info) or info.st_nlink != 1 or info.st_size > _MAX_SEAL_BYTES:
                return ""
            return file.read(_MAX_SEAL_BYTES).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _raise(error: OSError) -> None:
    raise error
