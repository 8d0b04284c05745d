"""Runs the monitor on a terminal, then prints a few lines of results and how the run ended."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from llmtui import exit_codes
from llmtui.config.schema import UiConfig
from llmtui.link.client import Client, Engine, EngineLink, LineLink
from llmtui.model import AnyCommand, AnyEvent, Detach, Hello, Plan, Shutdown
from llmtui.runview.loads import worded
from llmtui.text.cells import CELLS
from llmtui.text.format import plural
from llmtui.ui.app import MonitorApp
from llmtui.ui.escapes import RESTORE_TITLE
from llmtui.ui.here import Here
from llmtui.ui.trends import TrendSource

if TYPE_CHECKING:
    # The first frame does not wait for what a past run needs.
    from llmtui.runview.against import Against
    from llmtui.store.requests import RequestReader
    from llmtui.store.rows import StoredRun

#: A wait longer than this is reported.
_SILENT_S = 1.0


def show(
    plan: Plan,
    engine: Engine,
    ui: UiConfig,
    against: Against | None = None,
    here: Here | None = None,
    store: str = "",
    source: RequestReader | None = None,
    name: str = "",
) -> int:
    """Show the run of an engine that was started for it with the history `store`. Return the exit code.

    0 if no backend failed or the run continues without the monitor, 1 if a backend failed or the engine was lost,
    130 if the user stopped the run early. If the user quits, engine and servers have exited on return; if the user
    detaches, they go on. If the user chose another race, it is in `here`. `source` has the requests of turns of a run
    on another machine, else the history has them. `name` is how `attach` finds the run, if not by its id.
    """

    async def link() -> EngineLink:
        return await engine.connect()

    app = MonitorApp(plan.public(), link, ui=drawable(ui), against=against, here=here, far=source is not None)
    try:
        with terminal_for(app), _history_for(app, store, source):
            app.run()
    finally:
        if app.session.engine is None:
            engine.kill()  # It never got a command, so it would wait for a client.
        elif isinstance(app.session.farewell, Shutdown) or app.view.link != "up":
            asyncio.run(_wait_for_exit(engine))
        else:
            engine.detach()
    return print_farewell(app, name)


def show_here(plan: Plan, ui: UiConfig, here: Here) -> None:
    """Show what is on this machine, until the user has chosen a race or quits. `plan` has no backends."""

    async def never() -> EngineLink:
        waiting: asyncio.Future[EngineLink] = asyncio.get_running_loop().create_future()
        return await waiting

    app = MonitorApp(plan, never, ui=drawable(ui), here=here)
    with terminal_for(app):
        app.run()


async def _wait_for_exit(engine: Engine) -> None:
    """Wait until the engine has exited; report a long wait."""
    end = asyncio.ensure_future(engine.wait())
    if not (await asyncio.wait({end}, timeout=_SILENT_S))[0]:
        _write("llmtui: stopping the servers\n", sys.stderr)
    await end


def show_again(socket: Path, ui: UiConfig, store: str = "") -> int:
    """Show a run that an engine is carrying out already, with the history `store`. Return the exit code as `show` does.

    Raises OSError if no engine listens at `socket`.
    """
    return asyncio.run(_show_again(socket, ui, store))


async def _show_again(socket: Path, ui: UiConfig, store: str) -> int:
    return await _show_link(await Client.connect(socket), ui, store)


def show_link(client: EngineLink, ui: UiConfig, source: RequestReader, name: str) -> int:
    """Show the run at the other end of `client`; `source` and `name` are those of `show`. Return the exit code."""
    return asyncio.run(_show_link(client, ui, "", source, name))


async def _show_link(
    client: EngineLink, ui: UiConfig, store: str, source: RequestReader | None = None, name: str = ""
) -> int:
    plan, link = await reach_by(client)
    app = MonitorApp(plan, link, ui=drawable(ui), attached=True, far=source is not None)
    with terminal_for(app), _history_for(app, store, source):
        await app.run_async()
    return print_farewell(app, name)


def show_past(stored: StoredRun, ui: UiConfig, against: Against | None = None, store: str = "") -> int:
    """Show a run of the history `store`, without an engine. Return the exit code."""
    from llmtui.ui.past import PastLink, past_hello, past_run

    async def link() -> EngineLink:
        return PastLink(past_hello(stored))

    app = MonitorApp(stored.plan, link, ui=drawable(ui), past=past_run(stored), against=against)
    with terminal_for(app), _history_for(app, store):
        app.run()
    return exit_codes.OK


@contextlib.contextmanager
def _history_for(app: MonitorApp, store: str, source: RequestReader | None = None) -> Iterator[None]:
    """Let `app` read from the history: past runs, and of a load the requests, which its files have too.

    `source` has the requests of a run on another machine. The history there is out of reach.
    """
    with contextlib.ExitStack() as stack:
        if source is None:
            app.trends.read = stack.enter_context(contextlib.closing(TrendSource(store)))
        else:
            app.trends.out_of_reach = "the history of this run is on the other machine; there: llmtui trend BACKEND"
        if app.view.plan.levels:
            from llmtui.store.requests import RequestSource

            reader = stack.enter_context(contextlib.closing(source or RequestSource(store)))
            app.view.run_view.requests, app.session.history = reader, reader.answer
        yield


@contextlib.contextmanager
def terminal_for(app: MonitorApp) -> Iterator[None]:
    """Prepare the terminal for `app`, and restore its title afterwards."""
    for name in ("COLUMNS", "LINES"):
        # Some shells export them: a size that no resize changes.
        os.environ.pop(name, None)
    # Textual draws on __stderr__.
    stream = _screen()
    guarded = HangupStream(stream) if stream is not None else None
    previous, sys.__stderr__ = sys.__stderr__, guarded  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        sys.__stderr__ = previous  # type: ignore[misc]
        if app.announcer.titled and guarded is not None:
            guarded.write(RESTORE_TITLE)
            guarded.flush()


def _screen() -> TextIO | None:
    """The stream to draw on: stderr, or stdout if stderr is closed or goes to a file."""
    stderr = sys.__stderr__
    return stderr if stderr is not None and stderr.isatty() else sys.__stdout__


class HangupStream:
    """A terminal's stream that survives the terminal: when that is gone, it drops output and sends itself SIGHUP.

    Otherwise Textual's writer thread ends with the first error, its queue fills, and the monitor blocks.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def write(self, text: str) -> int:
        """Write to the terminal, if it is still there."""
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush the terminal, if it is still there."""
        self._do(self._stream.flush)

    def _do(self, act: Callable[[], object]) -> None:
        if self._gone:
            return
        try:
            act()
        except BlockingIOError:
            pass  # Another program made the terminal non-blocking: one frame is lost.
        except OSError:
            self._gone = True
            os.kill(os.getpid(), signal.SIGHUP)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


async def reach(socket: Path) -> tuple[Plan, Callable[[], Awaitable[EngineLink]]]:
    """Return the plan of the run behind `socket`, and a link to it. Raises OSError if no engine listens."""
    return await reach_by(await Client.connect(socket))


async def reach_by(client: EngineLink) -> tuple[Plan, Callable[[], Awaitable[EngineLink]]]:
    """Return the plan of the run behind `client`, and a link to it. Raises ConnectionError if its engine has exited."""
    events = client.events()
    hello = await anext(events, None)
    if not isinstance(hello, Hello):
        await client.close()
        raise ConnectionError("its engine has just exited")
    connected = _ConnectedLink(client, hello, events)

    async def link() -> EngineLink:
        return connected

    return hello.plan, link


class _ConnectedLink:
    """A link whose Hello was read already, for its plan."""

    def __init__(self, client: EngineLink, hello: Hello, rest: AsyncIterator[AnyEvent]) -> None:
        self._client = client
        self._hello = hello
        self._rest = rest

    @property
    def on_line(self) -> Callable[[str], None]:
        """What is told when the line drops, of a client that has one."""
        return self._client.on_line if isinstance(self._client, LineLink) else lambda _: None

    @on_line.setter
    def on_line(self, told: Callable[[str], None]) -> None:
        if isinstance(self._client, LineLink):
            self._client.on_line = told

    @property
    def up(self) -> bool:
        """Whether the line is up, of a client that has one."""
        return not isinstance(self._client, LineLink) or self._client.up

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Yield the Hello, then the other events."""
        yield self._hello
        async for event in self._rest:
            yield event

    async def send(self, command: AnyCommand) -> None:
        """Send a command."""
        await self._client.send(command)

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()


def drawable(ui: UiConfig) -> UiConfig:
    """Return the options, with the ASCII marker if the terminal's encoding is not UTF-8."""
    streams = (sys.stdout, _screen())
    if all(stream is None or is_utf8(stream.encoding) for stream in streams):
        return ui
    return msgspec.structs.replace(ui, marker="ascii")


def is_utf8(encoding: str | None) -> bool:
    """Return whether this is a name of UTF-8."""
    try:
        return codecs.lookup(encoding or "").name == "utf-8"
    except LookupError:
        return False


def _write(text: str, stream: TextIO) -> None:
    """Print text, with substitutes for the characters that the encoding lacks."""
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, CELLS).decode(encoding), end="", file=stream)


def print_farewell(app: MonitorApp, name: str = "") -> int:
    """Print a few lines of results to stdout, and how the run ended to stderr. Return the exit code.

    `name` is how `attach` finds the run, by default its id.
    """
    from llmtui.export.farewell import farewell

    run_view, config = app.run_view, app.run_view.plan.config
    _write(farewell(run_view, shutil.get_terminal_size((120, 24)).columns), sys.stdout)

    def report(message: str) -> None:
        _write(f"llmtui: {message}\n", sys.stderr)

    if app.session.lost_reason:
        report(f"{app.session.lost_reason}; the run was not done")
        return exit_codes.FAILED
    if run_view.run.phase != "done":
        # A line that is down carries no command.
        ended = isinstance(app.session.farewell, Shutdown) and app.view.link != "down"
        if not ended and (isinstance(app.session.farewell, Detach) or config.on_disconnect == "finish"):
            run = run_view.plan.run
            report(f"run {run} goes on; to reopen it: llmtui attach {name or run}")
            return exit_codes.OK
        if run_view.run.total:
            far = f"{run_view.run.finished} of {plural(run_view.run.total, 'iteration')}"
            report(f"stopped before the run was done: {worded(far, run_view.plan)}")
        else:
            report("stopped before the run began")
        return exit_codes.INTERRUPTED
    return exit_codes.FAILED if run_view.failed else exit_codes.OK
