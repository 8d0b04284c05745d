"""The base of every noun: frozen structs that travel as JSON."""

from __future__ import annotations

import msgspec


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every noun: immutable, keyword-only, small on the wire."""
