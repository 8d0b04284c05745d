"""How each framework speaks HTTP: what to ask, how to read the answer. Pure: bytes in, deltas out; no clock, no I/O."""

from __future__ import annotations
