"""The three forms in which an answer comes: events, lines, one piece. What an event means is the dialect's (`Read`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from llmtui.wire.base import MAX_LINE_BYTES, Delta, WireError
from llmtui.wire.errors import error_text, excerpt, server_error
from llmtui.wire.ndjson import LineSplitter
from llmtui.wire.sse import EventParser, ServerEvent

T = TypeVar("T")

#: Stands for a field that is not there: extras stay undecoded until the one event that has them.
ABSENT = msgspec.Raw(b"null")
_NO_ERROR = (b"null", b'""', b"{}", b"[]", b"false")


class Read(Protocol):
    """Turns one event, line or document into a delta; None when it told nothing new. Raises WireError."""

    def __call__(self, data: bytes, torn: bool = False) -> Delta | None:
        """`torn`: the stream ended right after `data`, so that it may be half an event."""


def decode(decoder: Callable[[bytes], T], data: bytes, torn: bool) -> T:
    """`data` decoded. Raises WireError with the reason and the beginning of what was there."""
    try:
        return decoder(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        if torn:
            raise WireError(f"the answer ended in the middle of an event: {excerpt(data)}") from error
        raise WireError(f"the answer cannot be read ({error}): {excerpt(data)}") from error


def decode_or_none(raw: msgspec.Raw) -> Any:
    """An extra, decoded; None where it is absent or rubbish."""
    if raw is ABSENT:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def check_error(raw: msgspec.Raw) -> None:
    """Raises WireError when `raw`, the value of an `error` field, tells of one."""
    if raw is not ABSENT and (said := bytes(raw).strip()) not in _NO_ERROR:
        raise server_error(b'{"error":%b}' % said)


def is_page(content_type: str) -> bool:
    """Whether this is a web page: a proxy's or a wrong server's, never an answer."""
    return "html" in content_type.lower()


class EventsParser:
    """Reads server-sent events. `[DONE]` proves nothing and is passed over."""

    __slots__ = ("_events", "_read")

    def __init__(self, read: Read) -> None:
        self._events = EventParser()
        self._read = read

    def feed(self, data: bytes) -> list[Delta]:
        """Deltas of the events that these bytes complete."""
        return self._deltas(self._events.feed(data))

    def close(self) -> list[Delta]:
        """Delta of the last event, where no blank line followed it."""
        return self._deltas(self._events.close(), torn=True)

    def _deltas(self, events: list[ServerEvent], torn: bool = False) -> list[Delta]:
        out = []
        for event in events:
            if event.name == "error":
                raise server_error(event.data)
            data = event.data
            if data[:6] == b"[DONE]" or not data or data.isspace():
                continue
            delta = self._read(data, torn)
            if delta is not None:
                out.append(delta)
        return out


class LinesParser:
    """Reads NDJSON."""

    __slots__ = ("_lines", "_read")

    def __init__(self, read: Read) -> None:
        self._lines = LineSplitter()
        self._read = read

    def feed(self, data: bytes) -> list[Delta]:
        """Deltas of the lines that these bytes complete."""
        return self._deltas(self._lines.feed(data))

    def close(self) -> list[Delta]:
        """Delta of the last line, where no line end followed it."""
        return self._deltas([self._lines.close()], torn=True)

    def _deltas(self, lines: list[bytes], torn: bool = False) -> list[Delta]:
        read = self._read
        return [d for line in lines if line and not line.isspace() and (d := read(line, torn)) is not None]


class WholeParser:
    """Reads an answer that is one JSON document of at most `limit` bytes. A web page is an error with its title."""

    __slots__ = ("_held", "_limit", "_page", "_read")

    def __init__(self, read: Read, content_type: str = "", limit: int = MAX_LINE_BYTES) -> None:
        self._held = bytearray()
        self._limit = limit
        self._page = is_page(content_type)
        self._read = read

    def feed(self, data: bytes) -> list[Delta]:
        """Nothing yet. Raises WireError past the limit."""
        if len(self._held) + len(data) > self._limit:
            raise WireError(f"the answer is longer than {self._limit} bytes")
        self._held += data
        return []

    def close(self) -> list[Delta]:
        """The answer."""
        body = bytes(self._held)
        self._held.clear()
        if self._page:
            raise WireError(f"the server answered with a web page: {error_text(body) or 'an empty one'}")
        if not body or body.isspace():
            raise WireError("the answer is empty")
        delta = self._read(body, torn=False)
        return [] if delta is None else [delta]
