"""What follows a turn of a load that failed: it is taken again, or its level is left out, and the run goes on."""

from __future__ import annotations

from collections import deque

import msgspec

from llmtui.engine.backend_run import BackendRun, jobs_done, missing_jobs
from llmtui.engine.health import fail, remarks, restart
from llmtui.engine.run import Run
from llmtui.engine.schedule import Job
from llmtui.engine.server_exit import with_exit
from llmtui.model import Failure, Note, Turn

#: A level is left out after this many failed turns in a row.
MAX_FAILED_TURNS = 2


async def check_turn(run: Run, backend_run: BackendRun, job: Job, turn: Turn) -> None:
    """After a turn, decide what becomes of it, of its level, and of the backend.

    A turn that llmtui itself spoiled is repeated once. A level at which the server exits or stops replying is left
    out at once, and one at which all requests fail after `MAX_FAILED_TURNS` turns; the server is then brought up
    again for the other levels. Without another level the backend has failed.
    """
    server, failure = backend_run.target.server, turn.error
    # Whatever follows, the next turn of this job is a first one, unless this one is put back into the queue below.
    second, backend_run.retaken = backend_run.retaken == job, None
    if failure is not None and failure.kind != "stopped":
        await with_exit(failure, server)  # which waits until an exit is noticed
    if server is not None and server.exited.is_set():
        await _after_exit(run, backend_run, job)
    elif failure is None:
        backend_run.failed_turns.pop(job.level, None)
    elif failure.kind == "stopped":
        if second and not (turn.requests or turn.settled):
            # It cannot be sent, now or later: it needs more open files than the system allows.
            await leave_out(run, backend_run, job, failure, again=False)
        else:
            _take_again(run, backend_run, job, failure, second=second)
    elif failure.kind == "missing":
        fail(run, backend_run, failure)
        await backend_run.target.close()
    else:
        failed = backend_run.failed_turns[job.level] = backend_run.failed_turns.get(job.level, 0) + 1
        gone = failure.kind == "connect"
        if gone or failed >= MAX_FAILED_TURNS:
            await leave_out(run, backend_run, job, failure, again=gone)


async def _after_exit(run: Run, backend_run: BackendRun, job: Job) -> None:
    """Start a server that exited again: as often as `restarts` says with all its jobs, then without this level."""
    server = backend_run.target.server
    assert server is not None
    if backend_run.restarts < run.config.restarts:
        await restart(run, backend_run, server.exit_failure(), server.log_tail())
    else:
        await leave_out(run, backend_run, job, server.exit_failure(), again=True, tail=server.log_tail())


async def leave_out(
    run: Run, backend_run: BackendRun, job: Job, failure: Failure, *, again: bool, tail: list[str] | None = None
) -> None:
    """Drop the turns of a level that are left. `again`: bring the server up again for the others, and warm it up."""
    title = backend_run.left_out[job.level] = run.plan.levels[job.level - 1].title
    if again:
        done = jobs_done(backend_run.state, run.iterations, run.turns)
        jobs = missing_jobs(run.config, backend_run.state, done, backend_run.launch_of, backend_run.levels_of)
    else:
        jobs = list(backend_run.queue)
    left = [each for each in jobs if each.level not in backend_run.left_out]
    if not any(each.level for each in left):
        if not any(turn.state == "whole" and turn.error is None for turn in run.turns_of(backend_run)):
            fail(run, backend_run, msgspec.structs.replace(failure, message=f"{title}: {failure.message}"), tail)
            await backend_run.target.close()
            return
        left = []
    text = f"{title}: {failure.message}; the other turns of this level are left out"
    if failure.kind == "stopped":
        text = _with_hint(text, failure)
    run.add_note(Note(text=text, level="warning", backend=backend_run.name))
    backend_run.queue = deque(left)
    run.set_state(backend_run, note=remarks(backend_run))
    if again and left:
        backend_run.restarts += 1
        run.set_state(backend_run, state="waiting", doing="", progress=None, log_tail=tail or [])
    if again:
        await backend_run.target.close()


def _take_again(run: Run, backend_run: BackendRun, job: Job, failure: Failure, *, second: bool) -> None:
    """Put a turn back in front of the queue, or go on without it if it was the `second` attempt."""
    title = run.plan.levels[job.level - 1].title
    if second:
        what = "the warm-up" if job.phase == "warmup" else f"round {job.number}"
        text = f"{title}: {failure.message}, also at the second attempt; {what} is left out"
    else:
        backend_run.retaken = job
        backend_run.repeats += 1
        backend_run.finished -= 1
        backend_run.queue.appendleft(job)
        text = f"{title}: {failure.message}; the turn is taken again, and does not count"
    run.add_note(Note(text=_with_hint(text, failure), level="warning", backend=backend_run.name))


def _with_hint(text: str, failure: Failure) -> str:
    return f"{text}; {failure.hint}" if failure.hint else text
