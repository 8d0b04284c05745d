"""Incremental parsing of server-sent events (WHATWG HTML, "server-sent events").

More lenient than the standard in three points, all seen on real servers: the last event needs no blank line after it,
and `error: {...}` lines (llamafile 0.9 and older) and bare JSON lines are events of their own.
"""

from __future__ import annotations

import msgspec

from llmtui.wire.base import MAX_LINE_BYTES, WireError
from llmtui.wire.ndjson import LineSplitter

_BOM = b"\xef\xbb\xbf"


class ServerEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: its `event:` name ("" without one) and its data lines joined by LF."""

    name: str
    data: bytes


class EventParser:
    """Linear in the bytes fed. Buffers at most one line and one event of `limit` bytes each."""

    __slots__ = ("_data", "_first", "_limit", "_lines", "_name", "_size")

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._lines = LineSplitter(limit)
        self._first = True
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Return the events completed by `data`. Raises WireError for a line or an event over the limit."""
        events: list[ServerEvent] = []
        for line in self._lines.feed(data):
            self._add_line(line, events)
        return events

    def close(self) -> list[ServerEvent]:
        """Return a last event without a blank line after it, complete or not."""
        events: list[ServerEvent] = []
        if rest := self._lines.close():
            self._add_line(rest, events)
        self._dispatch(events)
        return events

    def _add_line(self, line: bytes, events: list[ServerEvent]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(events)
            return
        if line[0] == 0x7B:  # "{": not in the standard, but how some servers report an error
            events.append(ServerEvent("", line))
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
            events.append(ServerEvent("error", value))

    def _dispatch(self, events: list[ServerEvent]) -> None:
        data = self._data
        if data:
            events.append(ServerEvent(self._name, data[0] if len(data) == 1 else b"\n".join(data)))
            self._data = []
            self._size = 0
        elif self._name == "error":
            events.append(ServerEvent("error", b""))
        self._name = ""
