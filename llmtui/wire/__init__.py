"""How each framework speaks HTTP: what to send, and how to read what comes back. Pure: bytes in, deltas out; no clock, no I/O."""

from __future__ import annotations
