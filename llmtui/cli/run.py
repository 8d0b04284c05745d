"""`llmtui run`: the same run as the monitor's, as plain text. Data goes to stdout, messages to stderr."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from llmtui import exit_codes
from llmtui.cli.output import STDOUT, print_table, report, write_files
from llmtui.interrupts import Interruption
from llmtui.link.client import HANG_UP_S, Client
from llmtui.link.process import EngineProcess
from llmtui.model import STATE_WORDS, Iteration, Plan, Shutdown
from llmtui.runview.backend import BackendView
from llmtui.runview.launches import launch_words, launches_of
from llmtui.runview.run import RunView
from llmtui.stats.correction import cannot_decide
from llmtui.text import sanitize
from llmtui.text.cells import cells_wide, pad
from llmtui.text.format import DASH, Kind, at_point, figure, figure_parts, plural


def run_as_text(
    plan: Plan, files: dict[str, Path | None], *, quiet: bool, store: str = "", resume: bool = False, label: str = ""
) -> int:
    """Carry out `plan`, or the rest of it with `resume`, and print it. Return the exit code. Raises EngineError.

    The history gets the run with `label`.
    """
    with Interruption() as interruption:
        engine = EngineProcess.start(plan, store, resume=resume, label=label)
        try:
            if not quiet:
                report(f"run {plan.run}" + (f" [{label}]" if label else ""))
            code = asyncio.run(_follow(plan, engine, files, quiet or STDOUT in files.values(), interruption))
        finally:
            engine.kill()
    if not quiet:
        from llmtui.cli.history import report_where

        report_where(plan.run, store)
    return code


async def _follow(
    plan: Plan, engine: EngineProcess, files: dict[str, Path | None], quiet: bool, interruption: Interruption
) -> int:
    # Only the JSON contains texts and arrivals.
    run_view = RunView(plan, keep=None if files.get("json") else 0)
    client = await interruption.run(engine.connect())
    if client is None:
        report("interrupted")
        return exit_codes.INTERRUPTED
    follower = asyncio.create_task(_print_events(run_view, client, quiet))
    await interruption.or_done(follower)
    complete = follower.done() and follower.result()
    if not complete and not interruption.is_set():
        report("the engine ended before the run was complete" + (f": {line}" if (line := engine.log_tail()) else ""))
    if interruption.is_set():
        report("interrupted; stopping the servers")
    if follower.done():
        await client.send_last(Shutdown())
    else:
        await end_run(client, follower, HANG_UP_S)
    await engine.wait()
    written = write_files(run_view, files)
    if STDOUT not in files.values():
        print_table(run_view)
    if interruption.is_set():
        return exit_codes.INTERRUPTED
    return exit_codes.OK if complete and written and not run_view.failed else exit_codes.FAILED


async def end_run(client: Client, follower: asyncio.Task[Any], timeout_s: float) -> None:
    """Ask the engine to end the run, and close `client`. `follower` reads events until the engine closes the
    connection, but at most for `timeout_s`."""
    await client.send(Shutdown())
    await asyncio.wait({follower}, timeout=timeout_s)
    follower.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await follower
    await client.close()


async def _print_events(run_view: RunView, client: Client, quiet: bool) -> bool:
    """Print events until the run is done. Return False if the engine closes the connection before that."""
    printed: dict[str, str] = {}
    async for event in client.events():
        change, name = run_view.apply(event)
        short = cannot_decide(run_view.plan.config.iterations, len(run_view.backends)) if change == "all" else ""
        if short and not run_view.plan.relaunches:
            report(short)
        for note in run_view.notes if change == "all" else run_view.notes[-1:] if change == "note" else ():
            text = sanitize(note.text, 600)
            report(f"{sanitize(note.backend)}: {text}" if note.backend else text)
        if change == "iterations" and name and not quiet:
            backend_view = run_view.backends[name]
            if backend_view.last is not None and backend_view.iterations[-1].attempt == backend_view.state.attempt:
                print(iteration_line(run_view, backend_view.last), flush=True)
        for backend_view in run_view.backends.values():
            config = run_view.plan.config
            line = state_line(backend_view, launches_of(config, backend_view.backend, backend_view.state))
            if line and printed.get(backend_view.backend.name) != line:
                printed[backend_view.backend.name] = line
                if not quiet or backend_view.state.failure is not None:
                    report(line)
        if run_view.run.phase == "done":
            return True
    run_view.ended = True
    return False


def iteration_line(run_view: RunView, iteration: Iteration) -> str:
    """One iteration on one line: backend, number, latency, TTFT, rate and tokens, or the error."""
    width = max(cells_wide(sanitize(name)) for name in run_view.backends)
    config = run_view.plan.config
    warmups = config.warmups_of(run_view.backends[iteration.backend].backend, config.iterations)
    planned = warmups if iteration.phase == "warmup" else config.iterations
    # A server restarted during the run gets further warm-ups, numbered beyond the planned ones.
    of = f"/{planned}" if iteration.iteration <= planned else ""
    place = f"{'warm-up' if iteration.phase == 'warmup' else ''} {iteration.iteration}{of}".strip()
    room = max(len(f"warm-up {warmups}/{warmups}"), len(f"{config.iterations}/{config.iterations}"), 14)
    head = f"{pad(sanitize(iteration.backend), width)}  {place:>{room}}"
    if iteration.error is not None:
        return f"{head}  failed: {sanitize(str(iteration.error))}"
    parts = [_figure(iteration.latency_s, "s")]
    if iteration.in_one_piece:
        parts.append("not streamed: it came in one piece")
    else:
        parts.append(f"TTFT {_figure(iteration.ttft_s, 's', whole=3)}")
    if iteration.tokens_per_s is not None:
        parts.append(_figure(iteration.tokens_per_s, "tokens/s"))
    if iteration.output_tokens is not None:
        counted = " (counted)" if iteration.token_source == "arrivals" else ""
        parts.append(f"{plural(iteration.output_tokens, 'token')}{counted}")
    if iteration.hidden_tokens:
        parts.append(f"{iteration.hidden_tokens} hidden")
    if iteration.refused:
        parts.append(f"after {plural(iteration.refused, 'refusal')}")
    if iteration.repeated:
        parts.append(f"measured again {iteration.repeated}x")
    if iteration.loaded:
        left_out = "left out: " if iteration.phase == "measured" else ""
        parts.append(f"{left_out}the server loaded its model, {figure(iteration.server_load_s, 's')}")
    if iteration.disturbed:
        parts.append(f"busy: other programs used {iteration.foreign_cpu:.1f} cores")
    return f"{head}  " + "  ".join(parts)


def _figure(value: float | None, kind: Kind, whole: int = 4) -> str:
    """A figure with its unit. In lines below one another, decimal points and units are in line."""
    text, unit = figure_parts(value, kind)
    return DASH.rjust(whole) if text == DASH else f"{at_point(text, whole)} {unit if kind != 'tokens/s' else kind:2}"


def state_line(backend_view: BackendView, launches: int = 1) -> str:
    """A backend's state on one line (a failure with the end of the server's log), "" for states without news.

    `launches` is how often its server is launched.
    """
    state = backend_view.state
    name = sanitize(backend_view.backend.name)
    if state.failure is not None:
        tail = "".join(f"\n    {sanitize(line)}" for line in state.log_tail)
        return f"{name}: {STATE_WORDS[state.state]}: {sanitize(str(state.failure), 600)}{tail}"
    if state.state == "preparing":
        return f"{name}: {sanitize(state.doing)}"
    if state.state == "ready":
        facts = [state.version, state.model, state.weights, plural(state.threads, "thread") if state.threads else ""]
        facts.append(f"loaded in {state.load_s:.1f} s" if state.load_s is not None else "")
        facts.append(backend_view.backend.start_words if backend_view.backend.launched else "")
        text = ", ".join(sanitize(fact) for fact in facts if fact)
        note = f" ({sanitize(state.note)})" if state.note else ""
        launch = f"{words}: " if (words := launch_words(state, launches)) else ""
        return f"{name}: {launch}ready{': ' if text else ''}{text}{note}"
    return ""
