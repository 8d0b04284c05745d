"""The body of an answer, read within bounds: one content coding at most, unpacked piece by piece. No sockets here.

llmtui does not ask for compression, but a proxy may compress anyway. A few hundred bytes of gzip can unpack to
gigabytes, and codings can be nested, so nothing is unpacked ahead of the limit that its reader sets.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator

import httpx

from llmtui.text import sanitize
from llmtui.wire.base import WireError

#: Unpacked data is handed on in pieces of this size.
PIECE_BYTES = 64 * 1024
_GZIP = zlib.MAX_WBITS | 16
_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


class ContentDecoder:
    """Undoes the content coding of one body, fed as it arrives. Raises WireError for a coding that it cannot read."""

    def __init__(self, content_encoding: str) -> None:
        codings = [
            name for part in content_encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")
        ]
        shown = sanitize(content_encoding, 40)
        if len(codings) > 1:
            raise WireError(f"the answer is compressed more than once ({shown!r}), and llmtui asked for no compression")
        self._coding = _NAMES.get(codings[0], "") if codings else "identity"
        if not self._coding:
            raise WireError(f"the answer is compressed with {shown!r}, which llmtui did not ask for and cannot read")
        self._stream = zlib.decompressobj(_GZIP)
        #: The first bytes of a deflate body, until they tell which of its two forms it has.
        self._head = b"" if self._coding == "deflate" else None

    @property
    def identity(self) -> bool:
        """Whether the body has no content coding."""
        return self._coding == "identity"

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` unpacks to, in pieces of at most `PIECE_BYTES`: who stops asking stops the unpacking too.

        Raises WireError where the data is not what the coding says.
        """
        if self._coding == "identity":
            yield data
            return
        if self._head is not None:
            data = self._head = self._head + data
            if len(data) < 2:
                return
            self._stream, self._head = zlib.decompressobj(_deflate_form(data)), None
        while data:
            if self._stream.eof:
                if self._coding != "gzip":
                    return  # what follows a deflate stream is not part of it
                # A gzip file may have several members (RFC 1952, 2.2); some proxies write one for each event.
                self._stream = zlib.decompressobj(_GZIP)
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise WireError(f"the answer's compression is broken: {error}") from None
            if piece:
                yield piece
            data = self._stream.unconsumed_tail or self._stream.unused_data


def _deflate_form(data: bytes) -> int:
    """Which form of deflate this is: with zlib's header (RFC 9110, 8.4.1.2; RFC 1950, 2.2), or without it."""
    has_header = data[0] & 0x0F == 8 and (data[0] * 256 + data[1]) % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


async def read_body(
    response: httpx.Response,
    limit_bytes: int,
    into: bytearray,
    large: contextlib.AbstractAsyncContextManager[object] | None = None,
) -> bool:
    """Read the unpacked body of `response` into `into`, up to `limit_bytes`. Returns whether that is all of it.

    Of a packed body no more than that is received either: it may unpack to nothing, again and again. `large` is entered
    while more than `PIECE_BYTES` are read. What came before an error or a cancellation stays in `into`. Has no time
    limit of its own. Raises WireError for a coding that cannot be read, httpx.TransportError.
    """
    decoder = ContentDecoder(response.headers.get("content-encoding", ""))
    received = 0
    async with contextlib.AsyncExitStack() as stack:
        async for data in response.aiter_raw():
            received += len(data)
            if received > limit_bytes and not decoder.identity:
                return False
            for piece in decoder.feed(data):
                if large is not None and len(into) + len(piece) > PIECE_BYTES:
                    await stack.enter_async_context(large)
                    large = None
                into += piece
                if len(into) > limit_bytes:
                    del into[limit_bytes:]
                    return False
    return True
