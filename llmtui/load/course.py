"""The course of a turn: which of its requests settle the server, which are in the window, and which follow it."""

from __future__ import annotations

from llmtui.model import Share


class Course:
    """Numbers the requests of a turn from 1 on as they are sent, and says when no more are needed.

    The first `settle` settle the server. Then come those of the window: it ends after `requests`, or after
    `duration_s`, whatever is first (0: no such limit). Others follow so that the load stays the same, until the last
    request of the window has ended. Times are in s since the turn began.
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

    @property
    def over(self) -> bool:
        """Whether no more requests are to be sent: the window has ended, and so have all its requests."""
        return self.halted or (self.window_to_s is not None and self.counted >= self.counted_sent)

    @property
    def due_to_end_s(self) -> float | None:
        """When the window ends by its duration; None if it has not begun, has ended, or has none."""
        if self.window_from_s is None or self.window_to_s is not None or not self._duration_s:
            return None
        return self.window_from_s + self._duration_s

    def tick(self, now_s: float) -> bool:
        """End the window here if its duration is over. Return whether more requests are needed."""
        due_s = self.due_to_end_s
        if due_s is not None and now_s >= due_s:
            self.window_to_s = due_s
        return not self.over

    def more(self, now_s: float) -> bool:
        """Return whether another request is needed, to be sent right now. The window ends here if it has all of its
        requests: it lasts until the first one that does not count."""
        self.tick(now_s)
        if self.share == "window" and self._requests and self.counted_sent >= self._requests:
            self.window_to_s = now_s
        return not self.over

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
