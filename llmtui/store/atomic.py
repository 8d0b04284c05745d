"""Writing a file whole: at every moment its name leads to the old content or to the new one."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_atomic(path: Path, text: str) -> None:
    """Write `text` as UTF-8 so that `path` is at every moment the old file or the new one. Raises OSError.

    A link is followed, the mode of a file that is replaced is kept, one that may not be written is refused, and a new
    one gets what the umask allows. What is no regular file (a pipe, a device) is written to and never replaced.
    """
    path = Path(os.path.realpath(path))
    data = text.encode("utf-8", "replace")
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG | _new_mode()
    else:
        # Also refuses a folder, and a file that is there but not to be written.
        with path.open("r+b" if stat.S_ISREG(mode) else "wb") as file:
            if not stat.S_ISREG(mode):
                file.write(data)
                return
    with _beside(path, data, mode & 0o777) as name:
        os.replace(name, path)


def write_new(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all, and never over a file that is there.

    Raises OSError, FileExistsError where there is one.
    """
    with _beside(path, text.encode("utf-8", "replace"), _new_mode()) as name:
        try:
            os.link(name, path)
        except FileExistsError:
            raise
        except OSError:
            # A file system without links: the name is taken first, and only then given its text.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            os.replace(name, path)


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all, readable by its owner only (0600). Raises OSError."""
    with _beside(path, data, 0o600) as name:
        os.replace(name, path)


@contextlib.contextmanager
def _beside(path: Path, data: bytes, mode: int) -> Iterator[str]:
    """The name of a file beside `path` that is on disk with all of `data`; it goes where it was not moved away."""
    descriptor, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name[:100]}.", suffix=".tmp")
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        yield name
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def _new_mode() -> int:
    """The mode of a new file, as the umask has it."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
