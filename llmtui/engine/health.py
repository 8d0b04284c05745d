"""Bring-up, failures and restarts of a backend: each function moves it from one state to the next."""

from __future__ import annotations

from collections import deque
from typing import Any

from llmtui.engine.backend_run import NOT_WAITING, BackendRun, missing_jobs
from llmtui.engine.run import Run
from llmtui.model import BackendState, Failure, Iteration, Note
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

    run.set_state(
        backend_run,
        state="loading",
        doing="",
        progress=None,
        usual_load_s=backend_run.usual_load_s,
        failure=None,
        log_tail=[],
    )
    try:
        ready = await backend_run.target.bring_up(report)
    except StartError as error:
        fail(run, backend_run, error.failure, error.log_tail)
        return
    backend_run.failures_in_a_row = 0
    backend_run.cpu = None
    backend_run.usual_load_s = ready.load_s
    changes = _facts(ready) | {
        "note": remarks(backend_run),
        "listener_uids": backend_run.listener_uids,
    }
    run.set_state(backend_run, state="ready", **NOT_WAITING, **changes)


def remarks(backend_run: BackendRun) -> str:
    """What the state of a backend says of its server and its requests."""
    restarted = f"restarted {backend_run.restarts}x" if backend_run.restarts else ""
    return ", ".join(filter(None, (backend_run.target.remark, restarted)))


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
    return {name: getattr(ready, name) for name in BackendState.__struct_fields__ if hasattr(ready, name)}


async def _handle_exit(run: Run, backend_run: BackendRun, server: ManagedServer) -> None:
    """Restart a server that exited, up to `restarts` times; after that its backend has failed."""
    failure = Failure(kind="server", message=f"the server ended: {server.exit_reason()}")
    tail = server.log_tail()
    missing = missing_jobs(run.config, backend_run.state, run.iterations)
    if missing and backend_run.restarts < run.config.restarts:
        backend_run.restarts += 1
        backend_run.failures_in_a_row = 0
        backend_run.queue = deque(missing)
        text = f"{failure.message}; restarted ({backend_run.restarts} of {run.config.restarts})"
        run.add_note(Note(text=text, level="warning", backend=backend_run.name))
        run.set_state(backend_run, state="waiting", doing="", progress=None, log_tail=tail)
    else:
        fail(run, backend_run, failure, tail)
    await backend_run.target.close()
