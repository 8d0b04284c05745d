"""Reading the body of an answer within a size limit, decompressed piece by piece. No sockets here.

llmtui does not ask for compression, but a proxy may compress anyway. A few hundred bytes of gzip can decompress to
gigabytes, and codings can be nested, so nothing is decompressed beyond the reader's limit.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator

import httpx

from llmtui.text import sanitize
from llmtui.wire.base import WireError

#: The largest piece of decompressed data that is returned at a time.
PIECE_BYTES = 64 * 1024
_GZIP = zlib.MAX_WBITS | 16
_CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


class ContentDecoder:
    """Decodes the content coding of one body incrementally. Raises WireError for an unsupported coding."""

    def __init__(self, content_encoding: str) -> None:
        codings = [
            coding for part in content_encoding.split(",") if (coding := part.strip().lower()) not in ("", "identity")
        ]
        name = sanitize(content_encoding, 40)
        if len(codings) > 1:
            raise WireError(f"the answer is compressed more than once ({name!r}); llmtui asked for no compression")
        self._coding = _CODINGS.get(codings[0], "") if codings else "identity"
        if not self._coding:
            raise WireError(f"the answer is compressed with {name!r}, which llmtui did not ask for")
        self._stream = zlib.decompressobj(_GZIP)
        #: The first bytes of a deflate body, until there are enough to detect which of its two forms it has.
        self._head = b"" if self._coding == "deflate" else None

    @property
    def identity(self) -> bool:
        """Whether the body has no content coding."""
        return self._coding == "identity"

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to, lazily, in pieces of at most `PIECE_BYTES`.

        Raises WireError for data that does not match the coding.
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
                    return  # ignore what follows a deflate stream
                # gzip data may have several members (RFC 1952, 2.2); some proxies write one for each event.
                self._stream = zlib.decompressobj(_GZIP)
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise WireError(f"cannot decompress the answer: {error}") from None
            if piece:
                yield piece
            data = self._stream.unconsumed_tail or self._stream.unused_data


def _deflate_form(data: bytes) -> int:
    """Return zlib's window bits for a deflate body with zlib's header (RFC 9110, 8.4.1.2; RFC 1950, 2.2) or without."""
    has_header = data[0] & 0x0F == 8 and (data[0] * 256 + data[1]) % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS


async def read_body(
    response: httpx.Response,
    limit_bytes: int,
    into: bytearray,
    large: contextlib.AbstractAsyncContextManager[object] | None = None,
) -> bool:
    """Read the decoded body of `response` into `into`, up to `limit_bytes`. Return whether that is the whole body.

    The limit also applies to the compressed bytes, since these may decompress to nothing. `large` is entered once more
    than `PIECE_BYTES` are read. Data received before an error or a cancellation stays in `into`. It does not time out.
    Raises WireError for an unsupported coding, and httpx.TransportError.
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
