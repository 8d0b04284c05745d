"""The probe: requests of one token beside the load, which show what a short request of somebody else waits for.

They have connections of their own, are not under any cap, and count in no figure of the load.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from llmtui.load.messages import Slice
from llmtui.load.sender import CUT_OFF, Sender
from llmtui.measure.answer import Answer
from llmtui.measure.failures import RETRY_LATER
from llmtui.measure.record import with_figures
from llmtui.measure.request import IterationError, ask
from llmtui.measure.transport import Admit, new_client
from llmtui.model import Failure, Iteration
from llmtui.wire import dialect_for
from llmtui.wire.base import Request


class Prober:
    """Probes the server while the window of a slice lasts. The gaps are random, so that no rhythm of the load is met
    each time: the same ones for all backends of a round."""

    def __init__(self, of: Slice, sender: Sender, admit: Admit, report: Callable[[Iteration], None]) -> None:
        self._slice = of
        self._sender = sender
        self._client = new_client(of.url, connect_timeout_s=of.config.connect_timeout_s, admit=admit)
        self._report = report
        self._dialect = dialect_for(of.backend)
        self._asking = set[asyncio.Task[None]]()

    async def beside(self, load: Coroutine[Any, Any, None]) -> None:
        """Wait for the load, and probe meanwhile. The last answers are waited for."""
        probing = asyncio.create_task(self._probe())
        try:
            await load
            await probing
            await asyncio.gather(*self._asking)
        finally:
            for task in (probing, *self._asking):
                task.cancel()
            await asyncio.gather(probing, *self._asking, return_exceptions=True)
            await self._client.aclose()

    async def _probe(self) -> None:
        draw = random.Random(f"{self._slice.seed}/probe")
        sender, number, due_s = self._sender, 0, 0.0
        while True:
            due_s += draw.expovariate(self._slice.probe_rate)
            await sender.pause(due_s)
            if sender.course.over or sender.course.share == "tail":
                return
            if sender.course.share == "window":
                number += 1
                task = asyncio.create_task(self._ask(number))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)

    async def _ask(self, number: int) -> None:
        of = self._slice
        assert of.probe is not None
        request = Request(method=of.method, url=of.url, headers=of.headers, body=of.probe.of(number), max_tokens=1)
        taken_s, taken_ns = self._sender.now_s, time.monotonic_ns()
        answer: Answer | None = None
        failure: Failure | None = CUT_OFF
        refused = False
        try:
            answer = await ask(self._client, request, self._dialect, timeout_s=of.config.timeout_s)
            failure = None
        except IterationError as error:
            failure, refused = error.failure, error.status in RETRY_LATER
        finally:
            written_s = taken_s + ((answer.written_ns - taken_ns) / 1e9 if answer is not None else 0.0)
            sample = msgspec.structs.replace(
                of.base, share="probe", written_s=written_s, error=failure, refused=int(refused)
            )
            if answer is not None:
                sample = with_figures(sample, answer)
            else:
                sample = msgspec.structs.replace(sample, latency_s=self._sender.now_s - taken_s)
            self._report(sample)
