"""TLS over a `StampedSocket`: decrypted bytes carry the arrival time of the last segment of their record."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from typing import Any

import httpx

from llmtui.measure.certificates import NO_CHECK_TIME, READABLE
from llmtui.measure.failures import BadCertificate
from llmtui.measure.stamped_socket import READ_BYTES, StampedSocket, connect


class TlsChannel:
    """Has `receive` and `ended` like `StampedSocket`, and `encrypt` for data to send."""

    def __init__(self, sock: StampedSocket, context: ssl.SSLContext, server_hostname: str) -> None:
        self._sock = sock
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_hostname)
        self.ended = False

    async def handshake(self, timeout_s: float | None) -> None:
        """Perform the handshake, as part of the connection set-up.

        Raises httpx.ConnectTimeout, or httpx.ConnectError if the certificate is invalid or the peer disconnects.
        """
        started = time.monotonic_ns()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        self._tls.do_handshake()
                    except ssl.SSLWantReadError:
                        await self._flush()
                        await self._sock.ready(True)
                        self._write_incoming(self._sock.receive())
                        continue
                    await self._flush()
                    break
        except TimeoutError:
            raise httpx.ConnectTimeout("connected, but the TLS handshake timed out") from None
        except ssl.SSLCertVerificationError as error:
            raise BadCertificate(str(error)) from error
        except OSError as error:  # includes ssl.SSLError
            raise httpx.ConnectError(str(error)) from error
        self._sock.connect_ns += time.monotonic_ns() - started

    def certificate(self) -> Mapping[str, Any]:
        """Return the server's certificate after the handshake, as `getpeercert` does."""
        return self._tls.getpeercert() or {}

    def receive(self) -> bytes | None:
        """Return decrypted bytes, None while no record is complete, b"" at the end. Raises OSError."""
        data = self._sock.receive()
        if data is None:
            return None
        self._write_incoming(data)
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
        if key_update := self._out.read():  # small; a socket that does not accept it has ended anyway
            self._sock.send(key_update)
        return b"".join(parts) if parts else None

    def encrypt(self, data: bytes) -> bytes:
        """Return `data` as TLS records."""
        self._tls.write(data)
        return self._out.read()

    def _write_incoming(self, data: bytes | None) -> None:
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


async def refused_certificate(
    host: str, port: int, context: ssl.SSLContext, error: BadCertificate, timeout_s: float | None
) -> Mapping[str, Any]:
    """Return the certificate that `context` refused for its name or dates, {} if it cannot be read.

    Python's ssl module shows only verified certificates. So a second connection verifies all but names and dates. It
    ends after the handshake: no request is sent.
    """
    if getattr(error.__cause__, "verify_code", None) not in READABLE:
        return {}
    lenient = ssl.create_default_context()
    if authorities := b"".join(context.get_ca_certs(binary_form=True)):
        lenient.load_verify_locations(cadata=authorities)
    lenient.check_hostname = False
    lenient.verify_flags |= NO_CHECK_TIME
    try:
        sock = await connect(host, port, timeout_s)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return {}
    try:
        channel = TlsChannel(sock, lenient, host.partition("%")[0])
        await channel.handshake(timeout_s)
        return channel.certificate()
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return {}
    finally:
        sock.close()
