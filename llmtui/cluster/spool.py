"""Keeps what was measured in a file, and not in memory, until the engine has it."""

from __future__ import annotations

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


class Spool:
    """Frames in the order in which they came, each with its number from 1 on. The file has no name: nothing of it is
    left when the process ends, whatever ends it. Used by one thread at a time."""

    def __init__(self, folder: str | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, prefix="llmtui-")  # noqa: SIM115
        self._entries: deque[_Entry] = deque()
        self._end = 0
        self._seq = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, number: int, frame: bytes) -> None:
        """Keep a frame of the slice with this number. Raises OSError if the disk is full."""
        self._file.seek(self._end)
        self._file.write(frame)
        self._file.flush()
        self._seq += 1
        self._entries.append(_Entry(self._seq, number, self._end, len(frame)))
        self._end += len(frame)

    def acknowledge(self, seq: int) -> None:
        """Forget the frames up to this one."""
        while self._entries and self._entries[0].seq <= seq:
            self._entries.popleft()
        if not self._entries and self._end:
            self._file.seek(0)
            self._file.truncate()
            self._end = 0

    def read(self, most_bytes: int = MOST_BYTES) -> list[Kept]:
        """Return the oldest frames: one at least, if there is any, and more up to `most_bytes`."""
        frames: list[Kept] = []
        for seq, number, offset, length in self._entries:
            most_bytes -= length
            if frames and most_bytes < 0:
                break
            self._file.seek(offset)
            frames.append(Kept(seq, number, self._file.read(length)))
        return frames

    def close(self) -> None:
        """Remove the file."""
        self._entries.clear()
        self._file.close()
