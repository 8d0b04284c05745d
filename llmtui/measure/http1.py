"""HTTP/1.1 as bytes: serialize a request, parse an answer incrementally with llhttp. No sockets here."""

from __future__ import annotations

import re

import httptools
import httpx

from llmtui.measure.failures import IncompleteAnswer, NoAnswer, NotHttp
from llmtui.measure.head_repair import head_length, may_be_repaired, repaired
from llmtui.measure.other_protocols import FIRST_BYTES

#: Far more than a server under test sends. A longer head fails the iteration, and memory stays bounded.
MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 200
_LENGTHS = ("Content-Length", "Transfer-Encoding")

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")


def request_head(request: httpx.Request) -> tuple[bytes, bytes]:
    """Serialize the head of `request`: what comes before the length of the body, and what comes after it.

    The second part is empty if the head has no length. Raises httpx.LocalProtocolError for a header that would break
    out of its line. The message leaves out the value, which may be a key.
    """
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    length_at = 0
    for name, value in request.headers.raw:
        low = name.lower()
        if low == b"transfer-encoding":
            continue
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise httpx.LocalProtocolError(f"illegal characters in the header {name.decode('latin-1')[:40]!r}")
        if low == b"content-length":
            if length_at:
                continue
            length_at, value = len(lines), b""
        lines.append(b"%b: %b" % (name, value))
    if request.content and not length_at:
        length_at = len(lines)
        lines.append(b"Content-Length: ")
    lines.append(b"\r\n")
    if not length_at:
        return b"\r\n".join(lines), b""
    return b"\r\n".join(lines[: length_at + 1]), b"\r\n" + b"\r\n".join(lines[length_at + 1 :])


def request_bytes(head: tuple[bytes, bytes], body: bytes) -> bytes:
    """Return a request with this `request_head` and body."""
    before, after = head
    return b"%b%d%b%b" % (before, len(body), after, body) if after else before + body


class ResponseReader:
    """Parses one answer incrementally, whatever the boundaries of its pieces. Skips interim answers (1xx).

    `head_done` is set after status and headers, `complete` at the end of the body, `reusable` when another request may
    follow on the connection. `error` is set for an answer that is not HTTP or too large; feed nothing after that.

    llhttp parses; a head that it rejects and that mature clients accept is repaired once, and parsed again.
    """

    def __init__(self, method: str = "POST") -> None:
        self.status = 0
        self.version = "1.1"
        self.reason = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.head_done = False
        self.complete = False
        self.reusable = False
        self.error: httpx.RemoteProtocolError | None = None
        self._no_body = method == "HEAD"
        self._until_close = False
        self._parts: list[bytes] = []
        self._part_count = 0
        self._head_bytes = 0
        self._first = b""
        #: The head so far, and why llhttp rejects it.
        self._head = bytearray()
        self._rejected = ""
        # llhttp calls `on_*` by name; appending the body to the list needs no Python function.
        self.on_body = self._parts.append
        self._start_parser()

    def _start_parser(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        # Allowed by RFC 9112 and seen on servers: both kinds of length, bare LF, blanks after a chunk size.
        self._parser.set_dangerous_leniencies(
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
            lenient_optional_lf_after_cr=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._feed = self._parser.feed_data

    def feed(self, data: bytes) -> bytes:
        """Parse `data` and return the body bytes in it. Check `error` and `complete` afterwards."""
        if self.complete:
            self.reusable = False
            return b""
        if not self.head_done:
            self._head += data
            if self._rejected:
                return self._repair()
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade:
            self._fail("the server switched protocols")
        except httptools.HttpParserError as error:
            if not self.head_done and self.error is None and may_be_repaired(self._head):
                self._rejected = str(error)
                return self._repair()
            self._reject(data, str(error))
        parts = self._parts
        if self.complete:
            del parts[self._part_count :]
        if not parts:
            if not self.complete:
                self._head_bytes += len(data)
                self._first = (self._first + data[:FIRST_BYTES])[:FIRST_BYTES]
                if self._head_bytes > MAX_HEAD_BYTES:
                    self._fail(f"more than {MAX_HEAD_BYTES} bytes of headers")
            return b""
        self._head_bytes = 0
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return body

    def _repair(self) -> bytes:
        """Once the rejected head is complete, repair it, and parse it again with what follows it."""
        head = self._head
        while length := head_length(head := head.lstrip(b"\r\n")):
            new = repaired(bytes(head[:length]))
            if new is None:
                return self._reject_head()
            head = head[length:]
            if new[9:10] == b"1" and new[9:12] != b"101":
                continue  # an interim answer
            self.headers.clear()
            self.reason = b""
            self._start_parser()
            return self._feed_repaired(new + head)
        self._head_bytes = len(self._head)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._fail(f"more than {MAX_HEAD_BYTES} bytes of headers")
        return b""

    def _feed_repaired(self, data: bytes) -> bytes:
        """Parse a repaired head; if it is rejected again, that is final."""
        length = head_length(data)
        try:
            self._feed(data[:length])
        except httptools.HttpParserUpgrade:
            self._fail("the server switched protocols")
            return b""
        except httptools.HttpParserError:
            return self._reject_head()
        self._rejected = ""
        return self.feed(data[length:]) if data[length:] and not self.complete else b""

    def _reject_head(self) -> bytes:
        self._first = b""
        self._reject(bytes(self._head[:FIRST_BYTES]), self._rejected)
        return b""

    def header(self, name: bytes) -> str:
        """Return the value of a header, "" without it. `name` is in lower case. Several of one name are joined."""
        values = [value for each, value in self.headers if each.lower() == name]
        try:
            return b", ".join(values).decode()
        except UnicodeDecodeError:
            return b", ".join(values).decode("latin-1")

    @property
    def no_bytes_received(self) -> bool:
        """Whether no byte of an answer has been received."""
        return not self.head_done and self._head_bytes == 0

    def forget(self) -> None:
        """Part with the parser, which refers to this object: cycles would stay in memory while no garbage is collected.
        Nothing can be fed after that."""
        del self._parser, self._feed

    def eof(self) -> None:
        """Handle the end of the connection: set `complete` if the body is delimited by it, else `error`."""
        self.reusable = False
        if self.complete or self.error is not None:
            return
        if self.head_done and self._until_close:
            self.complete = True
        elif self.head_done:
            self.error = IncompleteAnswer("closed in the middle of the body")
        elif self._head_bytes:
            self.error = IncompleteAnswer("closed in the middle of the headers")
        else:
            self.error = NoAnswer("closed without a response")

    def _reject(self, data: bytes, reason: str) -> None:
        """Handle data that llhttp does not accept for this `reason`, whose words are about the parser's states."""
        self.reusable = False
        first = self._first + data[:FIRST_BYTES]
        if self.complete or self.error is not None:
            return
        if self.head_done:
            self._fail("the body is not divided into chunks as its headers say")
        elif first.startswith((b"HTTP/1.", b"HTTP/0.")):
            header = next((name for name in _LENGTHS if name in reason), None)
            self._fail(f"its {header} is malformed" if header else "its headers are malformed")
        else:
            self.error = NotHttp(first[:FIRST_BYTES])

    def _fail(self, message: str) -> None:
        if self.error is None:
            self.error = httpx.RemoteProtocolError(message)

    def on_message_begin(self) -> None:
        """llhttp: an answer begins. A second one was not requested."""
        if self.complete:
            self.reusable = False

    def on_status(self, reason: bytes) -> None:
        """llhttp: the reason phrase, possibly in pieces."""
        if not self.head_done:
            self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: one header; after the body it is a trailer, which is ignored."""
        if self.head_done:
            return
        if len(self.headers) >= MAX_HEADERS:
            self._fail(f"more than {MAX_HEADERS} headers")
            raise OverflowError
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """llhttp: the head is complete."""
        if self.complete:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self.headers.clear()
            self.reason = b""
            return
        self.status = status
        self.version = self._parser.get_http_version()
        self.head_done = True
        self._head.clear()
        fields = {name.lower(): value.lower() for name, value in self.headers}
        # A transfer coding overrides the length (RFC 9112, 6.3).
        coding = fields.get(b"transfer-encoding")
        self._until_close = b"chunked" not in coding if coding is not None else b"content-length" not in fields
        if self._no_body:
            self.complete = True

    def on_message_complete(self) -> None:
        """llhttp: the answer is complete."""
        if self.head_done and not self.complete:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()
            self._part_count = len(self._parts)
