"""`llmtui` and `llmtui attach`: open the monitor over a new engine, or over one that is running."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from llmtui.config.schema import UiConfig
from llmtui.exit_codes import CommandError, UsageError
from llmtui.link.process import EngineProcess, live_runs
from llmtui.model import Plan


def need_terminal(instead: str = "") -> None:
    """Raise UsageError unless the monitor can draw here. `instead` is added to the message: what to use instead."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(f"the monitor needs a terminal{instead}")
    if os.environ.get("TERM") == "dumb":
        raise UsageError(f"the monitor needs a terminal that can place the cursor, and TERM is dumb{instead}")


def open_monitor(plan: Plan, ui: UiConfig, store: str, *, resume: bool = False) -> int:
    """Start an engine for `plan` and show it. Return the exit code. Raises EngineError."""
    engine = EngineProcess.start(plan, store, resume=resume)
    # Textual is imported while the engine starts.
    from llmtui.ui.run import show

    return show(plan, engine, ui)


def attach(run: str | None) -> int:
    """Show a run that is going on: the newest, or the one whose id begins with `run`. Return the exit code.

    Raises UsageError if there is no such run or more than one.
    """
    runs = live_runs()
    matches = [r for r in runs if not run or r.run.startswith(run)]
    if not matches or (run and len(matches) > 1):
        names = ", ".join(r.run for r in runs)
        raise UsageError(
            (f"no run {run!r} is going on" if run else "no run is going on")
            + (f"; there are: {names}" if names else "; start one with: llmtui")
        )
    from llmtui.ui.run import show_again

    try:
        return show_again(Path(matches[0].socket), UiConfig())
    except OSError as error:
        raise CommandError(f"run {matches[0].run}: {error.strerror or error}") from error
