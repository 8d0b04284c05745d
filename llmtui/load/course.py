"""The course of a turn: which of its requests settle the server, which are in the window, and which follow it."""

from __future__ import annotations

from llmtui.model import Share


class Course:
    """Numbers the requests of a turn from 1 on as they are sent, and says when no more are needed.

    The first `settle` settle the server. Then come those of the window: `requests`, or all within `duration_s`. Others
    follow so that the load stays the same, until the last request of the window has ended. Times are in s since the
    turn began.
    """

    def __init__(self, settle: int, requests: int, duration_s: float) -> None:
        self._settle = settle
        self._requests = requests
        self._duration_s = duration_s
        self.sent = 0
        self.window_from_s: float | None = None
        self.window_to_s: float | None = None
        #: Requests of the window, sent and ended.
        self.counted_sent = 0
        self.counted = 0
        self.halted = False

    @property
    def share(self) -> Share:
        """Where in the turn the next request is sent."""
        if self.window_from_s is None:
            return "settling"
        return "window" if self.window_to_s is None else "tail"

    def more(self, now_s: float) -> bool:
        """Whether another request is to be sent now. The window ends here once it has all its requests."""
        if self.window_from_s is not None and self.window_to_s is None and self._is_full(now_s):
            self.window_to_s = now_s
        return not self.halted and (self.window_to_s is None or self.counted < self.counted_sent)

    def next(self, now_s: float) -> tuple[int, Share]:
        """Return the number and the share of the request that is sent now, after `more`."""
        self.sent += 1
        if self.window_from_s is None and self.sent > self._settle:
            self.window_from_s = now_s
        share = self.share
        self.counted_sent += share == "window"
        return self.sent, share

    def ended(self, share: Share) -> None:
        """A request ended, whether it succeeded or not."""
        self.counted += share == "window"

    def halt(self, now_s: float) -> None:
        """Send nothing more."""
        self.halted = True
        if self.window_from_s is not None and self.window_to_s is None:
            self.window_to_s = now_s

    def _is_full(self, now_s: float) -> bool:
        assert self.window_from_s is not None
        if self._requests:
            return self.counted_sent >= self._requests
        return now_s - self.window_from_s >= self._duration_s
