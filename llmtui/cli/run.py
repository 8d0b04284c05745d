"""The plain-text clients: `run`, `check` and `accuracy`. Data to stdout, talk to stderr; nothing is computed here."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

import msgspec

from llmtui import exit_codes
from llmtui.format import plural
from llmtui.interrupts import ending
from llmtui.link.client import FAREWELL_S, Client
from llmtui.link.process import EngineError, EngineProcess
from llmtui.model import STATE_WORDS, Iteration, Plan, Shutdown, redacted, secret_values
from llmtui.runview.run import BackendView, RunView
from llmtui.text import redact, sanitize, sanitize_lines

if TYPE_CHECKING:
    from llmtui.accuracy.probe import Job
    from llmtui.engine.bringup import Target
    from llmtui.servers.base import Ready, Report

#: `check` asks each backend for so many tokens.
CHECK_TOKENS = 4
#: As a file's name: standard output, which then holds nothing else.
STDOUT = Path("-")

P = ParamSpec("P")
T = TypeVar("T")


class Interruption(asyncio.Event):
    """`with Interruption() as interruption:` around an event loop: Control-C and SIGTERM set it, and raise nothing.

    What Python raises for Control-C may strike between two lines of the loop itself, above all the second time. Then
    what was to come next is lost, and the loop waits for it for ever.
    """

    def __init__(self, *also: int) -> None:
        super().__init__()
        self._signals = (signal.SIGINT, signal.SIGTERM, *also)
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> Self:
        self._before = [(number, signal.signal(number, self._came)) for number in self._signals]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, before in self._before:
            signal.signal(number, before)
        if self.is_set():
            ending()

    def _came(self, number: int, at: FrameType | None) -> None:
        try:
            asyncio.get_running_loop().call_soon_threadsafe(self.set)
        except RuntimeError:
            self.set()  # no loop runs

    async def or_done(self, task: asyncio.Task[Any]) -> None:
        """Wait until the interruption comes or `task` is done; it goes on."""
        waiting = asyncio.create_task(self.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def cuts_short(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What `work` returns; None where the interruption came first, which cancels it."""
        doing = asyncio.create_task(work)
        await self.or_done(doing)
        if not doing.done():
            doing.cancel()
            await asyncio.wait({doing})
        return None if doing.cancelled() else doing.result()


def prints(command: Callable[P, int]) -> Callable[P, int]:
    """A command whose output is out when it returns; where stdout cannot take it, a sentence and exit code 1."""

    @functools.wraps(command)
    def whole(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            code = command(*args, **kwargs)
            # What is still in the buffer may be all that there is.
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            raise  # whoever read our output has seen enough: that is no failure to talk about
        except OSError as error:
            if error.filename is not None:
                raise  # of another file
            talk(f"cannot write the output: {error.strerror or error}")
            _drop_output()
            return exit_codes.FAILED

    return whole


def _drop_output() -> None:
    """Let go what is left in the buffer of stdout: Python would try once more when it ends, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    finally:
        os.close(nowhere)


@prints
def run_headless(
    plan: Plan, files: dict[str, Path | None], *, quiet: bool, store: str = "", resume: bool = False
) -> int:
    """Run `plan`, or go on with it, and print it. Returns the exit code."""
    with Interruption() as interrupted:
        try:
            engine = EngineProcess.start(plan, store, resume=resume)
        except EngineError as error:
            talk(str(error))
            return exit_codes.FAILED
        try:
            return asyncio.run(_follow(plan, engine, files, quiet or STDOUT in files.values(), interrupted))
        except EngineError as error:
            talk(str(error))
            return exit_codes.FAILED
        finally:
            engine.kill()


async def _follow(
    plan: Plan, engine: EngineProcess, files: dict[str, Path | None], quiet: bool, interrupted: Interruption
) -> int:
    # Only the JSON has texts and arrivals.
    run_view = RunView(plan, keep=None if files.get("json") else 0)
    client = await interrupted.cuts_short(engine.connect())
    if client is None:
        talk("interrupted")
        return exit_codes.INTERRUPTED
    follower = asyncio.create_task(_print_events(run_view, client, quiet))
    await interrupted.or_done(follower)
    complete = follower.done() and follower.result()
    if not complete and not interrupted.is_set():
        talk("the engine ended before the run did" + (f": {said}" if (said := engine.log_tail()) else ""))
    if interrupted.is_set():
        talk("interrupted; stopping the servers")
    if follower.done():
        await client.send_last(Shutdown())
    else:
        await part(client, follower, FAREWELL_S)
    await engine.ended()
    written = write_files(run_view, files)
    if STDOUT not in files.values():
        print_table(run_view)
    if interrupted.is_set():
        return exit_codes.INTERRUPTED
    return exit_codes.OK if complete and written and not run_view.failed else exit_codes.FAILED


async def part(client: Client, follower: asyncio.Task[Any], timeout_s: float) -> None:
    """End the run. Who follows it reads on until the engine has heard and hangs up, or so long."""
    await client.send(Shutdown())
    await asyncio.wait({follower}, timeout=timeout_s)
    follower.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await follower
    await client.close()


async def _print_events(run_view: RunView, client: Client, quiet: bool) -> bool:
    """Print until the run is done. False when the engine went away before."""
    told: dict[str, str] = {}
    async for event in client.events():
        change, name = run_view.apply(event)
        for note in run_view.notes if change == "all" else run_view.notes[-1:] if change == "note" else ():
            talk(f"{sanitize(note.backend)}: {sanitize(note.text, 600)}" if note.backend else sanitize(note.text, 600))
        if change == "iterations" and name and run_view.backends[name].last is not None and not quiet:
            backend_view = run_view.backends[name]
            if backend_view.last is not None and backend_view.iterations[-1].attempt == backend_view.state.attempt:
                print(iteration_line(run_view, backend_view.last), flush=True)
        for backend_view in run_view.backends.values():
            said = state_line(backend_view)
            if said and told.get(backend_view.backend.name) != said:
                told[backend_view.backend.name] = said
                if not quiet or backend_view.state.failure is not None:
                    talk(said)
        if run_view.run.phase == "done":
            return True
    return False


def iteration_line(run_view: RunView, iteration: Iteration) -> str:
    """One iteration on one line: backend, number, latency, TTFT, rate, tokens, and what was wrong with it."""
    width = max(len(sanitize(name)) for name in run_view.backends)
    config = run_view.plan.config
    planned = config.warmup if iteration.phase == "warmup" else config.iterations
    # Warm-ups that a fresh server needs in the middle of a run are numbered on.
    of = f"/{planned}" if iteration.iteration <= planned else ""
    place = f"{'warm-up' if iteration.phase == 'warmup' else ''} {iteration.iteration}{of}".strip()
    head = f"{sanitize(iteration.backend):{width}}  {place:>14}"
    if iteration.error is not None:
        return f"{head}  failed: {sanitize(str(iteration.error))}"
    parts = [f"{iteration.latency_s:8.3f} s"]
    parts.append(f"TTFT {iteration.ttft_s:.3f} s" if iteration.ttft_s is not None else "TTFT -")
    if iteration.tokens_per_s is not None:
        parts.append(f"{iteration.tokens_per_s:6.1f} tokens/s")
    if iteration.output_tokens is not None:
        counted = " (counted)" if iteration.token_source == "arrivals" else ""
        parts.append(f"{plural(iteration.output_tokens, 'token')}{counted}")
    if iteration.refused:
        parts.append(f"refused {iteration.refused}x before")
    if iteration.disturbed:
        parts.append(f"disturbed: {iteration.foreign_cpu:.1f} cores of other work")
    return f"{head}  " + "  ".join(parts)


def state_line(backend_view: BackendView) -> str:
    """What is worth a line when a backend's state changes, "" where nothing is."""
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
        told = ", ".join(sanitize(fact) for fact in facts if fact)
        note = f" ({sanitize(state.note)})" if state.note else ""
        return f"{name}: ready{': ' if told else ''}{told}{note}"
    return ""


def print_table(run_view: RunView) -> None:
    from llmtui.export.table import summary_table

    print(summary_table(run_view, shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 160), end="")


def write_files(run_view: RunView, files: dict[str, Path | None]) -> bool:
    """Write the files that were asked for. False when one could not be written."""
    from llmtui.export.csv import iterations_csv, results_csv
    from llmtui.export.json import run_json
    from llmtui.export.markdown import run_markdown
    from llmtui.store.atomic import write_atomic

    makers = {"csv": results_csv, "iterations_csv": iterations_csv, "json": run_json, "markdown": run_markdown}
    good = True
    for kind, path in files.items():
        if path is None:
            continue
        if path == STDOUT:
            print(makers[kind](run_view), end="")
            continue
        try:
            write_atomic(path, makers[kind](run_view))
        except OSError as error:
            talk(f"{path}: not written: {error.strerror or error}")
            good = False
    return good


@prints
def check_headless(plan: Plan) -> int:
    """Reach every backend of `plan` and print a line for each, in their order. Returns the exit code."""
    from llmtui.engine.bringup import Target
    from llmtui.measure.request import IterationError
    from llmtui.servers.base import StartError
    from llmtui.servers.environment import withheld_variables

    config = msgspec.structs.replace(plan.config, max_tokens=CHECK_TOKENS)

    async def check_one(target: Target, found: asyncio.Task[Ready] | None, width: int) -> bool:
        backend = target.backend
        secrets = secret_values(backend)
        try:
            ready = await (found or target.bring_up(_say_progress(target)))
            # Only an answer proves that url, model and protocol go together.
            await target.ask(plan.config.prompt)
        except (StartError, IterationError) as error:
            print(
                f"{sanitize(backend.name):{width}}  {sanitize(str(redacted(error.failure, backend)), 600)}", flush=True
            )
            for line in error.log_tail if isinstance(error, StartError) else ():
                talk(f"    {sanitize(redact(line, secrets))}")
            return False
        except Exception as error:  # a fault of ours with one backend: the others are asked all the same
            print(
                f"{sanitize(backend.name):{width}}  "
                f"llmtui failed here: {sanitize(repr(error), 200)}; please report this"
            )
            return False
        finally:
            await target.close()
        facts = [ready.version, ready.model, ready.weights, ready.note]
        load = [f"loaded in {ready.load_s:.1f} s"] if ready.load_s is not None else []
        told = ", ".join([sanitize(redact(f, secrets)) for f in facts if f] + load)
        print(f"{sanitize(backend.name):{width}}  answers: {told}", flush=True)
        return True

    async def check_all() -> bool:
        good = True
        width = max(len(sanitize(b.name)) for b in plan.backends)
        with tempfile.TemporaryDirectory(prefix="llmtui-check-") as folder:
            targets = [
                Target(
                    backend, config, Path(folder) / str(number), withheld_variables(backend, plan.backends, os.environ)
                )
                for number, backend in enumerate(plan.backends)
            ]
            # Servers that run already are asked all at once: one that does not answer takes its time.
            found = {
                t.backend.name: asyncio.create_task(t.bring_up(_say_progress(t)))
                for t in targets
                if not t.backend.launched
            }
            try:
                for target in targets:
                    good = await check_one(target, found.get(target.backend.name), width) and good
            finally:
                for task in found.values():
                    task.cancel()
                await asyncio.gather(*found.values(), return_exceptions=True)
                for target in targets:
                    await target.close()
        return good

    with Interruption() as interrupted:
        good = asyncio.run(interrupted.cuts_short(check_all()))
    return exit_codes.INTERRUPTED if good is None else exit_codes.OK if good else exit_codes.FAILED


def _say_progress(target: Target) -> Report:
    """Says what bringing up `target` does, each thing once."""
    said = ""

    def report(doing: str, progress: float | None) -> None:
        nonlocal said
        if progress is not None and doing != said:
            said = doing
            talk(f"{sanitize(target.backend.name)}: {sanitize(doing)}")

    return report


@prints
def accuracy_headless(job: Job, *, as_json: bool, quiet: bool) -> int:
    """Measure this tool's own error, print it, and keep it for the header and the exports. Returns the exit code."""
    from llmtui.accuracy.probe import AccuracyError
    from llmtui.accuracy.pty_monitor import measure
    from llmtui.accuracy.table import table
    from llmtui.model.accuracy import MIN_STORED_REQUESTS
    from llmtui.store.accuracy_record import keep, record_file

    def say(text: str) -> None:
        if not quiet:
            talk(text)

    try:
        record = measure(job, say)
    except AccuracyError as error:
        talk(sanitize(str(error), 600))
        return exit_codes.FAILED
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(record), indent=2).decode())
    else:
        print(table(record), end="")
    if not record.worth_storing:
        say(f"not kept: that takes 1 stream, {MIN_STORED_REQUESTS} requests and the monitor")
        return exit_codes.OK
    file: Path | None = None
    try:
        file = record_file()
        say(f"kept in {keep(record, file)}")
    except OSError as error:
        talk(f"{file or 'the result'}: not written: {error.strerror or error}")
    return exit_codes.OK


def talk(text: str) -> None:
    """Say `text` on stderr: a sentence, perhaps with lines under it; plain, whatever paths and errors in it hold."""
    print("llmtui: " + "\n".join(sanitize_lines(text)), file=sys.stderr, flush=True)
