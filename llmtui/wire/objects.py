"""Reads the JSON objects of an answer, and the data of its events."""

from __future__ import annotations

from typing import Protocol

from llmtui.wire.base import CHECK_PROTOCOL, MAX_LINE_BYTES, Delta, WireError
from llmtui.wire.errors import DoubtfulError, error_text, excerpt, server_error
from llmtui.wire.lenient import SeveralError, TruncatedError, elements, json_string, split_values

#: White space, and what separates JSON objects in RFC 7464 and in old vLLM servers.
SPACE = b" \t\r\n\x0b\x0c\x00\x1e"
_DONE_WORDS = (b"DONE", b"[DONE]")


class Reader(Protocol):
    """Interprets the JSON objects of one answer.

    `ended` is set once an object says that nothing follows, `finished` once one says that the answer is complete,
    `answered` once there is an answer as far as the protocol can tell, `whole` if the answer came in one object that no
    stream would have.
    """

    @property
    def answered(self) -> bool: ...

    @property
    def ended(self) -> bool: ...

    @property
    def finished(self) -> bool: ...

    @property
    def whole(self) -> bool: ...

    def __call__(self, data: bytes, torn: bool = False, named: bool = False) -> Delta | tuple[Delta, ...] | None:
        """Return what one JSON object adds to the answer, None if it has nothing new. Raises WireError.

        `torn` is set if the answer ended right after `data`, `named` if the event has a name: clients ignore those
        that they do not understand.
        """


def is_done(word: bytes) -> bool:
    """Whether this is `[DONE]` in one of the forms that servers write."""
    return word[:6] == b"[DONE]" or word.strip(b"\"' \t").upper() in _DONE_WORDS


def is_json(data: bytes) -> bool:
    """Whether `data` begins as a JSON object or list does."""
    return data.lstrip(SPACE)[:1] in (b"{", b"[")


def page_error(page: bytes) -> WireError:
    """Return the error for a web page in place of an answer."""
    return WireError(f"the server sent a web page: {error_text(page) or 'an empty one'}", hint=CHECK_PROTOCOL)


class ObjectParser:
    """Parses JSON objects, alone, in lists or one behind another, and events whose data are such objects."""

    __slots__ = ("_data", "_doubt", "_ended", "_name", "_read", "_size", "_values")

    def __init__(self, read: Reader) -> None:
        self._read = read
        #: Whether the server said that nothing follows: `[DONE]`, Ollama's `"done": true`. It does not prove success.
        self._ended = False
        #: The name of the current event, and its data lines so far with their size.
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0
        #: The error if nothing of the answer follows.
        self._doubt: WireError | None = None
        #: The number of JSON objects so far.
        self._values = 0

    def _object(self, value: bytes, deltas: list[Delta], torn: bool = False) -> None:
        """Read one JSON object."""
        self._values += 1
        try:
            delta = self._read(value, torn, bool(self._name))
        except DoubtfulError as doubt:
            self._doubt = doubt
            return
        except (SeveralError, TruncatedError):
            self._values -= 1
            raise
        if delta is not None:
            if isinstance(delta, Delta):
                deltas.append(delta)
            else:
                deltas += delta
            self._doubt = None
            if self._read.ended:
                self._ended = True

    def _objects(self, data: bytes, error: WireError, deltas: list[Delta]) -> bytes:
        """Read JSON objects that follow each other without a line end, or that are in a list. Return the rest."""
        values, rest = split_values(data)
        if not values:
            raise error
        for value in values:
            if not self._ended and is_done(value):
                self._ended = True
            if self._ended:
                return b""
            try:
                self._object(value, deltas)
            except SeveralError:
                for item in elements(value):
                    if item[:1] == b"{":
                        self._object(item, deltas)
        return rest

    def _event(self, value: bytes, deltas: list[Delta], torn: bool) -> bytes:
        """Read the data of an event that begins as JSON does, or hold it until it is complete. Return what is no
        JSON behind it."""
        name = self._name
        try:
            if name and "error" in name:
                raise _named_error(value)
            before = len(deltas)
            self._object(value, deltas, torn)
        except TruncatedError:
            if torn:
                raise
            self._hold(value)
            return b""
        except SeveralError as error:
            return self._objects(value, error, deltas)
        if name == "done" and len(deltas) == before:
            self._ended = True
        return b""

    def _hold(self, value: bytes) -> None:
        self._size += len(value) + 1
        if self._size > MAX_LINE_BYTES:
            raise WireError(f"an event of the answer is longer than {MAX_LINE_BYTES} bytes")
        self._data.append(value)

    def _odd_event(self, value: bytes, deltas: list[Delta], torn: bool) -> bytes:
        """Add a data line that does not begin with an object, or that follows an incomplete one."""
        word = value.strip(SPACE)
        if self._data:
            if is_json(self._data[0]) or (value[:1] != b"{" and not is_done(word)):
                self._hold(value)
                return b""
            self._dispatch(deltas)
        if word.startswith(b"data:"):  # some servers write it twice
            word = word[5:].lstrip(SPACE)
        if is_done(word):
            self._ended = True
        elif word[:1] in (b"{", b"["):
            return self._event(word, deltas, torn)
        elif word:
            self._hold(value)
        elif not self._values and self._doubt is None:
            self._doubt = WireError("no event of the answer can be read: nothing follows its 'data:'")
        return b""

    def _dispatch(self, deltas: list[Delta], torn: bool = False) -> None:
        """End an event: read the data that was not complete by its line."""
        if self._data:
            joined = b"\n".join(self._data)
            self._data = []
            self._size = 0
            if not is_json(joined):
                self._text(joined.strip(SPACE), deltas)
            else:
                self._event(joined.lstrip(SPACE), deltas, torn)
                if self._data:
                    raise TruncatedError(f"cannot parse the answer (an event ended too early): {excerpt(joined)}")
        elif self._name == "error":
            raise self._doubt or server_error(b"")
        elif self._name == "done":
            self._ended = True
        self._name = ""

    def _text(self, word: bytes, deltas: list[Delta]) -> None:
        """Read the data of an event that is not a JSON object: `keep-alive`, a number, an error, a web page."""
        if "error" in self._name:
            raise server_error(word)
        if word[:1] == b'"':
            word = json_string(word)
            if word[:1] == b"{":
                self._event(word, deltas, torn=True)
                return
        if word[:1] == b"<":
            self._doubt = page_error(word)
        elif word and not self._name and word[:1] != b":" and word != b"null":
            self._doubt = WireError(f"cannot parse the answer (no JSON): {excerpt(word)}")


def _named_error(value: bytes) -> WireError:
    """Return the error in an event with that name; TruncatedError if more of it follows."""
    values, rest = split_values(value)
    if not values and rest[:1] == b"{":
        return TruncatedError(f"the answer ended in the middle of an event: {excerpt(value)}")
    return server_error(value)
