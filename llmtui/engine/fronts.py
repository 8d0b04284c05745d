"""Backends that have the same engine behind them."""

from __future__ import annotations

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.run import Run
from llmtui.model import Note
from llmtui.stats.checks.base import listed


def separate_shared_engine(run: Run, backend_run: BackendRun) -> None:
    """Give a backend fresh lines of its own if another one with the same lines is served by the same process.

    That is seen during a request. It is reported once, unless the two were at one address from the start.
    """
    processes = backend_run.target.processes
    if processes is None:
        return
    others = [
        one
        for one in run.backends
        if one is not backend_run and (p := one.target.processes) and processes.shares_engine_with(p)
    ]
    same_lines = any(one.state.fresh_set == backend_run.state.fresh_set for one in others)
    if not others or not (same_lines or processes.behind):
        return
    if same_lines:
        run.set_state(backend_run, fresh_set=1 + max(one.state.fresh_set for one in run.backends))
    if processes.shared_reported:
        return
    for one in (backend_run, *others):
        if one.target.processes is not None:
            one.target.processes.shared_reported = True
    what = "from now on each has prompts of its own, so that none finds the prompt of another in the cache"
    if not run.config.fresh_prompt:
        what = "the second to be asked may find the prompt of the first in the cache"
    text = f"{listed([backend_run.name, *(one.name for one in others)])} are served by the same process: {what}"
    run.add_note(Note(text=text, level="warning", backend=backend_run.name))
