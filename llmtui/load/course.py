"""The course of a turn: which of its requests settle the server, which are in the window, and which follow it."""

from __future__ import annotations

from collections.abc import Callable

from llmtui.load.dealing import Deal
from llmtui.model import Share


class Course:
    """Numbers the requests of a turn from 1 on as they are sent, and says when no more are needed.

    The first `settle` settle the server. Then come those of the window: it ends after `requests`, or after
    `duration_s`, whatever is first (0: no such limit). Others follow so that the load stays the same, until the last
    request of the window has ended. Times are in s since the turn began.

    One of several workers has only the numbers of its `deal`. It goes on after that until `release`: the others may
    not be as far. `on_window_over` is called once it has all its answers of the window.
    """

    def __init__(
        self,
        settle: int,
        requests: int,
        duration_s: float,
        deal: Deal | None = None,
        on_window_over: Callable[[], None] | None = None,
    ) -> None:
        self._settle = settle
        self._requests = requests
        self._duration_s = duration_s
        self._deal = deal or Deal()
        self._held = self._deal.workers > 1
        self._on_window_over = on_window_over
        self.sent = 0
        #: The number of the next request.
        self.upcoming = self._deal.after(0)
        self.window_from_s: float | None = None
        self.window_to_s: float | None = None
        #: The window of all workers where the schedule says it: from when on, and until when.
        self.due_from_s: float | None = None
        self.due_to_s: float | None = None
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
        return self.halted or (self._window_over and not self._held)

    @property
    def _window_over(self) -> bool:
        return self.window_to_s is not None and self.counted >= self.counted_sent

    @property
    def due_to_end_s(self) -> float | None:
        """When the window ends by its duration; None if it has not begun, has ended, or has none."""
        if self.window_from_s is None or self.window_to_s is not None or not self._duration_s:
            return None
        return self.window_from_s + self._duration_s

    def of_schedule(self, number: int, due_s: float) -> None:
        """Note when a request of any worker is due, in ascending order: the window is then the same for all."""
        if number == self._settle + 1:
            self.due_from_s = due_s
        elif self._requests and number == self._settle + self._requests + 1:
            self.due_to_s = due_s

    def tick(self, now_s: float) -> bool:
        """End the window here if its duration is over. Return whether more requests are needed."""
        if self.window_from_s is None and self.due_from_s is not None and now_s >= self.due_from_s:
            self.window_from_s = self.due_from_s
        due_s = self.due_to_end_s
        if due_s is not None and now_s >= due_s:
            self.window_to_s = due_s
        self._report()
        return not self.over

    def more(self, now_s: float) -> bool:
        """Return whether another request is needed, to be sent right now. The window ends here if it has all of its
        requests: it lasts until the first one that does not count."""
        self.tick(now_s)
        if self._requests and self.upcoming > self._settle + self._requests and self.window_to_s is None:
            if self.window_from_s is None:  # none of its requests is this worker's
                self.window_from_s = now_s
            self.window_to_s = self.due_to_s if self.due_to_s is not None else now_s
            self._report()
        return not self.over

    def next(self, now_s: float) -> tuple[int, Share]:
        """Return the number and the share of the request that is sent now, after `more`."""
        number, self.upcoming = self.upcoming, self._deal.after(self.upcoming)
        self.sent += 1
        if number <= self._settle:
            return number, "settling"
        if self.window_from_s is None:
            self.window_from_s = now_s
        share = self.share
        self.counted_sent += share == "window"
        return number, share

    def ended(self, share: Share) -> None:
        """A request ended, whether it succeeded or not."""
        self.counted += share == "window"
        self._report()

    def release(self) -> None:
        """All workers have their answers of the window: no more requests are needed."""
        self._held = False

    def halt(self, now_s: float) -> None:
        """Send nothing more."""
        self.halted = True
        if self.window_from_s is not None and self.window_to_s is None:
            self.window_to_s = now_s

    def _report(self) -> None:
        if self._on_window_over is not None and self._window_over:
            report, self._on_window_over = self._on_window_over, None
            report()
