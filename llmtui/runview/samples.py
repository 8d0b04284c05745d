"""The iterations of one backend in a client's memory: the figures of all, and the answers of the newest.

A client may run for days, so it drops older texts and arrivals, which the history has, and compresses the figures in
chunks to some 50 bytes an iteration.
"""

from __future__ import annotations

import itertools
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, overload

import msgspec

from llmtui.model import Iteration

CHUNK = 128
#: Iterations of each backend that a monitor holds with their answers.
RECENT = 200

_ANSWER = ("text", "arrivals_ns", "arrival_tokens")
_FIGURES = tuple(field for field in Iteration.__struct_fields__ if field not in _ANSWER)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[list[Any]]).decode
_encode_answer = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(tuple[str, list[int], list[int]]).decode


def _pack(iterations: list[Iteration]) -> bytes:
    # Column by column: neighbouring values are similar, and field names are left out.
    return zlib.compress(_encode([[getattr(i, field) for i in iterations] for field in _FIGURES]), 9)


def _unpack(chunk: bytes) -> list[Iteration]:
    rows = zip(*_decode(zlib.decompress(chunk)), strict=True)
    return [msgspec.convert(dict(zip(_FIGURES, row, strict=True)), Iteration) for row in rows]


class Samples(Sequence[Iteration]):
    """A growing sequence of iterations. Only the newest `keep` have text and arrivals (None: all)."""

    def __init__(self, keep: int | None = None) -> None:
        self._chunks: list[bytes] = []
        self._open: list[Iteration] = []
        self._answers: deque[bytes] = deque(maxlen=keep)
        #: The number of the chunk that was read last, and its iterations.
        self._unpacked: tuple[int, list[Iteration]] = (-1, [])

    def append(self, iteration: Iteration) -> None:
        """Add one iteration."""
        self._answers.append(_encode_answer([getattr(iteration, field) for field in _ANSWER]))
        if len(self._open) == CHUNK:
            self._chunks.append(_pack(self._open))
            self._open = []
        self._open.append(msgspec.structs.replace(iteration, text="", arrivals_ns=[], arrival_tokens=[]))

    def whole(self, at: int) -> bool:
        """Whether the iteration at `at` (0 or more) still has its text and arrivals."""
        return at >= len(self) - len(self._answers)

    def __len__(self) -> int:
        return len(self._chunks) * CHUNK + len(self._open)

    def _figures(self, at: int) -> Iteration:
        chunk, place = divmod(at, CHUNK)
        if chunk == len(self._chunks):
            return self._open[place]
        if self._unpacked[0] != chunk:
            self._unpacked = (chunk, _unpack(self._chunks[chunk]))
        return self._unpacked[1][place]

    def _complete(self, at: int, figures: Iteration) -> Iteration:
        first = len(self) - len(self._answers)
        if at < first:
            return figures
        text, arrivals_ns, arrival_tokens = _decode_answer(self._answers[at - first])
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

    def figures(self, start: int = 0) -> Iterator[Iteration]:
        """Return the iterations from the index `start` (0 or more) on without text and arrivals, chunk by chunk."""
        chunk = min(start // CHUNK, len(self._chunks))
        unpacked = (_unpack(each) for each in self._chunks[chunk:])
        every = itertools.chain(itertools.chain.from_iterable(unpacked), self._open)
        return itertools.islice(every, start - chunk * CHUNK, None)

    def __iter__(self) -> Iterator[Iteration]:
        for at, figures in enumerate(self.figures()):
            yield self._complete(at, figures)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Samples | list):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]
