"""Checks of single values in a history, which may come from an untrusted source: type, length, range.

Every function returns the value or raises ValueError. The messages do not quote the value.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from llmtui.model import is_run_id

S = TypeVar("S", bound=msgspec.Struct)

#: The longest text inside a JSON document. A prompt may be as long as a config file.
MAX_TEXT = 2_000_000
MAX_DEPTH = 64
MAX_VALUES = 200_000
MAX_PID = 2**31 - 1
_MAX_INTEGER = 2**63 - 1
#: The largest integer in a JSON document. A seed in a backend's options may be as large.
MAX_UNSIGNED = 2**64 - 1
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|\+00:00)")
#: Possessive quantifiers: no input causes backtracking.
_JSON_TEXT = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")


def text(value: object, what: str, most: int) -> str:
    """A text of at most `most` characters that can be encoded as UTF-8."""
    if not isinstance(value, str):
        raise ValueError(f"{what} is not a text")
    if len(value) > most:
        raise ValueError(f"{what} is longer than {most} characters")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{what} is not UTF-8") from None
    return value


def whole(value: object, what: str, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{what} is not a whole number from {least} to {most}")
    return value


def number(value: object, what: str, least: float, most: float) -> float:
    """A finite number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"{what} is not a number from {least:g} to {most:g}")
    return value


def instant(value: object, what: str) -> str:
    """A time as llmtui writes it: ISO 8601, UTC."""
    if isinstance(value, str) and len(value) <= 40 and _INSTANT.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return value
    raise ValueError(f"{what} is not a time in UTC, such as 2026-11-22T15:00:00.000Z")


def run_id(value: object) -> str:
    """The id of a run."""
    if not isinstance(value, str) or not is_run_id(value):
        raise ValueError("the id of the run is not eight hex digits")
    return value


def document(value: object, what: str, most: int) -> dict[str, Any]:
    """The object in a JSON text of at most `most` characters, nested at most `MAX_DEPTH` deep."""
    raw = text(value, what, most)
    opened = raw.count("[") + raw.count("{")
    if opened > MAX_DEPTH:
        _check_depth(raw, what)
    # Each value takes many times its length once decoded. Commas and brackets inside strings do not count.
    if opened + raw.count(",") > MAX_VALUES:
        structure = _JSON_TEXT.sub("", raw)
        if structure.count("[") + structure.count("{") + structure.count(",") > MAX_VALUES:
            raise ValueError(f"{what} has more than {MAX_VALUES} values")
    try:
        decoded = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ValueError(f"{what} is not JSON") from None
    if not isinstance(decoded, dict):
        raise ValueError(f"{what} is not a JSON object")
    _check_values(decoded, what)
    return decoded


def struct(data: dict[str, Any], kind: type[S], what: str) -> S:
    """`data` as a struct of `kind`."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        # msgspec's message quotes the value.
        field = str(error).rpartition(" - at `$")[2].rstrip("`").lstrip(".")
        raise ValueError(f"{what} is not as llmtui writes it: {field or 'a field'}") from None


def _check_depth(raw: str, what: str) -> None:
    depth = 0
    for bracket in _NO_BRACKET.sub("", _JSON_TEXT.sub("", raw)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"{what} is nested more than {MAX_DEPTH} deep")


def _check_values(value: Any, what: str) -> None:
    """Refuse infinite numbers, integers of more than 64 bits, and very long texts."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise ValueError(f"{what} contains a text of more than {MAX_TEXT} characters")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_values(key, what)
            _check_values(inner, what)
    elif isinstance(value, list):
        for inner in value:
            _check_values(inner, what)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{what} contains a number that is not finite")
    elif isinstance(value, int) and not -_MAX_INTEGER <= value <= MAX_UNSIGNED:
        raise ValueError(f"{what} contains a whole number of more than 64 bits")
