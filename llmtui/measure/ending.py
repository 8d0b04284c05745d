"""When an answer has ended: with its body, or earlier if the server says all and keeps the connection open.

Some servers and gateways send no end of the body, or pings after it. Waiting for more would time out an answer that is
complete, so nothing is waited for that adds nothing to it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

from llmtui.measure.answer import Answer
from llmtui.wire.base import Parser

#: How long the body may take to end after the server said that nothing follows. If it does, its connection is reused.
GRACE_S = 0.05
#: How long nothing new may arrive after the finish reason, or after a whole document, until the answer has ended.
SILENCE_S = 1.0
#: How long before the timeout an answer that has its finish reason ends at the latest.
MARGIN_S = 0.01


class Ending:
    """Calls `stop` once when all of `answer` has arrived though its body has not ended, at `deadline_s` at the latest.

    `said_ns` is when the newest news arrived (0: none): output, a finish reason, a count, the end, or more of a
    document. Comments, pings, repetitions and blanks do not count.
    """

    def __init__(self, answer: Answer, parser: Parser, stop: Callable[[], None], deadline_s: float | None) -> None:
        self.said_ns = 0
        self._answer = answer
        self._parser = parser
        self._stop = stop
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._over = False
        self._figures: tuple[object, ...] = ()
        #: Output followed a finish reason, so that the next one proves little: some gateways repeat it in every event.
        self._doubtful = False

    def heard(self, arrived_ns: int, carried: bool, data: bytes) -> None:
        """Call this for each arrival without output, and for each one from the finish reason on."""
        if self._over:
            return
        if self._parser.whole:
            if not data.isspace():
                self.said_ns = arrived_ns
                self._wait(SILENCE_S)
        elif self._parser.ended:
            self._over = True
            self.said_ns = arrived_ns
            self.close()
            self._timer = self._loop.call_later(GRACE_S, self._stop)
        elif self._answer.finish_reason is not None:
            answer = self._answer
            self._doubtful = self._doubtful or (carried and bool(self._figures))
            figures = (answer.finish_reason, answer.output_tokens, answer.prompt_tokens, answer.cached_tokens)
            if carried or figures != self._figures:
                self._figures = figures
                self.said_ns = arrived_ns
            self._wait(SILENCE_S)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing in what has arrived, so that a broken end of the body does not matter."""
        if self._parser.ended:
            return True
        return not self._parser.whole and self._answer.finish_reason is not None and not self._doubtful

    def close(self) -> None:
        """Stop waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, for_s: float) -> None:
        if self._timer is None and not self._doubtful:
            if self._deadline_s is not None:
                for_s = min(for_s, max(0.0, self._deadline_s - self._loop.time() - MARGIN_S))
            self._timer = self._loop.call_later(for_s, self._check)

    def _check(self) -> None:
        """After a silence: end the answer, or wait for the rest of it."""
        self._timer = None
        late = self._deadline_s is not None and self._loop.time() >= self._deadline_s - 2 * MARGIN_S
        left_s = self._patience_s() - (time.monotonic_ns() - self.said_ns) / 1e9
        if left_s > 0 and not late:
            self._wait(left_s)
        elif self.complete:
            self._over = True
            self._stop()
        elif not late:
            self._wait(SILENCE_S)

    def _patience_s(self) -> float:
        """Return how long to wait (s): as long as the answer paused before, since a finish reason may come early."""
        arrivals = self._answer.arrivals_ns
        gaps = [b - a for a, b in itertools.pairwise(arrivals)] or arrivals
        return max(SILENCE_S, max(gaps, default=0) / 1e9)
