"""One iteration: its prompt, and its request, retried if the server refuses it with a Retry-After (429 or 503)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from llmtui.engine.adapting import AskAgain
from llmtui.engine.backend_run import BackendRun
from llmtui.engine.iteration import request_once
from llmtui.engine.schedule import Job, fresh_line
from llmtui.measure.failures import wait_words
from llmtui.model import AnyEvent, Iteration, Note, Plan

#: The shortest wait before a retry, also if the server asks for none.
MIN_WAIT_S = 0.25


async def measure(
    backend_run: BackendRun, job: Job, plan: Plan, own_pids: Callable[[], list[int]], emit: Callable[[AnyEvent], None]
) -> Iteration:
    """Carry out one iteration, emitting its progress, and return its record; a failed request has one too.

    A request that does not fit the server, or comes before its model is loaded, is part of no iteration. One that is
    refused with a time to wait is retried after it, for `timeout_s` in all. The record counts these refusals;
    everything else in it is of the last request.
    """
    timeout_s = plan.config.timeout_s
    prompt = plan.config.prompt
    if plan.config.fresh_prompt:
        first = fresh_line(plan.run + backend_run.salt, backend_run.state.attempt, job, backend_run.twin)
        prompt = f"{first}\n{prompt}"
    began = time.monotonic()
    refused = 0
    while True:
        try:
            iteration, refusal = await request_once(backend_run, job, plan, prompt, own_pids, emit)
        except AskAgain as again:
            if again.note:
                emit(Note(text=again.note, level="warning", backend=backend_run.name))
            await asyncio.sleep(again.wait_s)
            began = time.monotonic()
            continue
        failure = iteration.error
        if refusal is None or failure is None:
            break
        refused += 1
        asks = wait_words(refusal.retry_after_s)
        wait_s = max(refusal.retry_after_s, MIN_WAIT_S)
        if time.monotonic() - began + wait_s > timeout_s:
            limit = f"timeout_s ({timeout_s:g} s)"
            why = f"longer than {limit} allows" if refusal.retry_after_s else f"and refused for the whole {limit}"
            times = f" (refused {refused} times)" if refused > 1 else ""
            hint = f"the server {asks}, {why}{times}"
            iteration = msgspec.structs.replace(iteration, error=msgspec.structs.replace(failure, hint=hint))
            break
        if not backend_run.refusal_reported:
            backend_run.refusal_reported = True
            text = f"HTTP {refusal.status}, {asks}; refusals are counted, but are not samples"
            emit(Note(text=text, level="warning", backend=backend_run.name))
        await asyncio.sleep(wait_s)
    return msgspec.structs.replace(iteration, refused=refused) if refused else iteration
