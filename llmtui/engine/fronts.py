"""Backends that have the same engine behind them."""

from __future__ import annotations

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.run import Run
from llmtui.model import Note
from llmtui.stats.checks.base import listed


def report_shared_engine(run: Run, backend_run: BackendRun) -> None:
    """Report once that the front of a backend leads to the process that serves another backend."""
    processes = backend_run.target.processes
    if processes is None or processes.shared_reported or not processes.front:
        return
    others = [one.name for one in run.backends if (p := one.target.processes) and processes.shares_engine_with(p)]
    if others:
        processes.shared_reported = True
        text = (
            f"{listed([backend_run.name, *others])} are served by the same process: "
            "the second to be asked may find the prompt of the first in the cache"
        )
        run.add_note(Note(text=text, level="warning", backend=backend_run.name))
