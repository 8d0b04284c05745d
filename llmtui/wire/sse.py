"""Server-sent events out of a byte stream (WHATWG HTML, "server-sent events"), as they complete.

Kinder than the standard in three points, all seen on real servers: an event at the end of the stream needs no blank
line after it, `error: {...}` lines (llamafile 0.9 and older) and bare JSON lines come out as events of their own.
"""

from __future__ import annotations

import msgspec

from llmtui.wire.base import MAX_LINE_BYTES, WireError
from llmtui.wire.ndjson import LineSplitter

_BOM = b"\xef\xbb\xbf"


class ServerEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: its `event:` name ("" when it has none) and its data lines joined by LF."""

    name: str
    data: bytes


class EventParser:
    """Incremental, linear in the bytes fed; holds at most one line and one event of `limit` bytes each."""

    __slots__ = ("_data", "_first", "_limit", "_lines", "_name", "_size")

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._lines = LineSplitter(limit)
        self._first = True
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[ServerEvent]:
        """The events that these bytes complete. Raises WireError for a line or an event over the limit."""
        out: list[ServerEvent] = []
        for line in self._lines.feed(data):
            self._take(line, out)
        return out

    def close(self) -> list[ServerEvent]:
        """The stream ended: the event that had no blank line after it, complete or torn."""
        out: list[ServerEvent] = []
        if rest := self._lines.close():
            self._take(rest, out)
        self._dispatch(out)
        return out

    def _take(self, line: bytes, out: list[ServerEvent]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(out)
            return
        if line[0] == 0x7B:  # "{": no field of the standard, but how some servers tell of a failure
            out.append(ServerEvent("", line))
            return
        field, colon, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            self._size += len(value) + 1
            if self._size > self._limit:
                raise WireError(f"an event of the answer is longer than {self._limit} bytes")
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"error" and colon:
            out.append(ServerEvent("error", value))

    def _dispatch(self, out: list[ServerEvent]) -> None:
        data = self._data
        if data:
            out.append(ServerEvent(self._name, data[0] if len(data) == 1 else b"\n".join(data)))
            self._data = []
            self._size = 0
        elif self._name == "error":
            out.append(ServerEvent("error", b""))
        self._name = ""
