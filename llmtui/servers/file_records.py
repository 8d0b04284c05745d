"""Records of what llmtui verified about a file, stored beside it and valid while the file stays unchanged.

A record holds one claim (a digest, or what the file was made from) and the state of the file at that time: size, times
and inode. Any later write changes the state and makes the record invalid.
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

#: First line and suffix of a record. Caches of 0.1.0 have such files, so both keep their old name.
_FIRST_LINE = "llmtui seal 2"
_SUFFIX = ".seal"
_CLAIM = re.compile(r"sha256:[0-9a-f]{64}|made from \d+ -?\d+ -?\d+ \d+")
_MAX_RECORD_BYTES = 1024 * 1024
_MAX_FILES = 5_000
#: More than the resolution of a file system's clock: two writes within one tick leave the same times.
_TICK_S = 0.02
_BLOCK_BYTES = 1024 * 1024


def record_path(path: Path) -> Path:
    """Return the path of the record of `path`."""
    return path.with_name(f".{path.name}{_SUFFIX}")


def read_claim(record: Path, state: str | None) -> str:
    """Return the claim of a record about a file in this state; "" if the record is missing or invalid."""
    text = _read(record)
    first, claim, rest = [*text.split("\n", 2), "", ""][:3]
    return claim if state and first == _FIRST_LINE and rest == state + "\n" and _CLAIM.fullmatch(claim) else ""


def write_claim(record: Path, claim: str, state: str | None) -> None:
    """Write a record atomically.

    If that fails, nothing is recorded, and the file is verified again at the next start.
    """
    if not state:
        return
    with contextlib.suppress(OSError):
        descriptor, new = tempfile.mkstemp(prefix=f"{record.name}.", suffix=".new", dir=record.parent)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(f"{_FIRST_LINE}\n{claim}\n{state}\n")
                file.flush()
                os.fsync(file.fileno())
            # Replaces a link instead of following it.
            os.replace(new, record)
        except BaseException:
            os.unlink(new)
            raise


def keep_newest(folder: Path, pattern: str, count: int) -> None:
    """Delete all but the newest `count` records whose names fit `pattern`."""
    with contextlib.suppress(OSError):
        records = sorted(folder.glob(pattern), key=lambda record: record.lstat().st_mtime_ns)
        for record in records[:-count]:
            record.unlink(missing_ok=True)


def state_of_own(path: Path) -> str | None:
    """Return the state of a file or folder in the cache; None if it is missing, a link, or not entirely ours."""
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
    """Return the state of the user's model file, following links. Raises NotGguf if it is not a file, and OSError."""
    descriptor = open_regular(path)
    try:
        return _settled_state(descriptor)
    finally:
        os.close(descriptor)


async def read_digest(path: Path) -> tuple[str, str]:
    """Return the state of a file and the SHA-256 of its content, in hexadecimal.

    The state is "" if the file changed while it was read. Raises NotGguf if it is not a file, and OSError.
    """
    stop = threading.Event()
    try:
        return await asyncio.to_thread(_read_digest, path, stop)
    finally:
        # A thread cannot be cancelled, and the interpreter joins it at exit.
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
    """Wait until a further write would change the times of the file. Return whether that took any time."""
    age_s = time.time() - info.st_ctime_ns / 1e9
    if not -1 < age_s < _TICK_S:
        return False
    time.sleep(_TICK_S)
    return True


def _read(path: Path) -> str:
    """Return the text of a record; "" if it is missing or not written by llmtui."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            info = os.fstat(descriptor)
            if not is_ours(info) or info.st_nlink != 1 or info.st_size > _MAX_RECORD_BYTES:
                return ""
            return file.read(_MAX_RECORD_BYTES).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def _raise(error: OSError) -> None:
    raise error
