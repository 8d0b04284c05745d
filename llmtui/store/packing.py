"""Whole numbers packed small and without loss: token arrivals and the tokens that each carried. Pure.

Every number is a varint (seven bits a byte, lowest first, the top bit says that more follow) of its zigzag form
(0, -1, 1, -2 become 0, 1, 2, 3), as in Protocol Buffers, of up to 128 bits. Arrivals are stored as differences to the
one before, the first to zero: an arrival every 12 ms takes four bytes. Tokens per arrival are mostly the same, so they
are stored as runs: the number, then how often it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate, groupby, pairwise

#: An answer is cut off at 64 MB, and each arrival takes some bytes of it.
MAX_ARRIVALS = 5_000_000
#: Arrivals are nanoseconds since a request was written: less than 146 years.
MAX_NS = 2**62 - 1
MAX_BITS = 128
_MORE_FOLLOW = bytes(range(0x80, 0x100))


def pack_deltas(numbers: list[int]) -> bytes:
    """`numbers` as differences; no bytes for no numbers."""
    return _varints(later - earlier for earlier, later in pairwise([0, *numbers]))


def unpack_deltas(data: bytes, most: int = MAX_ARRIVALS) -> list[int]:
    """What `pack_deltas` packed of arrivals: none before zero or before the one that came first, none after `MAX_NS`.

    Raises ValueError for anything else, and where there are more than `most`. A byte makes one number at most.
    """
    if len(data) > most and len(data.translate(None, _MORE_FOLLOW)) > most:
        raise ValueError(f"there are more than {most} numbers")
    deltas = list(_numbers(data))
    if min(deltas, default=0) < 0:
        raise ValueError("a number is less than the one before")
    if sum(deltas) > MAX_NS:
        raise ValueError("a number is too large")
    return list(accumulate(deltas))


def pack_runs(numbers: list[int]) -> bytes:
    """`numbers` as runs of equal ones; no bytes for no numbers."""
    return _varints(part for value, run in groupby(numbers) for part in (value, sum(1 for _ in run)))


def unpack_runs(data: bytes, count: int) -> list[int]:
    """The `count` numbers that `pack_runs` packed. Raises ValueError where they are more or fewer, none being made."""
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
