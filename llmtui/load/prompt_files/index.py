"""Where the records of a file are: an index of offsets that is small, and built only as far as it is needed.

It has one number for each chunk of the file, how many records begin before it, so that a file of 1 GB has an index of
128 kB. A record is found by its chunk, which is then searched. A whole index can be given to another process: packed it
is about a tenth of that.
"""

from __future__ import annotations

import os
import zlib
from array import array
from bisect import bisect_right
from itertools import accumulate, pairwise

#: The length of a chunk, and how many are read while the index is built before it is asked whether that is enough.
CHUNK_BYTES = 64 * 1024
_READ_CHUNKS = 16


class Index:
    """The records of the open file `fd`. Each begins at one of the `marks` from `start` on, or right after it.

    `after`: a mark ends the record before it, as a newline does, so that the first record begins at `start`.
    """

    def __init__(self, fd: int, size: int, mark: bytes, start: int = 0, *, after: bool = True) -> None:
        self._fd = fd
        self._size = size
        self._mark = mark
        self._start = start
        self._after = after
        #: The marks before each chunk; the last entry is their number before the part that was not read yet.
        self._before = array("Q", [0])
        self._first = 1 if after and start < size else 0
        #: Whether the file ends with a mark, so that nothing follows the last one.
        self._ends_with_mark = after and size > start and os.pread(fd, len(mark), size - len(mark)) == mark

    @property
    def complete(self) -> bool:
        """Whether the whole file was read."""
        return self._start + (len(self._before) - 1) * CHUNK_BYTES >= self._size

    @property
    def known(self) -> int:
        """How many records were found so far."""
        return self._first + self._before[-1] - (self._ends_with_mark and self.complete)

    def count(self) -> int:
        """Return the number of records. Reads the rest of the file."""
        while not self.complete:
            self._read_on()
        return self.known

    def packed(self) -> bytes:
        """Return the index for another process, b"" unless the whole file was read."""
        if not self.complete:
            return b""
        return zlib.compress(array("I", (after - before for before, after in pairwise(self._before))).tobytes(), 1)

    def unpack(self, packed: bytes) -> None:
        """Take over the index of the same file from another process. One that cannot be right is left out."""
        marks = array("I")
        length = -(-(self._size - self._start) // CHUNK_BYTES) * marks.itemsize
        try:
            data = zlib.decompressobj().decompress(packed, length + 1)
        except zlib.error:
            return
        if len(data) != length:
            return
        marks.frombytes(data)
        self._before = array("Q", accumulate(marks, initial=0))

    def record(self, number: int, most_bytes: int) -> tuple[bytes, bool] | None:
        """Return a record, the first of which has number 0, and whether it was cut off at `most_bytes`.

        None if the file has fewer. Raises OSError.
        """
        offset = self.offset(number)
        if offset is None:
            return None
        data = bytearray()
        while len(data) <= most_bytes:
            more = os.pread(self._fd, CHUNK_BYTES, offset + len(data))
            searched = max(0, len(data) - len(self._mark))
            data += more
            if (end := data.find(self._mark, searched)) >= 0:
                return bytes(data[:end]), end > most_bytes
            if not more:
                return bytes(data), len(data) > most_bytes
        return bytes(data[:most_bytes]), True

    def offset(self, number: int) -> int | None:
        """Return where a record begins, None if the file has fewer. For marks that begin a record: behind its mark."""
        while number >= self.known and not self.complete:
            self._read_on()
        if number >= self.known:
            return None
        if self._after and number == 0:
            return self._start
        place = number - self._first
        chunk = bisect_right(self._before, place) - 1
        data = self._window(chunk, 1)
        at = -1
        for _ in range(place - self._before[chunk] + 1):
            at = data.find(self._mark, at + 1)
            if at < 0:
                return None  # the file was cut short meanwhile
        return self._start + chunk * CHUNK_BYTES + at + len(self._mark)

    def _read_on(self) -> None:
        """Count the marks of the next chunks. One at a time is read: it stays in the processor's cache."""
        for _ in range(_READ_CHUNKS):
            data = self._window(len(self._before) - 1, 1)
            if not data:
                self._size = self._start  # it was cut short meanwhile
            if self.complete:
                return
            self._before.append(self._before[-1] + self._marks_in(data))

    def _marks_in(self, data: bytes) -> int:
        if len(self._mark) > 1:
            return data.count(self._mark)
        # Three times as fast as count(), which looks at each byte: this uses memchr().
        return len(data) - len(data.replace(self._mark, b""))

    def _window(self, chunk: int, chunks: int) -> bytes:
        """Return chunks, and so much of the next one that a mark across the edge is found."""
        overlap = len(self._mark) - 1
        return os.pread(self._fd, chunks * CHUNK_BYTES + overlap, self._start + chunk * CHUNK_BYTES)
