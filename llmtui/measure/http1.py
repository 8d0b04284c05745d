"""HTTP/1.1 as bytes: a request written out, and an answer read as it arrives, on llhttp. No sockets here."""

from __future__ import annotations

import re

import httptools
import httpx

from llmtui.measure.failures import IncompleteAnswer

#: What no answer of a server under test comes near: beyond, the iteration fails by name, and memory stays bounded.
MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 200

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00\r\n]*")


def request_bytes(request: httpx.Request) -> bytes:
    """`request`, its content already read, as it goes over the wire.

    Raises httpx.LocalProtocolError for a header that would break out of its line; its value may be a key: not told.
    """
    body = request.content
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    length = b"%d" % len(body)
    counted = False
    for name, value in request.headers.raw:
        low = name.lower()
        if low == b"transfer-encoding":
            continue
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise httpx.LocalProtocolError(f"illegal characters in the header {name.decode('latin-1')[:40]!r}")
        if low == b"content-length":
            if counted:
                continue
            counted, value = True, length
        lines.append(b"%b: %b" % (name, value))
    if body and not counted:
        lines.append(b"Content-Length: " + length)
    lines.append(b"\r\n")
    return b"\r\n".join(lines) + body


class ResponseReader:
    """Reads one answer, fed as it arrives, in pieces cut anywhere. Interim answers (1xx) are passed over.

    `head_done` says that status and headers are there, `complete` that the body has ended, `reusable` that another
    request may follow on the connection. `error` is set, and feeding is over, once the answer is not HTTP or too much.
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
        self._bodiless = method == "HEAD"
        self._until_close = False
        self._parts: list[bytes] = []
        self._own = 0
        self._aside = 0
        # llhttp calls these by their names; the body goes into the list without a call of ours.
        self.on_body = self._parts.append
        self._parser = httptools.HttpResponseParser(self)
        # As RFC 9112 allows, and as servers do it: both kinds of length at once, bare LF, blanks after a chunk's size.
        self._parser.set_dangerous_leniencies(
            lenient_chunked_length=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._feed = self._parser.feed_data

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`; look at `error` and `complete` afterwards."""
        if self.complete:
            self.reusable = False
            return b""
        try:
            self._feed(data)
        except httptools.HttpParserUpgrade:
            self._fail("the server switched protocols")
        except httptools.HttpParserError as error:
            if not self.complete:
                self._fail(str(error))
            self.reusable = False
        parts = self._parts
        if self.complete:
            del parts[self._own :]
        if not parts:
            if not self.complete:
                self._aside += len(data)
                if self._aside > MAX_HEAD_BYTES:
                    self._fail(f"more than {MAX_HEAD_BYTES} bytes of headers")
            return b""
        self._aside = 0
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return body

    @property
    def silent(self) -> bool:
        """Whether not one byte of an answer has come."""
        return not self.head_done and self._aside == 0

    def eof(self) -> None:
        """The connection ended: sets `complete` where that is how the body ends, else `error`."""
        self.reusable = False
        if self.complete or self.error is not None:
            return
        if self.head_done and self._until_close:
            self.complete = True
        elif self.head_done:
            self.error = IncompleteAnswer("")
        elif self._aside:
            self.error = IncompleteAnswer("closed in the middle of the headers")
        else:
            self.error = IncompleteAnswer("closed without a response")

    def _fail(self, message: str) -> None:
        if self.error is None:
            self.error = httpx.RemoteProtocolError(message)

    def on_message_begin(self) -> None:
        """llhttp: an answer begins; after ours, it is one that nobody asked for."""
        if self.complete:
            self.reusable = False

    def on_status(self, reason: bytes) -> None:
        """llhttp: the reason phrase, perhaps in pieces."""
        if not self.head_done:
            self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: one header; after the body, a trailer, which nobody needs."""
        if self.head_done:
            return
        if len(self.headers) >= MAX_HEADERS:
            self._fail(f"more than {MAX_HEADERS} headers")
            raise OverflowError
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """llhttp: the head is whole."""
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
        named = {name.lower(): value.lower() for name, value in self.headers}
        self._until_close = b"content-length" not in named and b"chunked" not in named.get(b"transfer-encoding", b"")
        if self._bodiless:
            self.complete = True

    def on_message_complete(self) -> None:
        """llhttp: the answer is whole."""
        if self.head_done and not self.complete:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()
            self._own = len(self._parts)
