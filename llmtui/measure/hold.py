"""A request that is to be written at an instant: it gets its connection before, and waits for the instant there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

#: What the requests of the running task await right before they are written; None: they are written at once.
before_write: ContextVar[Callable[[], Awaitable[None]] | None] = ContextVar("before_write", default=None)
