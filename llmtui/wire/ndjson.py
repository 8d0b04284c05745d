"""Incremental line splitting, for NDJSON and server-sent events."""

from __future__ import annotations

from llmtui.wire.base import MAX_LINE_BYTES, WireError


class LineSplitter:
    """Splits bytes at LF, CRLF and CR, in time linear in the bytes fed. Buffers at most `limit` bytes.

    A UTF-8 sequence may be split between two calls.
    """

    __slots__ = ("_after_cr", "_limit", "partial")

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        #: The beginning of the next line.
        self.partial = bytearray()
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines completed by `data`, without line ends. Raises WireError for a line over the limit."""
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == 0x0A:
                data = data[1:]
        if not data:
            return []
        lines = data.splitlines()
        last = data[-1]
        buffer = self.partial
        if last == 0x0A or last == 0x0D:
            self._after_cr = last == 0x0D
            tail = b""
        else:
            tail = lines.pop()
        if len(data) > self._limit:
            for line in lines:
                self._check(len(line))
        if lines and buffer:
            self._check(len(buffer) + len(lines[0]))
            buffer += lines[0]
            lines[0] = bytes(buffer)
            buffer.clear()
        if tail:
            self._check(len(buffer) + len(tail))
            buffer += tail
        return lines

    def close(self) -> bytes:
        """Return the beginning of the next line, b"" if there is none, and clear it."""
        rest = bytes(self.partial)
        self.partial.clear()
        return rest

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise WireError(f"a line of the answer is longer than {self._limit} bytes")
