"""`llmtui` and `llmtui attach`: open the monitor on a new run, or on an active one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from llmtui.config.schema import ConfigError, UiConfig, find, load
from llmtui.link.process import EngineProcess, LiveRun, live_runs
from llmtui.load.prompt_files.source import index_for
from llmtui.model import Plan
from llmtui.model.errors import CommandError, UsageError


def need_terminal(instead: str = "") -> None:
    """Raise UsageError unless the monitor can draw here. `instead` is the command for plain text, if there is one."""
    hint = f"; for plain text, try: {instead}" if instead else ""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(f"the monitor needs a terminal{hint}")
    if os.environ.get("TERM") == "dumb":
        raise UsageError(f"the monitor needs a terminal that can move the cursor, but TERM is dumb{hint}")


def open_monitor(
    plan: Plan, ui: UiConfig, store: str, *, resume: bool = False, label: str = "", against: str | None = None
) -> int:
    """Start an engine for `plan` and show it, then the races that the user starts from there.

    If `plan` has no backends, the user chooses a race first. Return the exit code of the last. Raises EngineError, and
    UsageError if the user chose none.
    """
    if not plan.backends:
        from llmtui.cli.races import Races

        plan = Races(ui, store).first_plan(plan)
    earlier = None
    if against:
        from llmtui.cli.history import earlier_run

        # Reading it takes the time of a core: before the run.
        earlier = earlier_run(against, store)
    engine = EngineProcess.start(plan, store, resume=resume, label=label, prompt_index=index_for(plan.prompts))
    # Textual is imported while the engine starts.
    from llmtui.cli.races import Races
    from llmtui.ui.run import show

    races = Races(ui, store)
    while True:
        here = races.here()
        code = show(plan, engine, ui, earlier, here, store)
        from llmtui.cli.history import report_where

        report_where(plan.run, store)
        following = races.next_plan(plan, here)
        if following is None:
            return code
        plan, engine = following, races.start(following)


def usual_ui() -> UiConfig:
    """Return [ui] of the config that plain `llmtui` reads, or the default if that cannot be read."""
    try:
        return load(find(None), implicit=True, backends=False).ui
    except ConfigError:
        return UiConfig()


def attach(run: str | None, store: str = "") -> int:
    """Show an active run, as `active_run` finds it. Return the exit code. Raises UsageError if there is none."""
    active = active_run(run, store)
    from llmtui.cli.history import report_where
    from llmtui.ui.run import show_again

    try:
        code = show_again(Path(active.socket), usual_ui(), store)
    except OSError as error:
        raise CommandError(f"run {active.run}: {error.strerror or error}") from error
    report_where(active.run, store)
    return code


def active_run(run: str | None, store: str = "") -> LiveRun:
    """Return the newest active run, or the one that `run` names in the history `store` or whose id begins so.

    Raises UsageError if there is no such run or more than one.
    """
    runs = live_runs()
    named = _in_history(run, store) if run else ""
    matches = [r for r in runs if not run or r.run == named] or [r for r in runs if run and r.run.startswith(run)]
    if run and len(matches) > 1:
        raise UsageError(f"{run!r} matches several runs: {', '.join(r.run for r in matches)}; type more of the id")
    if not matches and named:
        from llmtui.cli.history import with_store

        raise UsageError(f"run {named} is not active; to see it: llmtui open {with_store(named, store)}")
    if not matches:
        active = f"; active runs: {', '.join(r.run for r in runs)}" if runs else "; to start one, try: llmtui"
        raise UsageError((f"no active run {run!r}" if run else "no active run") + active)
    return matches[0]


def _in_history(name: str, store: str) -> str:
    """Return the id of the run that `name` means in the history, "" if there is none."""
    from llmtui.cli.history import opened
    from llmtui.store.errors import StoreError

    try:
        with opened(store) as history:
            return history.find(name)
    except StoreError:
        return ""
