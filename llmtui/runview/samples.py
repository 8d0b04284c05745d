"""The iterations of one backend as a client keeps them: every figure of all, and what was answered by the newest.

A client may watch for days: texts and arrivals of only so many are held (the history has them all), and figures are
packed by the chunk, some 50 bytes an iteration, and put by in a temporary file without a name. A client that keeps
everything, or has no room for such a file, keeps the chunks in memory.
"""

from __future__ import annotations

import itertools
import os
import struct
import tempfile
import zlib
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from typing import IO, Any, cast, overload

import msgspec

from llmtui.model import Iteration

CHUNK = 128
#: Whose answers a monitor keeps, of each backend.
RECENT = 200

_FLOAT = struct.Struct("d")
_HEAVY = ("text", "arrivals_ns", "arrival_tokens")
_FIGURES = tuple(field for field in Iteration.__struct_fields__ if field not in _HEAVY)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[list[Any]]).decode
_encode_heavy = msgspec.msgpack.Encoder().encode
_decode_heavy = msgspec.msgpack.Decoder(tuple[str, list[int], list[int]]).decode


def _pack(iterations: list[Iteration]) -> bytes:
    # Column by column: neighbours are alike, and no name is written twice.
    return zlib.compress(_encode([[getattr(i, field) for i in iterations] for field in _FIGURES]), 9)


def _unpack(chunk: bytes) -> list[Iteration]:
    rows = zip(*_decode(zlib.decompress(chunk)), strict=True)
    return [msgspec.convert(dict(zip(_FIGURES, row, strict=True)), Iteration) for row in rows]


class _Aside:
    """Bytes put by: in a temporary file where there is one, else in memory."""

    def __init__(self, in_memory: bool) -> None:
        self._in_memory = in_memory
        self._file: IO[bytes] | None = None
        self._end = 0
        self._parts: list[bytes | tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._parts)

    def append(self, data: bytes) -> None:
        """Put by one more."""
        if not self._in_memory:
            try:
                self._file = self._file or tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
                if os.pwrite(self._file.fileno(), data, self._end) == len(data):
                    self._parts.append((self._end, len(data)))
                    self._end += len(data)
                    return
            except OSError:
                pass  # a full disk is no reason to forget anything
        self._parts.append(data)

    def __getitem__(self, at: int) -> bytes:
        part = self._parts[at]
        if isinstance(part, bytes):
            return part
        assert self._file is not None
        return os.pread(self._file.fileno(), part[1], part[0])


class FileShelf:
    """An array of floats in a temporary file without a name (llmtui.stats.sorted_values)."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._count = 0

    def put(self, values: array[float]) -> bool:
        """Keep these in place of those before; False where there is no room for them."""
        data = values.tobytes()
        try:
            self._file = self._file or tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            if os.pwrite(self._file.fileno(), data, 0) == len(data):
                self._count = len(values)
                return True
        except OSError:
            pass
        self._file, self._count = None, 0
        return False

    def all(self) -> array[float]:
        """What was put last."""
        values = array("d")
        if self._file is not None:
            values.frombytes(os.pread(self._file.fileno(), 8 * self._count, 0))
        return values

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: int, /) -> float:
        if self._file is None or not 0 <= at < self._count:
            raise IndexError(at)
        return cast("float", _FLOAT.unpack(os.pread(self._file.fileno(), 8, 8 * at))[0])


class Samples(Sequence[Iteration]):
    """A growing sequence of iterations. Only the newest `keep` have text and arrivals (None: all of them)."""

    def __init__(self, keep: int | None = None) -> None:
        self._chunks = _Aside(in_memory=keep is None)
        self._open: list[Iteration] = []
        self._heavy: deque[bytes] = deque(maxlen=keep)
        self._opened: tuple[int, list[Iteration]] = (-1, [])

    def append(self, iteration: Iteration) -> None:
        """Keep one more."""
        self._heavy.append(_encode_heavy([getattr(iteration, field) for field in _HEAVY]))
        if len(self._open) == CHUNK:
            self._chunks.append(_pack(self._open))
            self._open = []
        self._open.append(msgspec.structs.replace(iteration, text="", arrivals_ns=[], arrival_tokens=[]))

    def whole(self, at: int) -> bool:
        """Whether text and arrivals of the iteration at `at` (0 or more) are still here."""
        return at >= len(self) - len(self._heavy)

    def __len__(self) -> int:
        return len(self._chunks) * CHUNK + len(self._open)

    def _figures(self, at: int) -> Iteration:
        chunk, place = divmod(at, CHUNK)
        if chunk == len(self._chunks):
            return self._open[place]
        if self._opened[0] != chunk:
            self._opened = (chunk, _unpack(self._chunks[chunk]))
        return self._opened[1][place]

    def _complete(self, at: int, figures: Iteration) -> Iteration:
        first = len(self) - len(self._heavy)
        if at < first:
            return figures
        text, arrivals_ns, arrival_tokens = _decode_heavy(self._heavy[at - first])
        return msgspec.structs.replace(figures, text=text, arrivals_ns=arrivals_ns, arrival_tokens=arrival_tokens)

    @overload
    def __getitem__(self, at: int) -> Iteration: ...
    @overload
    def __getitem__(self, at: slice) -> list[Iteration]: ...
    def __getitem__(self, at: int | slice) -> Iteration | list[Iteration]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        place = at + len(self) if at < 0 else at
        if not 0 <= place < len(self):
            raise IndexError(f"{at} of {len(self)} iterations")
        return self._complete(place, self._figures(place))

    def __iter__(self) -> Iterator[Iteration]:
        unpacked = (_unpack(self._chunks[n]) for n in range(len(self._chunks)))
        for at, figures in enumerate(itertools.chain(itertools.chain.from_iterable(unpacked), self._open)):
            yield self._complete(at, figures)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Samples | list):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]
