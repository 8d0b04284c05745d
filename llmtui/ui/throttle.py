"""Limits how often the screen is redrawn: immediately after a pause, then at most once per interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Later = Callable[[float, Callable[[], Any]], Any]


class Throttle:
    """Runs `action` on request, at most once per interval.

    The first request after a pause runs it immediately. Requests within `interval_s` of the last run are combined
    into one at the end of the interval.
    """

    def __init__(self, interval_s: float, action: Callable[[], None], later: Later, now: Callable[[], float]) -> None:
        self._interval_s = interval_s
        self._action = action
        self._later = later
        self._now = now
        self._last = float("-inf")
        self._pending = False

    def request(self) -> None:
        """Run the action now or at the end of the interval."""
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
