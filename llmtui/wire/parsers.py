"""Parsers for the three forms of an answer: events, lines, one document. A dialect's `Read` interprets each of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from llmtui.wire.base import MAX_LINE_BYTES, Delta, WireError
from llmtui.wire.errors import error_text, excerpt, server_error
from llmtui.wire.ndjson import LineSplitter
from llmtui.wire.sse import EventParser, ServerEvent

T = TypeVar("T")

#: The default of an optional field, which stays undecoded until an event has it.
ABSENT = msgspec.Raw(b"null")
_NO_ERROR = (b"null", b'""', b"{}", b"[]", b"false")


class Read(Protocol):
    """Turns one event, line or document into a delta, None if it has nothing new. Raises WireError."""

    def __call__(self, data: bytes, torn: bool = False) -> Delta | None:
        """`torn` is set if the stream ended right after `data`, which may be incomplete."""


def decode(decoder: Callable[[bytes], T], data: bytes, torn: bool) -> T:
    """Decode `data`. Raises WireError with the reason and an excerpt."""
    try:
        return decoder(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        if torn:
            raise WireError(f"the answer ended in the middle of an event: {excerpt(data)}") from error
        raise WireError(f"cannot parse the answer ({error}): {excerpt(data)}") from error


def decode_or_none(raw: msgspec.Raw) -> Any:
    """Decode an optional field; return None if it is absent or invalid."""
    if raw is ABSENT:
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def check_error(raw: msgspec.Raw) -> None:
    """Raises WireError if `raw`, the value of an `error` field, is an error."""
    if raw is not ABSENT and (value := bytes(raw).strip()) not in _NO_ERROR:
        raise server_error(b'{"error":%b}' % value)


def is_page(content_type: str) -> bool:
    """Whether this is a web page, from a proxy or a wrong server, and not an answer."""
    return "html" in content_type.lower()


class EventsParser:
    """Parses server-sent events. `[DONE]` sets `ended`, and proves nothing else. What follows it is ignored."""

    __slots__ = ("_events", "_read", "ended")
    whole = False

    def __init__(self, read: Read) -> None:
        self.ended = False
        self._events = EventParser()
        self._read = read

    def feed(self, data: bytes) -> list[Delta]:
        """Return the deltas of the events completed by `data`."""
        return self._deltas(self._events.feed(data))

    def close(self) -> list[Delta]:
        """Return the delta of a last event without a blank line after it."""
        return self._deltas(self._events.close(), torn=True)

    def _deltas(self, events: list[ServerEvent], torn: bool = False) -> list[Delta]:
        deltas: list[Delta] = []
        if self.ended:
            return deltas
        for event in events:
            if event.name == "error":
                raise server_error(event.data)
            data = event.data
            if data[:6] == b"[DONE]":
                self.ended = True
                break
            if not data or data.isspace():
                continue
            delta = self._read(data, torn)
            if delta is not None:
                deltas.append(delta)
        return deltas


class LinesParser:
    """Parses NDJSON. With `finish_ends` nothing follows the line with the finish reason."""

    __slots__ = ("_finish_ends", "_lines", "_read", "ended")
    whole = False

    def __init__(self, read: Read, finish_ends: bool = False) -> None:
        self.ended = False
        self._finish_ends = finish_ends
        self._lines = LineSplitter()
        self._read = read

    def feed(self, data: bytes) -> list[Delta]:
        """Return the deltas of the lines completed by `data`."""
        return self._deltas(self._lines.feed(data))

    def close(self) -> list[Delta]:
        """Return the delta of a last line without a line end."""
        return self._deltas([self._lines.close()], torn=True)

    def _deltas(self, lines: list[bytes], torn: bool = False) -> list[Delta]:
        read = self._read
        if self.ended:
            return []
        deltas = [d for line in lines if line and not line.isspace() and (d := read(line, torn)) is not None]
        if self._finish_ends and deltas and deltas[-1].finish_reason is not None:
            self.ended = True
        return deltas


class WholeParser:
    """Parses an answer that is one JSON document of at most `limit` bytes. A web page is an error with its title."""

    __slots__ = ("_buffer", "_is_page", "_limit", "_read")
    whole = True

    def __init__(self, read: Read, content_type: str = "", limit: int = MAX_LINE_BYTES) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._is_page = is_page(content_type)
        self._read = read

    @property
    def ended(self) -> bool:
        """Whether the document is complete. This decodes all of it."""
        try:
            json.loads(self._buffer)
        except (ValueError, RecursionError):
            return False
        return True

    def feed(self, data: bytes) -> list[Delta]:
        """Buffer `data` and return nothing. Raises WireError past the limit."""
        if len(self._buffer) + len(data) > self._limit:
            raise WireError(f"the answer is longer than {self._limit} bytes")
        self._buffer += data
        return []

    def close(self) -> list[Delta]:
        """Return the delta of the document."""
        body = bytes(self._buffer)
        self._buffer.clear()
        if self._is_page:
            raise WireError(f"the server sent a web page: {error_text(body) or 'an empty one'}")
        if not body or body.isspace():
            raise WireError("the answer is empty")
        delta = self._read(body, torn=False)
        return [] if delta is None else [delta]
