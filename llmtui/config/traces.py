"""The send times of a trace: a file of requests of which each has its time, and how much of it a turn takes.

Told apart by their fields: JSON Lines with `timestamp` (Mooncake: ms, or a date) or `delay` (ms after the line before),
CSV with `Timestamp` (BurstGPT: s) or `TIMESTAMP` (Azure: a date).
"""

from __future__ import annotations

import bisect
import csv
import functools
import io
import itertools
import math
import os
import zlib
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from llmtui.config.errors import ConfigError
from llmtui.model import Load, TraceTurn
from llmtui.text.format import plural

#: A turn this long, in s, is asked back unless its length was written, ...
LONG_S = 3600.0
#: ... with the scale that makes it about this long.
_PROPOSED_S = 900.0
#: The part of a turn that settles the server.
_SETTLES = 8
_MAX_RATE = 10_000.0
_HOUR_S = 3600


class _Line(msgspec.Struct):
    timestamp: float | str | None = None
    delay: float | None = None


_decode = msgspec.json.Decoder(_Line).decode


def send_times(path: str) -> array[float]:
    """Return the times of all requests of a trace, in s since the first one. Raises ConfigError."""
    try:
        stat = os.stat(path)
        return _times(path, stat.st_mtime_ns, stat.st_size)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None


def checksum(times: array[float]) -> int:
    """Return a number that differs if any time differs."""
    return zlib.crc32(times.tobytes())


def with_trace(load: Load) -> Load:
    """Return a checked load with what a turn takes of its trace, if it has one. Raises ConfigError."""
    if not load.trace:
        return load
    return msgspec.structs.replace(load, trace_turn=_turn(load, send_times(load.trace)))


def lasting(seconds: float) -> str:
    """Return a length in words: "23 h 58 min", "12 min 30 s", "40 s"."""
    whole = max(1, round(seconds))
    if whole >= _HOUR_S:
        minutes = round(whole / 60)
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole} s"


def gap_words(gap_s: float, from_s: float) -> str:
    """Return how long no request is due, and since when: "12 min after the first 40 s"."""
    after = f"first {lasting(from_s)}" if from_s >= 1 else "first request"
    return f"{lasting(gap_s)} after the {after}"


@functools.lru_cache(maxsize=2)
def _times(path: str, _changed_ns: int, _size: int) -> array[float]:
    with open(path, "rb") as file:
        head = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        file.seek(0)
        if head == b"[":
            raise ConfigError(f"{path}: begins with [, as a JSON array does; write one request a line")
        found = _of_json(path, file) if head == b"{" else _of_csv(path, file)
        times = _checked(path, found)
    if len(times) < 2:
        raise ConfigError(f"{path}: has {plural(len(times), 'request')}; a trace needs at least 2")
    first = times[0]
    times = array("d", (at - first for at in times))
    if not times[-1]:
        raise ConfigError(f"{path}: all its requests are due at the same time; use a concurrency instead")
    return times


def _checked(path: str, found: Iterator[tuple[int, float]]) -> array[float]:
    """Return the times. Raises ConfigError for one that is negative, or before the one above it."""
    times = array("d")
    for line, at_s in found:
        if not math.isfinite(at_s) or at_s < 0:
            raise ConfigError(f"{path}:{line}: its time is {at_s:g} s; expected 0 or more")
        if times and at_s < times[-1]:
            raise ConfigError(
                f"{path}:{line}: its time is {times[-1] - at_s:.3f} s before that of the request above it; sort the "
                "file by time"
            )
        times.append(at_s)
    return times


def _of_json(path: str, file: io.BufferedReader) -> Iterator[tuple[int, float]]:
    at_s = 0.0
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            of = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}:{number}: expected a JSON object with a timestamp: {error}") from None
        if isinstance(of.timestamp, str):
            at_s = _date_s(of.timestamp, path, number)
        elif of.timestamp is not None:
            at_s = of.timestamp / 1e3
        elif of.delay is not None:
            if of.delay < 0:
                raise ConfigError(f"{path}:{number}: its delay is {of.delay:g} ms; expected 0 or more")
            at_s += of.delay / 1e3
        elif at_s or number > 1:
            raise ConfigError(f"{path}:{number}: has no timestamp and no delay, so it is not known when it is due")
        yield number, at_s


def _of_csv(path: str, file: io.BufferedReader) -> Iterator[tuple[int, float]]:
    rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""))
    heads = [name.strip().lower() for name in next(rows, [])]
    if not heads:
        raise ConfigError(f"{path}: the file is empty")
    if "timestamp" not in heads:
        raise ConfigError(
            f"{path}: no send times: expected JSON Lines with timestamp or delay, or CSV with a column Timestamp"
        )
    column = heads.index("timestamp")
    for row in rows:
        if not any(row):
            continue
        text = row[column].strip() if column < len(row) else ""
        try:
            yield rows.line_num, float(text)
        except ValueError:
            yield rows.line_num, _date_s(text, path, rows.line_num)


def _date_s(text: str, path: str, line: int) -> float:
    """The seconds of a date such as 2023-11-16 18:15:46.6805900."""
    whole, dot, part = text.strip().removesuffix("Z").partition(".")
    try:
        at = datetime.fromisoformat(whole)
        fraction = float(f"0.{part}") if dot else 0.0
    except ValueError:
        raise ConfigError(
            f"{path}:{line}: {text[:40]!r} is not a time; expected a number, or a date and a time"
        ) from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() + fraction


def _turn(load: Load, times: array[float]) -> TraceTurn:
    """What a turn takes of these times: an eighth settles the server unless `settle` says how many requests do."""
    scale, count = load.time_scale, len(times)
    # The last request has as much time as the others have on average.
    end_s = times[-1] * count / (count - 1)
    if count / (end_s / scale) > _MAX_RATE:
        raise ConfigError(
            f"{load.trace}: {plural(count, 'request')} in {end_s / scale:.3g} s are more than {_MAX_RATE:.0f} per "
            "second; a timestamp of JSON Lines is in ms: if these are in s, set time_scale to 0.001"
        )
    if load.duration_s:
        taken = bisect.bisect_left(times, load.duration_s * scale)
        settle = _settle(load, math.ceil(taken / (_SETTLES - 1)), count)
        to_s = min(end_s, times[settle] + load.duration_s * scale)
        requests = bisect.bisect_left(times, to_s) - settle
    elif load.requests:
        settle = _settle(load, math.ceil(load.requests / (_SETTLES - 1)), count)
        requests = min(load.requests, count - settle)
        to_s = times[settle + requests] if settle + requests < count else end_s
    else:
        settle = _settle(load, math.ceil(count / _SETTLES), count)
        requests, to_s = count - settle, end_s
        if times[-1] / scale > LONG_S:
            raise ConfigError(_too_long(load, times, end_s))
    window_s = (to_s - times[settle]) / scale
    if window_s <= 0:
        raise ConfigError(
            f"{load.trace}: the {plural(requests, 'request')} after the first {settle} are due at one time; take more "
            "of the trace"
        )
    gap_s, gap_from_s = _longest_gap(times[: settle + requests])
    return TraceTurn(
        settle=settle,
        requests=requests,
        window_s=window_s,
        settle_s=times[settle] / scale,
        gap_s=gap_s / scale,
        gap_from_s=gap_from_s / scale,
        all_requests=count,
        length_s=end_s,
        checksum=checksum(times),
    )


def _settle(load: Load, usual: int, count: int) -> int:
    settle = usual if load.settle == "auto" else load.settle
    if settle >= count:
        raise ConfigError(
            f"{load.trace}: has {plural(count, 'request')}, and settle takes {settle} of them: none is left to count"
        )
    return settle


def _too_long(load: Load, times: array[float], end_s: float) -> str:
    scale = _round_up(end_s / _PROPOSED_S)
    gap_s, gap_from_s = _longest_gap(times)
    gap = ""
    if gap_s / load.time_scale > _HOUR_S:
        gap = f", and none is due for {gap_words(gap_s / load.time_scale, gap_from_s / load.time_scale)}"
    at_scale = f" at time_scale = {load.time_scale:g}" if load.time_scale != 1 else ""
    return (
        f"{load.trace}: its last request is due {lasting(times[-1] / load.time_scale)} after the first one{at_scale}"
        f"{gap}; set time_scale = {scale:g} (--time-scale {scale:g}) for turns of {lasting(end_s / scale)}, or "
        "--duration SECONDS for its first part"
    )


def _round_up(scale: float) -> float:
    """Two digits."""
    unit = 10.0 ** (math.floor(math.log10(scale)) - 1)
    return math.ceil(round(scale / unit, 6)) * unit


def _longest_gap(times: array[float]) -> tuple[float, float]:
    """The longest gap, and when it begins."""
    pairs: Any = itertools.pairwise(times)
    return max(((b - a, a) for a, b in pairs), default=(0.0, 0.0))
