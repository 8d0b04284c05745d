"""`[load]` and its options: checks, and the levels as numbers."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llmtui.config.errors import ConfigError, show
from llmtui.config.places import Option, Place
from llmtui.model import Load

#: The most streams of a level.
MAX_STREAMS = 10_000
_RANGE = re.compile(r"([0-9]{1,6})\.\.([0-9]{1,6})")
#: Options of the command line that belong to [load].
OPTIONS = (
    "concurrency",
    "request_rate",
    "arrival",
    "burstiness",
    "max_concurrency",
    "requests",
    "duration_s",
)


def check_load(load: Load, place: Place | Option) -> Load:
    """Return `load` with its levels as lists of numbers. Raises ConfigError; `place` is that of [load]."""
    rates = load.request_rate if isinstance(load.request_rate, list) else [load.request_rate]
    return msgspec.structs.replace(load, concurrency=_streams(load.concurrency, place), request_rate=rates)


def load_changes(load: Load, given: dict[str, Any], option: Option) -> Load:
    """Take the options of [load] out of `given`, and return `load` with them. Raises ConfigError."""
    changes = {key: given.pop(key) for key in OPTIONS if key in given}
    return check_load(msgspec.structs.replace(load, **changes), option) if changes else load


def _streams(value: int | str | list[int], place: Place | Option) -> list[int]:
    listed = _listed(value, place) if isinstance(value, str) else value
    counts = listed if isinstance(listed, list) else [listed]
    for count in counts:
        if not 1 <= count <= MAX_STREAMS:
            raise ConfigError(f"{place.key('concurrency')}: expected 1 to {MAX_STREAMS} streams, got {show(count)}")
    return counts


def _listed(text: str, place: Place | Option) -> list[int]:
    """The numbers in "1,4,16" or "1..64", where each level has twice the streams of the one before."""
    if (ends := _RANGE.fullmatch(text.strip())) is not None:
        first, last = int(ends[1]), int(ends[2])
        counts = []
        while 0 < first <= last:
            counts.append(first)
            first *= 2
        return counts
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"{place.key('concurrency')}: expected numbers such as 1,4,16 or 1..64, got {show(text)}")
    return [int(part) for part in parts]
