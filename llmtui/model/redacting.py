"""Redaction of structs: the fields with text from outside, which may repeat what a server was sent.

A text in an event has the type `Outside` or `Own`. Names, states and numbers are never changed, whatever a key is.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, TypeVar, get_args

import msgspec

from llmtui.model.base import Outside
from llmtui.text import Redactor, encodable

T = TypeVar("T", bound=msgspec.Struct)


def redacted(struct: T, redact: Redactor) -> T:
    """Return `struct` with its text from outside redacted and encodable in UTF-8."""
    changes = {name: clean for name, clean in _cleaned(struct, redact) if clean is not getattr(struct, name)}
    return msgspec.structs.replace(struct, **changes) if changes else struct


def _cleaned(struct: msgspec.Struct, redact: Redactor) -> Iterator[tuple[str, Any]]:
    for name in outside_fields(type(struct)):
        yield name, _clean(getattr(struct, name), redact)


@functools.cache
def outside_fields(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the names of the fields of `kind` that are, or contain, text from outside."""
    return tuple(field.name for field in msgspec.structs.fields(kind) if _has_outside(field.type))


def _has_outside(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return bool(outside_fields(kind))
    return kind == Outside or any(_has_outside(part) for part in get_args(kind))


def _clean(value: Any, redact: Redactor) -> Any:
    """Return the value of a field redacted; the same object if that changes nothing."""
    if isinstance(value, str):
        clean = encodable(redact(value))
        return value if clean == value else clean
    if isinstance(value, msgspec.Struct):
        return redacted(value, redact)
    if isinstance(value, list):
        items = [_clean(item, redact) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value
