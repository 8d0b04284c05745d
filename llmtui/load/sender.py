"""Sends one request of a turn, and reports its sample."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx
import msgspec

from llmtui.load.course import Course
from llmtui.load.messages import Pulse, Slice
from llmtui.measure.answer import Answer
from llmtui.measure.failures import RETRY_LATER
from llmtui.measure.record import with_figures
from llmtui.measure.request import IterationError, ask
from llmtui.model import Failure, Iteration
from llmtui.wire import dialect_for
from llmtui.wire.base import Request

CUT_OFF = Failure(kind="stopped", message="the turn was stopped before the answer ended")


class Sender:
    """Sends the requests of one slice on one client. `report` gets each sample when its request has ended."""

    def __init__(
        self, of: Slice, client: httpx.AsyncClient, course: Course, report: Callable[[Iteration], None]
    ) -> None:
        self.course = course
        self._slice = of
        self._client = client
        self._report = report
        self._dialect = dialect_for(of.backend)
        self._began_ns = time.monotonic_ns()
        self._in_flight = 0
        self._finished = 0
        self._failed = 0
        self._tokens = 0

    @property
    def now_s(self) -> float:
        """The time since the turn began, in s."""
        return (time.monotonic_ns() - self._began_ns) / 1e9

    def pulse(self) -> Pulse:
        """Return how far the turn is."""
        return Pulse(
            share=self.course.share,
            elapsed_s=round(self.now_s, 3),
            sent=self.course.sent,
            in_flight=self._in_flight,
            finished=self._finished,
            failed=self._failed,
            counted=self.course.counted,
            tokens=self._tokens,
        )

    async def send(self, *, due_s: float | None = None, waited_s: float | None = None) -> None:
        """Send the next request of the turn and wait for its end. Raises only CancelledError, after reporting it.

        `due_s` is when it was to be sent (s since the turn began), and `waited_s` how long it waited for the cap.
        """
        began_s = self.now_s
        number, share = self.course.next(began_s)
        of = self._slice
        request = Request(
            method=of.method,
            url=of.url,
            headers=of.headers,
            body=of.template.of(number),
            max_tokens=of.max_tokens,
        )
        self._in_flight += 1
        in_flight = self._in_flight
        answer: Answer | None = None
        failure: Failure | None = None
        refused = False
        try:
            answer = await ask(
                self._client, request, self._dialect, timeout_s=of.config.timeout_s, on_tokens=self._on_tokens
            )
        except IterationError as error:
            failure = error.failure
            refused = error.status in RETRY_LATER
        except asyncio.CancelledError:
            failure = CUT_OFF
            raise
        finally:
            self._in_flight -= 1
            self._finished += answer is not None
            self._failed += failure is not None
            self.course.ended(share)
            written_s = (answer.written_ns - self._began_ns) / 1e9 if answer is not None else began_s
            sample = msgspec.structs.replace(
                of.base,
                request=number,
                share=share,
                written_s=written_s,
                due_s=due_s,
                waited_s=waited_s,
                in_flight=in_flight,
                error=failure,
                refused=int(refused),
            )
            if answer is not None:
                sample = with_figures(sample, answer)
            elif failure is not None and failure.kind in ("stopped", "timeout"):
                # How long it had been under way by then.
                sample = msgspec.structs.replace(sample, latency_s=self.now_s - began_s)
            self._report(sample)

    def _on_tokens(self, _: int) -> None:
        self._tokens += 1
