"""Keeps what was measured in a file, and not in memory, until the engine has it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections import deque
from typing import NamedTuple

from llmtui.cluster.messages import Kept

#: At most this much is sent at a time.
MOST_BYTES = 4 * 1024 * 1024


class _Entry(NamedTuple):
    seq: int
    number: int
    offset: int
    length: int
    #: A frame that is kept in memory, and not in the file.
    frame: bytes = b""


class Spool:
    """Frames in the order in which they came, each with its number from 1 on. The file has no name: nothing of it is
    left when the process ends, whatever ends it. Used by one thread at a time."""

    def __init__(self, folder: str | None = None) -> None:
        """Raises OSError, whose text names the folder, if there can be no file in it."""
        self._folder = folder or tempfile.gettempdir()
        try:
            # Unbuffered: what a full disk refused would be written again, and refused again, before each read.
            self._file = tempfile.TemporaryFile(dir=folder, prefix="llmtui-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise OSError(self._refused(error)) from None
        self._entries: deque[_Entry] = deque()
        self._end = 0
        self._seq = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, number: int, frame: bytes) -> None:
        """Keep a frame of the slice with this number. Raises OSError, whose text names the folder, if the disk is full:
        the frame is not kept, and those before it are."""
        left, offset = memoryview(frame), self._end
        try:
            while left:
                written = os.pwrite(self._file.fileno(), left, offset)
                left, offset = left[written:], offset + written
        except OSError as error:
            raise OSError(self._refused(error)) from None
        self._entries.append(_Entry(self._next(), number, self._end, len(frame)))
        self._end = offset

    def add_in_memory(self, number: int, frame: bytes) -> None:
        """Keep a frame without the file: a short one that says why the file cannot be written."""
        self._entries.append(_Entry(self._next(), number, 0, len(frame), frame))

    def acknowledge(self, seq: int) -> None:
        """Forget the frames up to this one."""
        while self._entries and self._entries[0].seq <= seq:
            self._entries.popleft()
        if not self._entries and self._end:
            self._file.truncate(0)
            self._end = 0

    def read(self, most_bytes: int = MOST_BYTES) -> list[Kept]:
        """Return the oldest frames: one at least, if there is any, and more up to `most_bytes`."""
        frames: list[Kept] = []
        for seq, number, offset, length, frame in self._entries:
            most_bytes -= length
            if frames and most_bytes < 0:
                break
            frames.append(Kept(seq, number, frame or os.pread(self._file.fileno(), length, offset)))
        return frames

    def close(self) -> None:
        """Remove the file."""
        self._entries.clear()
        self._file.close()

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _refused(self, error: OSError) -> str:
        """Return why what was measured cannot be kept, in words."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk is full there: {self._folder} takes no more of what was measured"
        return f"what was measured cannot be kept in {self._folder} there: {error.strerror or error}"
