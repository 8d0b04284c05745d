"""`llmtui run`: the same run as the monitor's, as plain text. Data goes to stdout, messages to stderr."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmtui import exit_codes
from llmtui.cli.jsonl import JsonLines
from llmtui.cli.late_events import LateEvents, LineReports
from llmtui.cli.output import STDOUT, print_table, report, write_files
from llmtui.cli.run_lines import iteration_line, state_line, turn_line
from llmtui.interrupts import Interruption
from llmtui.link.client import HANG_UP_S, Engine, EngineLink, LineLink
from llmtui.link.process import EngineProcess
from llmtui.load.prompt_files.source import index_for
from llmtui.model import Iteration, Plan, Shutdown, Turn
from llmtui.model.errors import CommandError
from llmtui.runview.launches import launches_of
from llmtui.runview.limits import Limit, judge_limits
from llmtui.runview.run import RunView
from llmtui.runview.search import undecided_text
from llmtui.stats.correction import cannot_decide
from llmtui.store.requests import RequestReader
from llmtui.text import sanitize


def run_as_text(
    plan: Plan,
    files: dict[str, Path | None],
    *,
    quiet: bool,
    store: str = "",
    resume: bool = False,
    label: str = "",
    limits: Sequence[Limit] = (),
    engine: Engine | None = None,
    source: RequestReader | None = None,
) -> int:
    """Carry out `plan`, or the rest of it with `resume`, and print it. Return the exit code. Raises EngineError.

    The history gets the run with `label`. `files` are by format; that of "jsonl" grows during the run. The run fails if
    one of `limits` is broken. `engine` is that of a plan on another machine, and `source` has its requests.
    """
    there = engine is not None
    lines = JsonLines(files.get("jsonl"))
    with contextlib.closing(lines), Interruption() as interruption:
        if engine is None:
            engine = EngineProcess.start(plan, store, resume=resume, label=label, prompt_index=index_for(plan.prompts))
        try:
            if not quiet:
                report(f"run {plan.run}" + (f" [{label}]" if label else ""))
            silent = quiet or STDOUT in files.values()
            code = asyncio.run(_follow(plan, engine, files, lines, silent, interruption, store, limits, source))
        finally:
            engine.kill()
    if not quiet and not there:
        from llmtui.cli.history import report_where

        report_where(plan.run, store)
    return code


async def _follow(
    plan: Plan,
    engine: Engine,
    files: dict[str, Path | None],
    lines: JsonLines,
    quiet: bool,
    interruption: Interruption,
    store: str,
    limits: Sequence[Limit],
    source: RequestReader | None,
) -> int:
    # Of the files that are written at the end, only the JSON contains texts and arrivals.
    run_view = RunView(plan, keep=None if files.get("json") else 0)
    client = await interruption.run(engine.connect())
    if client is None:
        report("interrupted")
        return exit_codes.INTERRUPTED
    if isinstance(client, LineLink):
        client.on_line = LineReports()
    follower = asyncio.create_task(_print_events(run_view, client, lines, quiet))
    await interruption.or_done(follower)
    complete = follower.done() and follower.result()
    if not complete and not interruption.is_set():
        report("the engine ended before the run was complete" + (f": {line}" if (line := engine.log_tail()) else ""))
    if interruption.is_set():
        down = isinstance(client, LineLink) and not client.up
        report("interrupted; the line is down, so the run goes on" if down else "interrupted; stopping the servers")
    if follower.done():
        await client.send_last(Shutdown())
    else:
        await end_run(client, follower, HANG_UP_S)
    await engine.wait()
    lines.write_search(run_view)
    written = write_files(run_view, {kind: path for kind, path in files.items() if kind != "jsonl"}, store, source)
    written = written and not lines.lost
    if STDOUT not in files.values():
        print_table(run_view)
    if undecided := undecided_text(run_view):
        report(f"{undecided}; more rounds, or more requests a turn, tell more")
    if interruption.is_set():
        return exit_codes.INTERRUPTED
    found = judge_limits(run_view, limits)
    for sentence in (*found.broken, *found.open):
        report(sentence)
    if not complete or not written or run_view.failed or found.broken:
        return exit_codes.FAILED
    return exit_codes.SILENT if found.open else exit_codes.OK


async def end_run(client: EngineLink, follower: asyncio.Task[Any], timeout_s: float) -> None:
    """Ask the engine to end the run, and close `client`. `follower` reads events until the engine closes the
    connection, but at most for `timeout_s`."""
    await client.send(Shutdown())
    await asyncio.wait({follower}, timeout=timeout_s)
    follower.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await follower
    await client.close()


async def _print_events(run_view: RunView, client: EngineLink, lines: JsonLines, quiet: bool) -> bool:
    """Print events until the run is done. Return False if the engine closes the connection before that."""
    printed: dict[str, str] = {}
    late = LateEvents()
    try:
        async for event in client.events():
            change, _ = run_view.apply(event)
            short = cannot_decide(run_view.plan.config.iterations, len(run_view.backends)) if change == "all" else ""
            if short and not run_view.plan.relaunches and late.first:
                report(short)
            notes = run_view.notes if change == "all" else run_view.notes[-1:] if change == "note" else []
            for note in late.new_notes(notes, change == "all"):
                text = sanitize(note.text, 600)
                report(f"{sanitize(note.backend)}: {text}" if note.backend else text)
            for one in late.new_results(event):
                _print_result(run_view, one, lines, quiet)
            for backend_view in run_view.backends.values():
                config = run_view.plan.config
                line = state_line(backend_view, launches_of(config, backend_view.backend, backend_view.state))
                if line and printed.get(backend_view.backend.name) != line:
                    printed[backend_view.backend.name] = line
                    if not quiet or backend_view.state.failure is not None:
                        report(line)
            if run_view.run.phase == "done" and run_view.backlog is None:
                return True
    except CommandError as error:  # the line to another machine cannot be opened again
        report(str(error))
    run_view.ended = True
    return False


def _print_result(run_view: RunView, result: Iteration | Turn, lines: JsonLines, quiet: bool) -> None:
    lines.write(run_view.plan, result)
    if isinstance(result, Turn):
        if not quiet:
            print(turn_line(run_view, result), flush=True)
    elif not quiet and result.attempt == run_view.backends[result.backend].state.attempt:
        print(iteration_line(run_view, result), flush=True)
