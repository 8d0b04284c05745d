"""Bring-up, failures and restarts of a backend: each function moves it from one state to the next."""

from __future__ import annotations

import statistics
import time
from collections import deque
from typing import Any

from llmtui.engine.backend_run import NOT_WAITING, BackendRun, jobs_done, missing_jobs
from llmtui.engine.run import Run
from llmtui.model import BackendState, Failure, Iteration, Note
from llmtui.model.state import MOST_LOADS
from llmtui.servers.base import Ready, StartError
from llmtui.servers.launcher import ManagedServer

#: After this many failed iterations in a row the rest of an attempt is skipped.
MAX_FAILURES_IN_A_ROW = 3


async def bring_up(run: Run, backend_run: BackendRun) -> None:
    """Bring a backend up: it ends as ready, or as failed."""

    def report(doing: str, progress: float | None) -> None:
        # Download and conversion come before the launch; then the server loads the model.
        if doing == "loading":
            run.set_state(backend_run, state="loading", doing="", progress=None)
        else:
            run.set_state(backend_run, state="preparing", doing=doing, progress=progress)

    backend_run.launch = backend_run.next_launch
    run.set_state(
        backend_run,
        state="loading",
        doing="",
        progress=None,
        usual_load_s=backend_run.usual_load_s,
        launch=backend_run.launch,
        failure=None,
        log_tail=[],
    )
    backend_run.launching_at = time.monotonic()
    if run.config.launches > 1:
        run.emit_run()  # with the time that the launch takes
    try:
        ready = await backend_run.target.bring_up(report)
    except StartError as error:
        fail(run, backend_run, error.failure, error.log_tail)
        return
    finally:
        backend_run.launching_at = None
    backend_run.failures_in_a_row = 0
    backend_run.cpu = None
    backend_run.usual_load_s = ready.load_s
    changes = _facts(ready) | {
        "note": remarks(backend_run),
        "listener_uids": backend_run.listener_uids,
    }
    if ready.load_s is not None and run.config.launches_of(backend_run.backend, backend_run.state.planned) > 1:
        loads_s = [*backend_run.state.loads_s, round(ready.load_s, 3)][-MOST_LOADS:]
        backend_run.usual_load_s = statistics.median(loads_s)
        changes["loads_s"] = loads_s
    run.set_state(backend_run, state="ready", **NOT_WAITING, **changes)


async def make_room(run: Run, backend_run: BackendRun) -> None:
    """Stop a server whose next rounds belong to another launch. The next steps launch it again."""
    launches = run.config.launches_of(backend_run.backend, backend_run.state.planned)
    doing = f"launch {backend_run.next_launch} of {launches} is next"
    run.set_state(backend_run, state="preparing", doing=doing, progress=None)
    await backend_run.target.close()


def remarks(backend_run: BackendRun) -> str:
    """What the state of a backend says of its server and its requests."""
    restarted = f"restarted {backend_run.restarts}x" if backend_run.restarts else ""
    left_out = " and ".join(backend_run.left_out.values())
    without = f"without {left_out}" if left_out else ""
    return ", ".join(filter(None, (backend_run.target.remark, restarted, without)))


async def check_iteration(run: Run, backend_run: BackendRun, iteration: Iteration) -> None:
    """After an iteration, decide whether the backend goes on, is restarted, or has failed."""
    if iteration.error is None:
        backend_run.failures_in_a_row = 0
        return
    if iteration.error.kind == "stopped":
        return  # llmtui itself was stopped; the server is not at fault
    backend_run.failures_in_a_row += 1
    server = backend_run.target.server
    if server is not None and server.exited.is_set():
        await _handle_exit(run, backend_run, server)
    elif backend_run.failures_in_a_row >= MAX_FAILURES_IN_A_ROW or iteration.error.kind in ("connect", "missing"):
        fail(run, backend_run, iteration.error, server.log_tail() if server is not None else [])
        await backend_run.target.close()


def fail(run: Run, backend_run: BackendRun, failure: Failure, log_tail: list[str] | None = None) -> None:
    """Mark a backend as failed and drop its remaining iterations."""
    states: dict[str, Any] = {"connect": "unreachable", "missing": "missing"}
    backend_run.queue.clear()
    run.set_state(
        backend_run,
        state=states.get(failure.kind, "failed"),
        **NOT_WAITING,
        failure=failure,
        listener_uids=backend_run.listener_uids,
        log_tail=log_tail or [],
    )


def _facts(ready: Ready) -> dict[str, Any]:
    """The facts about a server that its backend's state has too: version, model, weights and so on."""
    facts = {name: getattr(ready, name) for name in BackendState.__struct_fields__ if hasattr(ready, name)}
    return facts | {"model": ready.title or ready.model}


async def _handle_exit(run: Run, backend_run: BackendRun, server: ManagedServer) -> None:
    """Restart a server that exited, up to `restarts` times; after that its backend has failed."""
    failure, tail = server.exit_failure(), server.log_tail()
    if backend_run.restarts < run.config.restarts:
        await restart(run, backend_run, failure, tail)
    else:
        fail(run, backend_run, failure, tail)
        await backend_run.target.close()


async def restart(run: Run, backend_run: BackendRun, failure: Failure, log_tail: list[str]) -> None:
    """Let a server that exited be launched again, for all that is missing. Without anything missing it has failed."""
    done = jobs_done(backend_run.state, run.iterations, run.turns)
    missing = missing_jobs(run.config, backend_run.state, done, backend_run.launch_of, backend_run.levels_of)
    missing = [job for job in missing if job.level not in backend_run.left_out]
    if missing:
        backend_run.restarts += 1
        backend_run.failures_in_a_row = 0
        backend_run.queue = deque(missing)
        text = f"{failure.message}; restarted ({backend_run.restarts} of {run.config.restarts})"
        run.add_note(Note(text=text, level="warning", backend=backend_run.name))
        run.set_state(backend_run, state="waiting", doing="", progress=None, log_tail=log_tail)
    else:
        fail(run, backend_run, failure, log_tail)
    await backend_run.target.close()
