"""Reading the body of an answer within a size limit, decompressed piece by piece. No sockets here.

llmtui does not ask for compression, but a proxy may compress anyway. A few hundred bytes of gzip can decompress to
gigabytes, and codings can be nested, so nothing is decompressed beyond the reader's limit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import httpx

from llmtui.measure.codings import INSTALLED_AS, PIECE_BYTES, Unpacker, UnpackError, unpacker
from llmtui.text import sanitize
from llmtui.wire.base import WireError

#: The first byte of answers that are not compressed: JSON, events (`data:`, `event:`, `id:`, `retry:`, `:`), blanks.
_PLAIN = frozenset(b"{[:deir \t\r\n")
#: How the data of a coding begins that is recognised without its header.
_MAGIC = {"gzip": b"\x1f", "zstd": b"\x28\xb5\x2f\xfd"}
_TURN_OFF = "turn compression off in the server or the proxy in front of it"


class ContentDecoder:
    """Decodes the content coding of one body incrementally. Raises WireError for an unsupported coding.

    The first bytes decide where they contradict the header: some proxies compress without it, or set it without
    compressing.
    """

    def __init__(self, content_encoding: str) -> None:
        codings = [
            coding for part in content_encoding.split(",") if (coding := part.strip().lower()) not in ("", "identity")
        ]
        name = sanitize(content_encoding, 40)
        if len(codings) > 1:
            raise WireError(
                f"the answer is compressed more than once ({name!r}); llmtui asked for no compression", hint=_TURN_OFF
            )
        self._coding = ""
        self._new: Callable[[], Unpacker]
        self._stream: Unpacker | None = None
        if codings:
            self._use(codings[0].removeprefix("x-"), name)
        self._begun = False
        #: Whether the stream, member or frame at hand has given any data, and how many were complete before it.
        self._given = False
        self._complete = 0
        self._ignores_rest = False

    def begin(self, data: bytes) -> None:
        """Decide the coding by the first bytes of the body. `feed` calls this as well."""
        if self._begun or not data:
            return
        self._begun = True
        if self._coding in _MAGIC and data[0] in _PLAIN and not data.startswith(_MAGIC[self._coding][:2]):
            self._coding, self._stream = "", None
        elif not self._coding:
            for coding, magic in _MAGIC.items():
                if data.startswith(magic):
                    self._use(coding, coding)

    @property
    def identity(self) -> bool:
        """Whether the body has no content coding."""
        return self._stream is None

    @property
    def complete(self) -> bool:
        """Whether the body may end here: its last stream, member or frame is complete."""
        return self._stream is None or not self._begun or self._ignores_rest or self._stream.ended

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to, lazily, in pieces of about `PIECE_BYTES` at most.

        Raises WireError for data that does not match the coding.
        """
        self.begin(data)
        if self._stream is None:
            yield data
            return
        while data and not self._ignores_rest:
            if self._stream.ended:
                if self._coding in ("deflate", "br"):
                    return  # ignore what follows the only stream
                # gzip data may have several members (RFC 1952, 2.2); some proxies write one for each event.
                self._complete += 1
                self._given = False
                self._stream = self._new()
            try:
                for piece in self._stream.unpack(data):
                    self._given = True
                    yield piece
            except UnpackError as error:
                if not self._complete or self._given:
                    message = f"cannot decompress the answer ({self._coding}): {error}"
                    raise WireError(message, hint=_TURN_OFF) from None
                # Padding after the last member, which gzip and other clients ignore too.
                self._ignores_rest = True
            data = self._stream.unused

    def _use(self, coding: str, name: str) -> None:
        new = unpacker(coding)
        if new is None:
            hint = _TURN_OFF
            if package := INSTALLED_AS.get(coding):
                hint += f", or install {package} in llmtui's environment"
            raise WireError(f"the answer is compressed with {name!r}, which llmtui did not ask for", hint=hint)
        self._coding, self._new, self._stream = coding, new, new()


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
            decoder.begin(data)
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
