"""Lossless compression of token arrivals and of the tokens per arrival.

Numbers are zigzag varints, as in Protocol Buffers, of up to 128 bits. Arrivals are stored as differences (delta
encoding): an arrival every 12 ms takes four bytes. Tokens per arrival are mostly equal, so they are run-length encoded:
a number, then how often it occurs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate, groupby, pairwise

#: The engine cuts off an answer at 64 MB, and each arrival takes some bytes of it.
MAX_ARRIVALS = 5_000_000
#: Arrivals are nanoseconds since a request was written: less than 146 years.
MAX_NS = 2**62 - 1
MAX_BITS = 128
_MORE_FOLLOW = bytes(range(0x80, 0x100))


def pack_deltas(numbers: list[int]) -> bytes:
    """Pack `numbers` as differences. An empty list becomes b""."""
    return _varints(later - earlier for earlier, later in pairwise([0, *numbers]))


def unpack_deltas(data: bytes, most: int = MAX_ARRIVALS) -> list[int]:
    """Unpack arrivals: ascending numbers from 0 to `MAX_NS`, at most `most`. Raises ValueError for anything else."""
    if len(data) > most and len(data.translate(None, _MORE_FOLLOW)) > most:
        raise ValueError(f"there are more than {most} numbers")
    deltas = list(_numbers(data))
    if min(deltas, default=0) < 0:
        raise ValueError("a number is less than the one before")
    if sum(deltas) > MAX_NS:
        raise ValueError("a number is too large")
    return list(accumulate(deltas))


def pack_runs(numbers: list[int]) -> bytes:
    """Pack `numbers` as runs of equal ones. An empty list becomes b""."""
    return _varints(part for value, run in groupby(numbers) for part in (value, sum(1 for _ in run)))


def unpack_runs(data: bytes, count: int) -> list[int]:
    """Unpack `count` numbers. Raises ValueError, before it builds the list, if `data` contains more or fewer."""
    if len(data) > 2 * (MAX_BITS // 7 + 1) * count:
        raise ValueError("a run has an impossible length")
    parts = list(_numbers(data))
    if len(parts) % 2:
        raise ValueError("a run has no length")
    lengths = parts[1::2]
    if any(length < 1 for length in lengths) or sum(lengths) != count:
        raise ValueError("a run has an impossible length")
    return [value for value, length in zip(parts[::2], lengths, strict=True) for _ in range(length)]


def _varints(numbers: Iterable[int]) -> bytes:
    packed = bytearray()
    for number in numbers:
        rest = number * 2 if number >= 0 else -number * 2 - 1
        while rest > 0x7F:
            packed.append(rest & 0x7F | 0x80)
            rest >>= 7
        packed.append(rest)
    return bytes(packed)


def _numbers(data: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > MAX_BITS + 7:
            raise ValueError("a number is too large")
        if byte < 0x80:
            yield -(number + 1 >> 1) if number & 1 else number >> 1
            number = shift = 0
    if shift:
        raise ValueError("a number is cut off")
