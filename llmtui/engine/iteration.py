"""The record of an iteration: one request, its figures, and the conditions on the machine meanwhile."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import NamedTuple

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.power import start_power, with_power
from llmtui.engine.prompting import Asked
from llmtui.engine.schedule import Job
from llmtui.engine.server_exit import with_exit
from llmtui.engine.watch import conditions
from llmtui.engine.watch.fronts import FrontWatch
from llmtui.engine.watch.other_cpu import OtherCpuMeter
from llmtui.load.prompts import Prompt
from llmtui.measure.answer import Answer
from llmtui.measure.counts import doubt_of
from llmtui.measure.record import with_figures
from llmtui.measure.request import IterationError
from llmtui.measure.stalls import StallMeter, stall_failure
from llmtui.model import (
    AnyEvent,
    Failure,
    Iteration,
    Note,
    Plan,
    Progress,
    disturbed_from,
)
from llmtui.text.times import now_text

#: The shortest time between two progress events of an iteration.
PROGRESS_INTERVAL_S = 0.25
IN_ONE_PIECE = "the answer was not streamed: it came in one piece, so it has no TTFT and no tokens/s"
#: After this many answers in one piece, in a row, the user is informed.
WHOLE_IN_A_ROW = 3


class Refusal(NamedTuple):
    """A request that the server refused with a Retry-After, in s."""

    status: int
    retry_after_s: float


async def request_once(
    backend_run: BackendRun,
    job: Job,
    plan: Plan,
    fresh_line: str,
    own_pids: Callable[[], list[int]],
    emit: Callable[[AnyEvent], None],
    asked: Asked | Failure | None = None,
) -> tuple[Iteration, Refusal | None]:
    """Send one request, with `fresh_line` for a new prompt.

    `asked` is the prompt, by default that of the run. One that cannot be asked is a failure.

    Return its record, and the refusal if the server asks to retry later.
    """
    phase, number = job.phase, job.number
    attempt = backend_run.state.attempt
    meter = OtherCpuMeter(backend_run.target.processes, own_pids)
    fronts = FrontWatch(backend_run.target.processes)
    emitted_at = began = time.monotonic()

    def on_tokens(count: int) -> None:
        nonlocal emitted_at
        now = time.monotonic()
        if now - emitted_at >= PROGRESS_INTERVAL_S:
            emitted_at = now
            elapsed_s = round(now - began, 3)
            emit(Progress(backend=backend_run.name, phase=phase, iteration=number, tokens=count, elapsed_s=elapsed_s))

    started = now_text()
    answer: Answer | None = None
    failure: Failure | None = None
    refusal: Refusal | None = None
    recording = start_power(backend_run)
    server = backend_run.first_processes
    before = conditions.sample(server=server)
    # A garbage collection during the answer would delay reading what arrives meanwhile.
    gc.collect(0)
    gc.disable()
    stalls = StallMeter()
    stalls.start()
    meter.start()
    fronts.start()
    try:
        if isinstance(asked, Failure):
            failure = asked
        else:
            answer = await backend_run.target.ask(asked or plan.config.prompt, on_tokens, fresh_line=fresh_line)
    except IterationError as error:
        failure = error.failure
        if error.status is not None and error.retry_after_s is not None:
            refusal = Refusal(error.status, error.retry_after_s)
    finally:
        meter.stop()
        fronts.stop()
        stall = stall_failure(stalls.stop())
        gc.enable()
        if recording is not None:
            recording.stop()
    changed = conditions.since(before, conditions.sample(server=server))
    foreign, server_cpu = await fronts.explain(meter)
    if failure is not None:
        failure = await with_exit(failure, backend_run.target.server)
    if stall is not None:
        answer, failure, refusal = None, stall, None
    iteration = Iteration(
        run=plan.run,
        backend=backend_run.name,
        attempt=attempt,
        iteration=number,
        phase=phase,
        started_utc=started,
        foreign_cpu=foreign,
        server_cpu=server_cpu,
        steal=changed.steal,
        swapped=changed.swapped,
        throttled=changed.throttled,
        cpu_limited=changed.cpu_limited,
        part=backend_run.part,
        launch=backend_run.launch,
        seq=backend_run.seq,
        disturbed_from=disturbed_from(os.cpu_count() or 1, (foreign or 0.0) + (server_cpu or 0.0)),
        error=failure,
        prompt=asked.name if isinstance(asked, Prompt) else "",
    )
    if answer is None:
        return iteration, refusal
    iteration = with_figures(iteration, answer)
    if recording is not None:
        iteration = with_power(backend_run, iteration, recording, emit, answer.written_ns / 1e9)
    if backend_run.backend.stream and becomes_whole(backend_run, iteration):
        emit(Note(text=IN_ONE_PIECE, level="warning", backend=backend_run.name))
    if not backend_run.count_reported and (doubt := doubt_of(answer)):
        backend_run.count_reported = True
        emit(Note(text=doubt, level="warning", backend=backend_run.name))
    return iteration, refusal


def becomes_whole(backend_run: BackendRun, iteration: Iteration) -> bool:
    """Whether this is the last of `WHOLE_IN_A_ROW` answers in one piece, for the first time.

    While other programs are busy it is none: a server that waits for a processor sends, and llmtui reads, too late.
    """
    if iteration.in_one_piece and not iteration.disturbed:
        backend_run.whole_in_a_row += 1
        return backend_run.whole_in_a_row == WHOLE_IN_A_ROW
    if backend_run.whole_in_a_row < WHOLE_IN_A_ROW:
        backend_run.whole_in_a_row = 0
    return False
