"""Lines out of a byte stream, as they complete. NDJSON is nothing more; SSE builds its events from them."""

from __future__ import annotations

from llmtui.wire.base import MAX_LINE_BYTES, WireError


class LineSplitter:
    """Splits at LF, CRLF and CR, in time linear in the bytes fed however they are cut; holds at most `limit` bytes.

    Bytes, not characters: a cut inside a UTF-8 sequence does no harm.
    """

    __slots__ = ("_after_cr", "_held", "_limit")

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._held = bytearray()
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete, without their ends. Raises WireError for a line over the limit."""
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == 0x0A:
                data = data[1:]
        if not data:
            return []
        lines = data.splitlines()
        last = data[-1]
        held = self._held
        if last == 0x0A or last == 0x0D:
            self._after_cr = last == 0x0D
            tail = b""
        else:
            tail = lines.pop()
        if len(data) > self._limit:
            for line in lines:
                self._check(len(line))
        if lines and held:
            self._check(len(held) + len(lines[0]))
            held += lines[0]
            lines[0] = bytes(held)
            held.clear()
        if tail:
            self._check(len(held) + len(tail))
            held += tail
        return lines

    def close(self) -> bytes:
        """The last line, where the stream ended without a line end; b"" otherwise."""
        rest = bytes(self._held)
        self._held.clear()
        return rest

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise WireError(f"a line of the answer is longer than {self._limit} bytes")
