"""How often the screen may follow the engine: at once after a rest, then at most once an interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Later = Callable[[float, Callable[[], Any]], Any]


class Throttle:
    """Runs `action` because something changed, never because a clock ticked.

    The first request after a rest runs at once; those that follow within `interval_s` run together at its end.
    """

    def __init__(self, interval_s: float, action: Callable[[], None], later: Later, now: Callable[[], float]) -> None:
        self._interval_s = interval_s
        self._action = action
        self._later = later
        self._now = now
        self._last = float("-inf")
        self._pending = False

    def request(self) -> None:
        """Something changed."""
        if self._pending:
            return
        wait = self._last + self._interval_s - self._now()
        if wait <= 0:
            self._run()
        else:
            self._pending = True
            self._later(wait, self._due)

    def _due(self) -> None:
        self._pending = False
        self._run()

    def _run(self) -> None:
        self._last = self._now()
        self._action()
