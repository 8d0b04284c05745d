"""One iteration: its prompt, and its request, sent again if the server refuses it or llmtui itself spoils it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from llmtui.engine.adapting import MIN_WAIT_S, AskAgain
from llmtui.engine.backend_run import BackendRun
from llmtui.engine.iteration import request_once
from llmtui.engine.prompting import Asked
from llmtui.engine.schedule import Job, fresh_line
from llmtui.measure.failures import wait_words
from llmtui.model import AnyEvent, Failure, Iteration, Note, Plan


async def measure(
    backend_run: BackendRun,
    job: Job,
    plan: Plan,
    own_pids: Callable[[], list[int]],
    emit: Callable[[AnyEvent], None],
    asked: Asked | Failure | None = None,
) -> Iteration:
    """Carry out one iteration, emitting its progress, and return its record; a failed request has one too.

    `asked` is its prompt, by default that of the run, or why it cannot be asked.

    A request that does not fit the server, or comes before its model is loaded, is part of no iteration. One that is
    refused with a time to wait is retried after it, for `timeout_s` in all. One that llmtui itself spoiled, by a stall
    or as the clock was set, is measured again, at most as often in an attempt as the plan has iterations. The record
    counts both; everything else in it is of the last request.
    """
    timeout_s = plan.config.timeout_s
    began = time.monotonic()
    refused = repeated = 0
    while True:
        line = _fresh_line(backend_run, job, plan, repeated)
        try:
            iteration, refusal = await request_once(backend_run, job, plan, line, own_pids, emit, asked)
        except AskAgain as again:
            if again.note:
                emit(Note(text=again.note, level="warning", backend=backend_run.name))
            await asyncio.sleep(again.wait_s)
            began = time.monotonic()
            continue
        failure = iteration.error
        if failure is not None and failure.kind == "stopped" and backend_run.repeats < plan.config.iterations:
            repeated += 1
            _count_repeat(backend_run, failure, emit)
            await asyncio.sleep(plan.config.cooldown_s)
            began = time.monotonic()
            continue
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
    if not (refused or repeated):
        return iteration
    return msgspec.structs.replace(iteration, refused=refused, repeated=repeated)


def _count_repeat(backend_run: BackendRun, failure: Failure, emit: Callable[[AnyEvent], None]) -> None:
    """Count a request that llmtui itself spoiled. The first one of a backend is reported."""
    backend_run.repeats += 1
    if not backend_run.repeat_reported:
        backend_run.repeat_reported = True
        text = f"{failure.message}; the request is measured again and does not count"
        emit(Note(text=text, level="warning", backend=backend_run.name))


def _fresh_line(backend_run: BackendRun, job: Job, plan: Plan, repeated: int) -> str:
    """Return the fresh line of a request, "" without one. A request that is measured again has another one: the server
    has computed the first."""
    if not plan.config.fresh_prompt:
        return ""
    salt = f"{plan.run}{backend_run.salt}" + (f"~{repeated}" if repeated else "")
    return fresh_line(salt, backend_run.state.attempt, job, backend_run.state.fresh_set)
