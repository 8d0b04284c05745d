"""The base of all structs, which are frozen and encoded as JSON."""

from __future__ import annotations

import msgspec


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all structs: immutable, keyword-only, without default values in JSON."""
