"""Decompressors for the content codings that servers and proxies use, each for one stream, member or frame.

Only gzip and deflate are in every Python. For zstd and br the first package that is installed is used.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

#: The largest piece of decompressed data that is returned at a time, where the library has a limit.
PIECE_BYTES = 64 * 1024
#: So much input is decompressed at a time where it has none. A block of zstd is 128 KiB at most and takes 4 bytes.
SLICE_BYTES = 16
#: The largest window of zstd over HTTP (RFC 9659).
ZSTD_WINDOW_LOG = 23
_GZIP = zlib.MAX_WBITS | 16
#: The packages for a coding, in the order in which they are tried. The last one is suggested.
PACKAGES = {
    "zstd": ("compression.zstd", "backports.zstd", "zstandard"),
    "br": ("brotli", "brotlicffi"),
}
#: How the name of a package differs from that of its module.
INSTALLED_AS = {"zstd": "zstandard", "br": "brotli"}


class UnpackError(Exception):
    """The data does not match its coding."""


class Unpacker(Protocol):
    """Decompresses one stream incrementally. `unused` is what followed its end."""

    unused: bytes

    @property
    def ended(self) -> bool:
        """Whether the stream is complete."""

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decompresses to, lazily. Raises UnpackError."""


class Zlib:
    """gzip and deflate."""

    def __init__(self, window_bits: int = _GZIP) -> None:
        self.unused = b""
        self._stream = zlib.decompressobj(window_bits)

    @property
    def ended(self) -> bool:
        """Whether the stream is complete."""
        return self._stream.eof

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decompresses to, lazily. Raises UnpackError."""
        while data and not self._stream.eof:
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise UnpackError(str(error)) from None
            if piece:
                yield piece
            data = self._stream.unconsumed_tail
        self.unused = self._stream.unused_data


class Deflate:
    """deflate with zlib's header (RFC 9110, 8.4.1.2; RFC 1950, 2.2) or without, as some servers send it."""

    def __init__(self) -> None:
        self.unused = b""
        self._head = b""
        self._stream: Zlib | None = None

    @property
    def ended(self) -> bool:
        """Whether the stream is complete."""
        return self._stream is not None and self._stream.ended

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decompresses to, lazily. Raises UnpackError."""
        if self._stream is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return
            has_header = data[0] & 0x0F == 8 and (data[0] * 256 + data[1]) % 31 == 0
            self._stream = Zlib(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        yield from self._stream.unpack(data)


class _Bounded:
    """zstd by the standard library's interface (Python 3.14, backports.zstd)."""

    def __init__(self, module: Any) -> None:
        self.unused = b""
        options = {module.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
        self._stream = module.ZstdDecompressor(options=options)
        self._error = module.ZstdError

    @property
    def ended(self) -> bool:
        return bool(self._stream.eof)

    def unpack(self, data: bytes) -> Iterator[bytes]:
        while not self._stream.eof and (data or not self._stream.needs_input):
            try:
                piece = self._stream.decompress(data, PIECE_BYTES)
            except self._error as error:
                raise UnpackError(str(error)) from None
            data = b""
            if piece:
                yield piece
        self.unused = self._stream.unused_data if self._stream.eof else b""


class _Sliced:
    """zstd by `zstandard`, br by `brotli` or `brotlicffi`: a call has no limit, so each decompresses little."""

    def __init__(self, step: Callable[[bytes], bytes], ended: Callable[[], bool], error: type[Exception]) -> None:
        self.unused = b""
        self._step = step
        self._ended = ended
        self._error = error

    @property
    def ended(self) -> bool:
        return self._ended()

    def unpack(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), SLICE_BYTES):
            if self._ended():
                self.unused += data[start:]
                return
            try:
                piece = self._step(data[start : start + SLICE_BYTES])
            except self._error as error:
                raise UnpackError(str(error)) from None
            if piece:
                yield piece


class _Zstandard(_Sliced):
    def __init__(self, module: Any) -> None:
        stream = module.ZstdDecompressor(max_window_size=1 << ZSTD_WINDOW_LOG).decompressobj()
        super().__init__(stream.decompress, lambda: bool(stream.eof), module.ZstdError)
        self._stream = stream

    def unpack(self, data: bytes) -> Iterator[bytes]:
        yield from super().unpack(data)
        if self._stream.eof:
            self.unused = self._stream.unused_data + self.unused


def _brotli(module: Any) -> Unpacker:
    stream = module.Decompressor()
    return _Sliced(getattr(stream, "process", None) or stream.decompress, stream.is_finished, module.error)


def _module(coding: str) -> Any:
    """Import the first package for `coding`; None if none is installed."""
    for name in PACKAGES.get(coding, ()):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def unpacker(coding: str) -> Callable[[], Unpacker] | None:
    """Return what makes a decompressor for `coding`, as a header names it in lower case; None if nothing can."""
    match coding:
        case "gzip" | "x-gzip":
            return Zlib
        case "deflate":
            return Deflate
    module = _module(coding)
    if module is None:
        return None
    if coding == "br":
        return lambda: _brotli(module)
    return lambda: _Zstandard(module) if module.__name__ == "zstandard" else _Bounded(module)
