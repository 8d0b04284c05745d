"""TLS over a `StampedSocket`: plain bytes are stamped with the arrival of their record's last segment."""

from __future__ import annotations

import asyncio
import ssl
import time

import httpx

from llmtui.measure.stamped_socket import READ_BYTES, StampedSocket


class TlsChannel:
    """The same questions as `StampedSocket.receive` and `ended`, and `seal` for what is to be sent."""

    def __init__(self, sock: StampedSocket, context: ssl.SSLContext, server_hostname: str) -> None:
        self._sock = sock
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_hostname)
        self.ended = False

    async def handshake(self, timeout_s: float | None) -> None:
        """Counts as connection set-up. Raises httpx.ConnectError when the certificate does not verify or the peer
        breaks off, httpx.ConnectTimeout."""
        started = time.monotonic_ns()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        self._tls.do_handshake()
                    except ssl.SSLWantReadError:
                        await self._flush()
                        await self._sock.ready(True)
                        self._take(self._sock.receive())
                        continue
                    await self._flush()
                    break
        except TimeoutError:
            raise httpx.ConnectTimeout("it connects, but no TLS handshake came in time") from None
        except OSError as error:  # ssl.SSLError is one too
            raise httpx.ConnectError(str(error)) from error
        self._sock.connect_ns += time.monotonic_ns() - started

    def receive(self) -> bytes | None:
        """Decrypted bytes, None while no record is whole, b"" at the end. Raises OSError."""
        data = self._sock.receive()
        if data is None:
            return None
        self._take(data)
        parts: list[bytes] = []
        while True:
            try:
                part = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                part = b""
            if not part:
                self.ended = True
                return b"".join(parts)
            parts.append(part)
        if answer := self._out.read():  # a key update; it is small, and a socket that takes nothing has ended anyway
            self._sock.send(answer)
        return b"".join(parts) if parts else None

    def seal(self, data: bytes) -> bytes:
        """`data` as TLS records."""
        self._tls.write(data)
        return self._out.read()

    def _take(self, data: bytes | None) -> None:
        if data:
            self._in.write(data)
        elif data is not None:
            self._in.write_eof()

    async def _flush(self) -> None:
        view = memoryview(self._out.read())
        while view:
            sent = self._sock.send(view)
            if not sent:
                await self._sock.ready(False)
            view = view[sent:]
