"""One parser for the three forms of an answer: events, lines of JSON, one JSON document.

The bytes decide which it is, whatever the Content-Type.
"""

from __future__ import annotations

from llmtui.wire.base import CHECK_PROTOCOL, MAX_LINE_BYTES, Delta, WireError
from llmtui.wire.errors import excerpt, server_error
from llmtui.wire.lenient import MalformedError, SeveralError, TruncatedError, split_values
from llmtui.wire.ndjson import LineSplitter
from llmtui.wire.objects import SPACE, ObjectParser, Reader, is_done, page_error

_BOM = b"\xef\xbb\xbf"
#: The last bytes of an object, of `[DONE]`, and what old vLLM servers write behind an object.
_CLOSERS = (0x7D, 0x5D, 0x00)
#: Lines that may end a document printed over many lines.
_LAST_LINES = (b"}", b"]")
#: How often to try in vain whether something is a whole JSON object already.
_TRIES = 32
#: Only this much of a web page is searched for its title.
_PAGE_BYTES = 65_536


class AnswerParser(ObjectParser):
    """Parses one answer of any form, line by line. Buffers at most a line and an event of `MAX_LINE_BYTES` each.

    Server-sent events are read more leniently than the standard says: a `data:` line that is a whole JSON object is an
    event of its own, with or without a blank line after it; bare JSON lines and `error: {...}` lines are events too.
    """

    __slots__ = ("_bare", "_content_type", "_document", "_head", "_lines", "_page", "_started", "_tries")

    def __init__(self, read: Reader, content_type: str = "") -> None:
        super().__init__(read)
        self._content_type = content_type
        self._lines = LineSplitter()
        #: The first bytes while they are white space or part of a byte order mark.
        self._head = b""
        self._started = False
        #: The lines of a document, or of a web page, that is printed over many lines.
        self._document: list[bytes] | None = None
        self._page = False
        self._tries = _TRIES
        #: The number of JSON objects that were not in an event.
        self._bare = 0

    @property
    def whole(self) -> bool:
        """Whether the answer is one JSON document."""
        return self._read.whole or (self._values == 1 and self._bare == 1)

    @property
    def ended(self) -> bool:
        """Whether the server said that nothing follows, or the only document is complete."""
        return self._ended or (self._read.finished and self.whole)

    def feed(self, data: bytes) -> list[Delta]:
        """Return the deltas of the events, lines or documents completed by `data`."""
        deltas: list[Delta] = []
        if not self._started:
            data = self._begun(data)
        for line in self._lines.feed(data):
            if self._ended:
                break
            if line:
                if line[:7] == b"data: {" and not self._data and self._document is None:
                    if rest := self._event(line[6:], deltas, False):
                        self._line(rest, deltas)
                else:
                    self._line(line, deltas)
            elif self._data or self._name:
                self._dispatch(deltas)
        partial = self._lines.partial
        if partial and partial[-1] in _CLOSERS:
            self._early(bytes(partial), deltas)
        return deltas

    def close(self) -> list[Delta]:
        """Return the delta of a last event without a line end. Raises WireError if the answer has nothing to read."""
        deltas: list[Delta] = []
        line = self._head + self._lines.close()
        if not self._ended:
            if line:
                self._line(line, deltas, torn=True)
            if self._document is not None and not self._page:
                self._close_document(deltas, torn=True)
            self._dispatch(deltas, torn=True)
        if self._read.answered:
            return deltas
        if self._page or (self._doubt is None and not self._values and "html" in self._content_type.lower()):
            raise page_error(b"\n".join(self._document or []))
        if self._doubt is not None:
            raise self._doubt
        return deltas

    def _begun(self, data: bytes) -> bytes:
        """Return `data` without white space and byte order marks at its beginning."""
        data = (self._head + data).lstrip(SPACE)
        while data.startswith(_BOM):
            data = data[3:].lstrip(SPACE)
        if len(data) < 3 and _BOM.startswith(data):
            self._head = data
            return b""
        self._head = b""
        self._started = True
        return data

    def _line(self, line: bytes, deltas: list[Delta], torn: bool = False) -> None:
        """Parse a line that is not empty."""
        rest = b""
        if self._document is not None and self._in_document(line, deltas):
            return
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            if value[:1] == b"{" and not self._data:
                rest = self._event(value, deltas, torn)
            else:
                rest = self._odd_event(value, deltas, torn)
        elif line[:1] in (b"{", b"[", b"\x1e") or (self._bare and line.lstrip(SPACE)[:1] == b"{"):
            rest = self._bare_line(line.strip(SPACE), deltas, torn)
        else:
            self._field(line)
        if rest:
            self._line(rest, deltas)

    def _field(self, line: bytes) -> None:
        """Parse a line that has no data."""
        field, colon, value = line.partition(b":")
        if line[:1] == b"<":
            self._document = [line[:_PAGE_BYTES]]
            self._page = True
            self._size = 0
        elif field == b"event":
            self._name = value.strip().decode("utf-8", "replace").lower()
        elif field == b"error" and colon:
            raise server_error(value)
        elif field and field not in (b"id", b"retry", b"data") and (word := line.strip(SPACE)):
            if is_done(word):
                self._ended = True
            elif not self._values:
                self._doubt = _unread(word, self._doubt)

    def _bare_line(self, line: bytes, deltas: list[Delta], torn: bool) -> bytes:
        """Read a line of JSON, or the first line of a document that is printed over many. Return what is no JSON
        behind it."""
        if line[:1] != b"{" and is_done(line):
            self._ended = True
            return b""
        before, rest = self._values, b""
        try:
            self._object(line, deltas, torn)
        except TruncatedError:
            if torn:
                raise
            self._document = [line]
            self._size = len(line)
        except SeveralError as error:
            rest = self._objects(line, error, deltas)
        self._bare += self._values - before
        return rest

    def _in_document(self, line: bytes, deltas: list[Delta]) -> bool:
        """Add a line to the document or page. Return False if it does not belong there."""
        assert self._document is not None
        self._size += len(line) + 1
        if self._page:
            if self._size < _PAGE_BYTES:
                self._document.append(line)
            return True
        if line.startswith(b"data:"):
            self._close_document(deltas)
            return False
        if self._size > MAX_LINE_BYTES:
            raise WireError(f"the answer is longer than {MAX_LINE_BYTES} bytes")
        self._document.append(line)
        if line in _LAST_LINES and self._tries:
            try:
                self._close_document(deltas)
            except MalformedError:
                self._tries -= 1
        return True

    def _close_document(self, deltas: list[Delta], torn: bool = False) -> None:
        """Read the document that was printed over many lines."""
        assert self._document is not None
        text = b"\n".join(self._document)
        before, rest = self._values, b""
        try:
            self._object(text, deltas, torn)
        except SeveralError as error:
            rest = self._objects(text, error, deltas)
        self._bare += self._values - before
        self._document = None
        self._size = 0
        if rest:
            self._line(rest, deltas)

    def _early(self, line: bytes, deltas: list[Delta]) -> None:
        """Read a line whose end has not arrived yet, if it is a whole JSON object: some servers send the end later."""
        if self._data or not self._tries or self._ended:
            return
        if self._document is not None:
            if line.strip(SPACE) in _LAST_LINES and not self._page:
                self._in_document(self._lines.close().strip(SPACE), deltas)
            return
        value = line.removeprefix(b"data:").strip(SPACE)
        if not is_done(value):
            values, rest = split_values(value) if value[:1] == b"{" and line[:1] in (b"d", b"{") else ([], b"")
            if not values or rest:
                self._tries -= 1
                return
        self._lines.close()
        self._line(line, deltas)


def _unread(line: bytes, doubt: WireError | None) -> WireError:
    """Return the error for a line that has no meaning, where nothing else was read before it."""
    if doubt is None:
        return WireError(f"the answer has neither events nor JSON objects: {excerpt(line)}", hint=CHECK_PROTOCOL)
    if doubt.message.endswith("'data:'"):
        message = f"{doubt.message} on its line, but {excerpt(line)} on the next"
        return WireError(message, hint="check the server, and any proxy in between")
    return doubt
