"""Atomic writes: at every moment a path has either its old content or its new content."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path


def write_atomic(path: Path, text: str | Iterable[str]) -> None:
    """Replace the content of `path` with `text`, or with its pieces, as UTF-8, atomically. Raises OSError.

    An error of what makes the pieces leaves `path` as it is, unless that is a pipe. Links are followed. A file that is
    replaced keeps its mode, and must be writable; a new file gets the mode that the umask allows. A pipe or a device is
    written to, not replaced.
    """
    pieces = (piece.encode("utf-8", "replace") for piece in ([text] if isinstance(text, str) else text))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG | _new_mode()
    else:
        # Raises OSError for a folder, and for a file that is not writable.
        with path.open("r+b" if stat.S_ISREG(mode) else "wb") as file:
            if not stat.S_ISREG(mode):
                file.writelines(pieces)
                return
    # Not before: the link of a pipe in /dev/fd names no file.
    path = Path(os.path.realpath(path))
    with _beside(path, pieces, mode & 0o777) as name:
        os.replace(name, path)


def write_new(path: Path, text: str | Iterable[str]) -> None:
    """Create `path` with `text`, or with its pieces, atomically.

    Raises OSError; FileExistsError if there is such a file already.
    """
    pieces = (piece.encode("utf-8", "replace") for piece in ([text] if isinstance(text, str) else text))
    with _beside(path, pieces, _new_mode()) as name:
        try:
            os.link(name, path)
        except FileExistsError:
            raise
        except OSError:
            # A file system without hard links: reserve the name, then replace the empty file.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            os.replace(name, path)


def write_private(path: Path, data: bytes) -> None:
    """Replace the content of `path` with `data`, atomically, with mode 0600. Raises OSError."""
    with _beside(path, [data], 0o600) as name:
        os.replace(name, path)


@contextlib.contextmanager
def _beside(path: Path, pieces: Iterable[bytes], mode: int) -> Iterator[str]:
    """Yield the name of a temporary file beside `path` that contains `pieces`, synced to disk. Delete it afterwards."""
    descriptor, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
    try:
        with open(descriptor, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        yield name
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def _new_mode() -> int:
    """The mode that the umask allows for a new file."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
