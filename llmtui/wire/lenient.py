"""Decodes JSON as leniently as most clients do.

msgspec's typed decoding is tried first. What it refuses and Python's `json` accepts is repaired: NaN and Infinity
become null, halves of a surrogate pair and invalid UTF-8 become U+FFFD.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from llmtui.wire.base import WireError
from llmtui.wire.errors import excerpt

T = TypeVar("T")

#: A longer text is not repaired: the slower decoder takes tens of milliseconds for it.
MAX_REPAIR_BYTES = 1024 * 1024
#: Longer integers are read as floats, since Python refuses very long ones.
_INT_DIGITS = 18
#: White space between values, and what separates them in RFC 7464, in old vLLM servers and in lists.
_BETWEEN = " \t\r\n\x0b\x0c\x00\x1e,"
_DONE = "[DONE]"

#: What a server may send in place of an object. It is ignored.
Other = str | int | float | bool | list[Any] | None


class MalformedError(WireError):
    """The data is not a JSON object."""


class TruncatedError(MalformedError):
    """The data is the beginning of a JSON object."""


class SeveralError(MalformedError):
    """The data is a list, or more follows the JSON object."""


#: What a decoder raises for data that it refuses.
REFUSED = (msgspec.DecodeError, UnicodeError, RecursionError)


def decode(decoder: Callable[[bytes], T], data: bytes, torn: bool) -> T:
    """Decode one JSON object. Raises MalformedError with the reason and an excerpt.

    `torn` is set if the answer ended right after `data`.
    """
    try:
        return decoder(data)
    except REFUSED as error:
        return decode_refused(decoder, data, torn, error)


def decode_refused(decoder: Callable[[bytes], T], data: bytes, torn: bool, reason: Exception) -> T:
    """Decode an object that `decoder` refused for this reason."""
    try:
        return decoder(_repaired(data))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _malformed(data, torn, reason, error) from reason


def _malformed(data: bytes, torn: bool, reason: Exception, second: Exception) -> MalformedError:
    words = str(reason)
    if data.lstrip()[:1] == b"[" and not isinstance(second, json.JSONDecodeError):
        return SeveralError(f"the answer is a list: {excerpt(data)}")
    if "trailing characters" in words or (isinstance(second, json.JSONDecodeError) and second.msg == "Extra data"):
        return SeveralError(f"cannot parse the answer ({words}): {excerpt(data)}")
    ends_early = "truncated" in words or (isinstance(second, json.JSONDecodeError) and _at_end(second))
    if torn:
        return TruncatedError(f"the answer ended in the middle of an event: {excerpt(data)}")
    error = TruncatedError if ends_early else MalformedError
    return error(f"cannot parse the answer ({words}): {excerpt(data)}")


def _at_end(error: json.JSONDecodeError) -> bool:
    return error.msg.startswith("Unterminated string") or error.pos >= len(error.doc.rstrip())


def _repaired(data: bytes) -> bytes:
    """Return `data` as JSON that msgspec accepts. Raises ValueError or RecursionError if it is not JSON."""
    if len(data) > MAX_REPAIR_BYTES:
        raise ValueError("too long to repair")
    value = json.loads(
        data.decode("utf-8", "replace"),
        strict=False,
        parse_constant=lambda name: None,
        parse_float=_finite,
        parse_int=lambda digits: int(digits) if len(digits) <= _INT_DIGITS else _finite(digits),
    )
    text = json.dumps(value, ensure_ascii=False)
    # UTF-16 joins the halves of a pair; a half that is alone becomes U+FFFD.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None


_scan = json.JSONDecoder(strict=False, parse_float=str, parse_int=str).raw_decode


def split_values(data: bytes) -> tuple[list[bytes], bytes]:
    """Split JSON objects and lists that follow each other, with or without `data:` before them; return the rest too.

    `[DONE]` is a value of its own. Linear in the length of `data`.
    """
    text = data.decode("latin-1")  # one character for each byte
    values = []
    at = 0
    while True:
        while at < len(text) and text[at] in _BETWEEN:
            at += 1
        if text.startswith("data:", at):
            at += 5
        elif text.startswith(_DONE, at):
            values.append(_DONE.encode())
            at += len(_DONE)
        elif text[at : at + 1] in ("{", "["):
            try:
                _, end = _scan(text, at)
            except (ValueError, RecursionError):
                break
            values.append(data[at:end])
            at = end
        else:
            break
    return values, data[at:]


def elements(data: bytes) -> list[bytes]:
    """Return the elements of a JSON list; an empty one for anything else."""
    try:
        return [bytes(raw) for raw in msgspec.json.decode(data, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return []


def json_string(data: bytes) -> bytes:
    """Return the text of a JSON string; b"" for anything else."""
    try:
        return msgspec.json.decode(data, type=str).strip().encode()
    except (msgspec.DecodeError, UnicodeError):
        return b""
