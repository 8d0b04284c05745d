"""Reads files from anybody into structs: bounded, and with errors that name the file, the line or the field."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from llmtui.model.errors import UsageError
from llmtui.text import sanitize
from llmtui.text.times import utc_text

_T = TypeVar("_T")
#: The largest file that is read.
MAX_BYTES = 512 * 1024 * 1024
#: The longest duration that is believed, in s, and the most tokens of an answer.
MAX_S = 1e7
MAX_TOKENS = 10**9
#: The most requests of all files together.
MAX_REQUESTS = 2_000_000
#: As many marks of requests may a file have outside them.
_OTHER_MARKS = 10_000
#: Of what no float, or no date, can hold.
TOO_LARGE = "a number in it is too large"
#: How deep a name may lie: AIPerf's models are {"items": [{"name": ...}]}.
_DEEP = 4
_NO_NUMBER = re.compile(rb"NaN|-?Infinity")
_MALFORMED_AT = re.compile(r"\(byte (\d+)\)")
_FIELD = re.compile(r" - at `(?:key in )?\$?\.?([^`]*)`")
_TYPE = re.compile(r"Expected `([^`]*)`(?:, got `([^`]*)`)?")
_TOO_LARGE = re.compile(r"Number out of range|Expected `(?:int|float)` <=")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "float | null": "a number or null",
    "int | null": "a whole number or null",
    "str": "a text",
    "str | null": "a text or null",
    "array": "a list",
    "array | null": "a list or null",
    "object": "an object",
    "object | null": "an object or null",
    "bool": "true or false",
    "null": "null",
}


class ImportRefused(UsageError):
    """A file cannot be imported. The message names it, and where it is wrong; it is one line, safe for a terminal."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(sanitize(f"{path}: {message}", 600))


def read_bytes(path: Path) -> bytes:
    """Return the content of a file. Raises ImportRefused, also if it is larger than `MAX_BYTES`."""
    try:
        if not path.is_file():
            raise ImportRefused(path, "is a folder; name a file in it" if path.is_dir() else "no such file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImportRefused(path, f"cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise ImportRefused(path, f"is larger than {MAX_BYTES >> 20} MiB")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ImportRefused(path, "is UTF-16, as PowerShell writes it; save it as UTF-8")
    if data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8) :]
    if not data.strip():
        raise ImportRefused(path, "is empty")
    return data


def check_size(path: Path, data: bytes, mark: bytes, times: int) -> None:
    """Raise ImportRefused for data with more than `MAX_REQUESTS` requests, each of which has `mark` at most this many
    times, before it takes many times as much memory as the file is long."""
    if data.count(mark) > times * MAX_REQUESTS + _OTHER_MARKS:
        raise ImportRefused(path, f"has more than {MAX_REQUESTS} requests")


def lines_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers. The rest of the data is not copied."""
    number = at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        end = end if end >= 0 else len(data)
        line, at, number = data[at:end].strip(), end + 1, number + 1
        if line:
            yield number, line


def decode(path: Path, data: bytes | msgspec.Raw, kind: type[_T], where: str = "") -> _T:
    """Read JSON as `kind`; `where` is what `data` is within the file. Raises ImportRefused: the line or the field."""
    try:
        return msgspec.json.decode(data, type=kind, strict=True)
    except msgspec.ValidationError as error:
        words = field_words(str(error))
        # `where` is a field itself if the whole of it is wrong.
        place = f"{where[:-1]}: " if where.endswith(".") and words.startswith("expected") else where
        raise ImportRefused(path, f"{place}{words}") from None
    except msgspec.DecodeError as error:
        in_line = where.startswith("line")
        raise ImportRefused(path, f"{where}{_syntax_words(bytes(data), str(error), in_line=in_line)}") from None
    except RecursionError:
        raise ImportRefused(path, f"{where}is nested too deeply") from None
    except UnicodeDecodeError:
        raise ImportRefused(path, f"{where}is not UTF-8") from None


def field_words(message: str) -> str:
    """A message of msgspec about a field, in plain words: "results[0].times[3]: expected a number, not a text"."""
    place = _FIELD.search(message)
    field = place[1] if place is not None else ""
    if (missing := _MISSING.search(message)) is not None:
        return f"{field + ': ' if field else ''}{missing[1]} is missing"
    found = _TYPE.search(message)
    field = field.replace("[...]", " of a field")
    words = message.split(" - at ")[0]
    if _TOO_LARGE.match(message):
        words = "a number is too large"
    elif found is not None:
        got = f", not {_WORDS.get(found[2], found[2])}" if found[2] else ""
        words = f"expected {_WORDS.get(found[1], found[1])}{got}"
    return f"{field}: {words}" if field else words


def _syntax_words(data: bytes, message: str, *, in_line: bool = False) -> str:
    """What is wrong with JSON, and where. `in_line`: it is one line of a file, which is named before."""
    place = _MALFORMED_AT.search(message)
    if "truncated" in message:
        return "is cut off: the JSON does not end"
    if place is None:
        return "is not JSON"
    before = data[: int(place[1])]
    line = before.count(b"\n") + 1
    column = len(before) - (before.rfind(b"\n") + 1) + 1
    at = f"column {column}" if in_line else f"line {line}, column {column}"
    word = _NO_NUMBER.match(data, int(place[1]))
    return f"{at}: {word[0].decode()} is not valid in JSON" if word else f"{at}: is not JSON"


def duration_s(path: Path, field: str, value: float | None, scale: float = 1.0) -> float | None:
    """A duration in s, which `scale` makes of `value`. Raises ImportRefused if it cannot be one."""
    if value is None:
        return None
    if not 0 <= value <= MAX_S / scale:
        raise ImportRefused(path, f"{field}: {_shown(value)} is not a duration")
    return value * scale


def tokens(path: Path, field: str, value: float | None) -> int | None:
    """A number of tokens. Raises ImportRefused if it cannot be one."""
    if value is None:
        return None
    if not 0 <= value <= MAX_TOKENS:
        raise ImportRefused(path, f"{field}: {_shown(value)} is not a number of tokens")
    return round(value)


def _shown(value: float) -> str:
    """A number in a few characters: a whole one may be larger than any float."""
    try:
        return f"{value:g}"
    except OverflowError:
        return "a number of more than 300 digits"


def utc(seconds: float | None) -> str:
    """An instant of the Unix clock as ISO 8601; "" if it is unknown, or not in this millennium."""
    if seconds is None or not 9.4e8 <= seconds <= 3.2e10:
        return ""
    return utc_text(datetime.fromtimestamp(seconds, UTC))


def local_time(text: object, form: str = "") -> datetime | None:
    """The time that a text means, as if it was UTC where it has no zone; None if it is none. `form` is that of
    strptime, "" for ISO 8601."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.strptime(text, form) if form else datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def find(document: Any, key: str, depth: int = 6) -> Any:
    """Return the first value of `key` in nested objects, the outermost first; None if there is none."""
    level = [document]
    for _ in range(depth):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                if each.get(key) not in (None, "", [], {}):
                    return each[key]
                below += each.values()
            elif isinstance(each, list):
                below += each[:100]
        level = below[:1_000]
    return None


def name_in(value: Any, limit: int = 120) -> str:
    """`value` as a short safe text: a text, or the first one in lists and in objects (their `name`, if they have one);
    "" for anything else."""
    for _ in range(_DEEP):
        if isinstance(value, dict):
            value = value.get("name") or next(iter(value.values()), "")
        elif isinstance(value, list):
            value = value[0] if value else ""
    return sanitize(value, limit) if isinstance(value, str) else ""
