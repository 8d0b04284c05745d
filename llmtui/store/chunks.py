"""Requests of a turn packed together: column by column, compressed, without loss.

A column in which all requests have the same value takes a few bytes. Durations are whole nanoseconds where that is
exact, and the bytes of numbers are grouped by their weight, as zlib finds equal ones only side by side. A request with
64 arrivals takes some 300 bytes, most of which are the arrivals.
"""

from __future__ import annotations

import operator
import sys
import zlib
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from typing import Any, get_type_hints

import msgspec

from llmtui.model import Iteration
from llmtui.model.request_columns import RequestColumns, columns_of
from llmtui.store import validate
from llmtui.store.packing import MAX_ARRIVALS, MAX_NS

#: The most requests in a chunk, and the most arrivals unless it is a single request.
MAX_REQUESTS = 512
MOST_ARRIVALS = 200_000
#: The most bytes of a chunk once it is decompressed. An answer has at most 64 MB.
MAX_BYTES = 192 * 1024 * 1024
_LEVEL = 6
_WIDTH = 8
_NONE = -1
_MOST = 2**62
#: Fields that the requests of a turn have in common, which the turn has.
OF_TURN = frozenset(
    {"run", "backend", "attempt", "phase", "iteration", "started_utc", "level", "turn", "part", "launch"}
)
_ARRIVALS = ("arrivals_ns", "arrival_tokens")
_TEXT = "text"
_TYPES: dict[str, Any] = {
    name: kind
    for name, kind in get_type_hints(Iteration, include_extras=True).items()
    if name in Iteration.__struct_fields__ and name not in (*OF_TURN, *_ARRIVALS)
}
_REALS = frozenset(name for name, kind in _TYPES.items() if kind in (float, float | None))
_WHOLES = frozenset(name for name, kind in _TYPES.items() if kind in (int, int | None))
#: Fields that grow within a turn: their differences are stored.
_GROWING = frozenset({"request", "written_s", "due_s"})
#: The defaults of a request's fields.
DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Iteration)}


class _Packed(msgspec.Struct, frozen=True, omit_defaults=True):
    """A chunk: fields with one value for all, with a value each as it is, and columns of numbers.

    `nanos` are seconds as whole nanoseconds, `arrivals` all arrivals of all requests as differences.
    """

    count: int
    same: dict[str, Any] = {}
    each: dict[str, list[Any]] = {}
    wholes: dict[str, bytes] = {}
    nanos: dict[str, bytes] = {}
    reals: dict[str, bytes] = {}
    counts: bytes = b""
    arrivals: bytes = b""
    tokens: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def pack(samples: Sequence[Iteration]) -> bytes:
    """Pack requests of one turn, at most `MAX_REQUESTS`, whose values are in their ranges and encodable."""
    parts: dict[str, dict[str, Any]] = {"same": {}, "each": {}, "wholes": {}, "nanos": {}, "reals": {}}
    for name in _TYPES:
        values = [getattr(sample, name) for sample in samples]
        first = values[0]
        if values.count(first) == len(values):
            if first != DEFAULTS[name]:
                parts["same"][name] = msgspec.to_builtins(first)
        elif name in _WHOLES and all(value is None or 0 <= value <= _MOST for value in values):
            parts["wholes"][name] = _shuffled(_steps(name, [_NONE if v is None else v for v in values]))
        elif name in _REALS and all(value is None or 0 <= value <= 1e300 for value in values):
            nanos = _as_nanos(values)
            if nanos is not None:
                parts["nanos"][name] = _shuffled(_steps(name, nanos))
            else:
                reals = array("d", [_NONE if value is None else value for value in values])
                parts["reals"][name] = _shuffled(array("q", reals.tobytes()))
        else:
            parts["each"][name] = msgspec.to_builtins(values)
    arrivals: dict[str, bytes] = {}
    counts = [len(sample.arrivals_ns) for sample in samples]
    if any(counts):
        gaps = chain.from_iterable(map(operator.sub, s.arrivals_ns, [0, *s.arrivals_ns]) for s in samples)
        arrivals = {
            "counts": _shuffled(array("q", counts)),
            "arrivals": _shuffled(array("q", gaps)),
            "tokens": _shuffled(array("q", chain.from_iterable(s.arrival_tokens for s in samples))),
        }
    return zlib.compress(_encode(_Packed(count=len(samples), **parts, **arrivals)), _LEVEL)  # type: ignore[arg-type]


def unpack(
    data: bytes,
    count: int,
    base: dict[str, Any],
    ranges: dict[str, tuple[float, float]],
    *,
    figures: bool = False,
    only: int | None = None,
) -> list[Iteration]:
    """Return the `count` requests of a chunk, each with the fields in `base`. Raises ValueError for anything else.

    `ranges` are those of numbers. Texts are not checked. With `figures` the requests have no text and no arrivals,
    which are most of the work. With `only` the request at this place is the only one, whose arrivals alone are read.
    """
    packed = _opened(data)
    common, columns = _columns(packed, count, base, ranges, figures=figures)
    part = slice(0, count) if only is None else slice(only, only + 1)
    if only is not None:
        columns = {name: values[part] for name, values in columns.items()}
    if figures:
        common = msgspec.structs.replace(common, text="")
    else:
        columns |= zip(_ARRIVALS, _arrivals(packed, count, part), strict=True)
    count = len(range(count)[part])
    if not columns:
        return [common] * count
    replace: Callable[..., Iteration] = msgspec.structs.replace
    return [replace(common, **dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def unpack_columns(
    data: bytes, count: int, base: dict[str, Any], ranges: dict[str, tuple[float, float]]
) -> RequestColumns:
    """Return the light figures of the `count` requests of a chunk, read as by `unpack`. Raises ValueError likewise."""
    common, columns = _columns(_opened(data), count, base, ranges, figures=True)
    return columns_of(count, columns, common)


def _columns(
    packed: _Packed, count: int, base: dict[str, Any], ranges: dict[str, tuple[float, float]], *, figures: bool
) -> tuple[Iteration, dict[str, Sequence[Any]]]:
    """What all requests of a chunk have, and the fields in which they differ, without the arrivals."""
    if packed.count != count:
        raise ValueError("a chunk has another number of requests")
    common = validate.struct(base | _known(packed.same), Iteration, "a request")
    columns: dict[str, Sequence[Any]] = {}
    for name, values in _known(packed.each).items():
        if len(values) != count:
            raise ValueError(f"{name} has another number of values")
        if figures and name == _TEXT:
            continue
        try:
            columns[name] = [msgspec.convert(value, _TYPES[name]) for value in values]
        except msgspec.ValidationError:
            raise ValueError(f"{name} of a request is not as llmtui writes it") from None
    for name, numbers in _known(packed.wholes, _WHOLES).items():
        columns[name] = _optional(_stepped(name, _unshuffled(numbers, count)), name)
    for name, numbers in _known(packed.nanos, _REALS).items():
        nanos = _stepped(name, _unshuffled(numbers, count))
        columns[name] = _optional([n / 1e9 if n != _NONE else _NONE for n in nanos], name)
    for name, numbers in _known(packed.reals, _REALS).items():
        columns[name] = _optional(array("d", _unshuffled(numbers, count).tobytes()).tolist(), name)
    for name in (*_REALS, *_WHOLES):
        _check(name, columns.get(name) or [getattr(common, name)], ranges)
    return common, columns


def _opened(data: bytes) -> _Packed:
    unpacker = zlib.decompressobj()
    try:
        whole = unpacker.decompress(data, MAX_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof or unpacker.unused_data:
            raise ValueError("a chunk is too large, or cut off")
        return _decode(whole)
    except (zlib.error, msgspec.DecodeError, UnicodeError, RecursionError):
        raise ValueError("a chunk of requests is damaged") from None


def _known(columns: dict[str, Any], names: frozenset[str] = frozenset(_TYPES)) -> dict[str, Any]:
    if not columns.keys() <= names:
        raise ValueError("a chunk has fields that a request does not have")
    return columns


def _check(name: str, values: Sequence[Any], ranges: dict[str, tuple[float, float]]) -> None:
    least, most = ranges.get(name, (-_MOST, _MOST))
    # NaN is in no range.
    if not all(value is None or least <= value <= most for value in values):
        raise ValueError(f"{name} is not between {least:g} and {most:g}")


def _optional(values: Sequence[Any], name: str) -> Sequence[Any]:
    """The values of a column, None where it has `_NONE`."""
    if _NONE not in values:
        return values
    if DEFAULTS[name] is not None:
        raise ValueError(f"{name} of a request is missing")
    return [None if value == _NONE else value for value in values]


def _as_nanos(values: Sequence[float | None]) -> list[int] | None:
    """The values (s) as whole nanoseconds, None if that is not exact."""
    nanos = [_NONE if value is None else round(value * 1e9) for value in values]
    if max(nanos) > _MOST or any(v is not None and n / 1e9 != v for n, v in zip(nanos, values, strict=True)):
        return None
    return nanos


def _steps(name: str, numbers: Sequence[int]) -> array[int]:
    """The numbers, of growing fields their differences, with the sign as the lowest bit."""
    if name not in _GROWING:
        return array("q", numbers)
    return array("q", [(d << 1) ^ (d >> 63) for d in map(operator.sub, numbers, [0, *numbers])])


def _stepped(name: str, numbers: array[int]) -> Sequence[int]:
    if name not in _GROWING:
        return numbers.tolist()
    return list(accumulate((d >> 1) ^ -(d & 1) for d in numbers))


def _shuffled(numbers: array[int]) -> bytes:
    """The lowest bytes of all numbers, then their second ones, and so on."""
    if sys.byteorder == "big":
        numbers.byteswap()
    data = numbers.tobytes()
    return b"".join(data[place::_WIDTH] for place in range(_WIDTH))


def _unshuffled(data: bytes, count: int) -> array[int]:
    if len(data) != count * _WIDTH:
        raise ValueError("a column has another number of values")
    together = bytearray(len(data))
    for place in range(_WIDTH):
        together[place::_WIDTH] = data[place * count : (place + 1) * count]
    numbers = array("q")
    numbers.frombytes(bytes(together))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _arrivals(packed: _Packed, count: int, part: slice) -> tuple[list[list[int]], list[list[int]]]:
    """The arrivals of each request in a part of the chunk, and the tokens in each arrival."""
    counts = _unshuffled(packed.counts, count).tolist() if packed.counts else [0] * count
    total = sum(counts)
    if min(counts) < 0 or total > MAX_ARRIVALS:
        raise ValueError("a request has an impossible number of arrivals")
    start = sum(counts[: part.start])
    counts = counts[part]
    wanted = slice(start, start + sum(counts))
    gaps = _unshuffled(packed.arrivals, total)[wanted].tolist()
    tokens = _unshuffled(packed.tokens, total)[wanted].tolist()
    if min(gaps, default=0) < 0:
        raise ValueError("an arrival is before the one before it")
    if min(tokens, default=0) < 0 or max(tokens, default=0) > 2**53:
        raise ValueError("an arrival carried an impossible number of tokens")
    arrivals: list[list[int]] = []
    carried: list[list[int]] = []
    start = 0
    for each in counts:
        arrivals.append(list(accumulate(gaps[start : start + each])))
        carried.append(tokens[start : start + each])
        if each and arrivals[-1][-1] > MAX_NS:
            raise ValueError("an arrival is too late")
        start += each
    return arrivals, carried
