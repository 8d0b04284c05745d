"""From the command line to the monitor and back: runs the screen over an engine, leaves its last words on stdout."""

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
from typing import Any, TextIO

import msgspec

from llmtui import exit_codes
from llmtui.config.schema import UiConfig
from llmtui.export.table import summary_table
from llmtui.format import plural
from llmtui.link.client import Client, EngineLink
from llmtui.link.process import EngineProcess
from llmtui.model import AnyCommand, AnyEvent, Detach, Hello, Plan, Shutdown
from llmtui.ui.app import MonitorApp
from llmtui.ui.escapes import GIVE_BACK_TITLE

#: A wait longer than this is told of.
_SILENT_S = 1.0


def show(plan: Plan, engine: EngineProcess, ui: UiConfig) -> int:
    """Show the run of an engine that was started for it. Returns the exit code.

    0 when all is well (or the run goes on without the monitor), 1 when a backend failed or the engine was lost, 130
    when the user ended the run before it was done.
    When the user quits, engine and servers have ended on return; when the user leaves by another way, they go on.
    """

    async def link() -> EngineLink:
        return await engine.connect()

    app = MonitorApp(plan.public(), link, ui=drawable(ui))
    try:
        with the_terminal(app):
            app.run()
    finally:
        if app.session.engine is None:
            engine.kill()  # left before it could be told anything
        elif isinstance(app.session.farewell, Shutdown) or app.view.link != "up":
            asyncio.run(_ended(engine))
        else:
            engine.leave()
    return last_words(app)


async def _ended(engine: EngineProcess) -> None:
    """Wait for the engine's end; who has to wait is told for what."""
    end = asyncio.ensure_future(engine.ended())
    if not (await asyncio.wait({end}, timeout=_SILENT_S))[0]:
        _write("llmtui: stopping the servers\n", sys.stderr)
    await end


def show_again(socket: Path, ui: UiConfig) -> int:
    """Show a run that is going on already. Returns the exit code as `show` does.

    Raises OSError when nobody listens at `socket`.
    """
    return asyncio.run(_show_again(socket, ui))


async def _show_again(socket: Path, ui: UiConfig) -> int:
    plan, link = await reach(socket)
    app = MonitorApp(plan, link, ui=drawable(ui))
    with the_terminal(app):
        await app.run_async()
    return last_words(app)


@contextlib.contextmanager
def the_terminal(app: MonitorApp) -> Iterator[None]:
    """While `app` runs on it. Afterwards the terminal has the title that it had before."""
    for name in ("COLUMNS", "LINES"):
        # Exported by some shells and programs: a size that no resize changes.
        os.environ.pop(name, None)
    # Where Textual draws.
    stream = sys.__stderr__
    lasting = Lasting(stream) if stream is not None else None
    sys.__stderr__ = lasting  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        sys.__stderr__ = stream  # type: ignore[misc]
        if app.announcer.titled and lasting is not None:
            lasting.write(GIVE_BACK_TITLE)
            lasting.flush()


class Lasting:
    """A terminal's stream that outlives the terminal: when that is gone it swallows what is written, and hangs up.

    Otherwise Textual's writer ends with the first error, its queue fills, and the monitor waits for room there.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def write(self, text: str) -> int:
        """Write, as long as somebody is there."""
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, as long as somebody is there."""
        self._do(self._stream.flush)

    def _do(self, act: Callable[[], object]) -> None:
        if self._gone:
            return
        try:
            act()
        except BlockingIOError:
            pass  # Somebody else made the terminal one that does not wait: a frame is lost, and nothing more.
        except OSError:
            self._gone = True
            os.kill(os.getpid(), signal.SIGHUP)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


async def reach(socket: Path) -> tuple[Plan, Callable[[], Awaitable[EngineLink]]]:
    """The plan of the run behind `socket`, and the link for a monitor of it. Raises OSError when nobody listens."""
    client = await Client.connect(socket)
    events = client.events()
    hello = await anext(events, None)
    if not isinstance(hello, Hello):
        await client.close()
        raise ConnectionError("its engine ended just now")
    came = _Came(client, hello, events)

    async def link() -> EngineLink:
        return came

    return hello.plan, link


class _Came:
    """A link whose first event was read already, to learn of which run it is."""

    def __init__(self, client: Client, hello: Hello, rest: AsyncIterator[AnyEvent]) -> None:
        self._client = client
        self._hello = hello
        self._rest = rest

    async def events(self) -> AsyncIterator[AnyEvent]:
        """That event, then the others."""
        yield self._hello
        async for event in self._rest:
            yield event

    async def send(self, command: AnyCommand) -> None:
        """Pass it on."""
        await self._client.send(command)

    async def close(self) -> None:
        """Leave."""
        await self._client.close()


def drawable(ui: UiConfig) -> UiConfig:
    """The same options, in ASCII where the terminal's encoding has no other signs."""
    # Textual draws on the error stream.
    streams = (sys.stdout, sys.__stderr__)
    if all(stream is None or is_utf8(stream.encoding) for stream in streams):
        return ui
    return msgspec.structs.replace(ui, marker="ascii")


def is_utf8(encoding: str | None) -> bool:
    """Whether this name of an encoding means UTF-8."""
    try:
        return codecs.lookup(encoding or "").name == "utf-8"
    except LookupError:
        return False


def _write(text: str, stream: TextIO) -> None:
    """Print where the encoding may lack a sign: a question mark stands for it."""
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), end="", file=stream)


def last_words(app: MonitorApp) -> int:
    """Leave the summary on stdout, and what there is to say of the run's end on stderr. Returns the exit code."""
    run_view, config = app.run_view, app.run_view.plan.config
    _write(summary_table(run_view, shutil.get_terminal_size((120, 24)).columns), sys.stdout)

    def say(words: str) -> None:
        _write(f"llmtui: {words}\n", sys.stderr)

    if app.session.lost_reason:
        say(f"{app.session.lost_reason} before the run was done")
        return exit_codes.FAILED
    if run_view.run.phase != "done":
        ended = isinstance(app.session.farewell, Shutdown)
        if not ended and (isinstance(app.session.farewell, Detach) or config.on_disconnect == "finish"):
            run = run_view.plan.run
            say(f"run {run} goes on; come back to it with: llmtui attach {run}")
            return exit_codes.OK
        if run_view.run.total:
            say(f"ended before it was done: {run_view.run.finished} of {plural(run_view.run.total, 'iteration')}")
        else:
            say("ended before it began")
        return exit_codes.INTERRUPTED
    return exit_codes.FAILED if run_view.failed else exit_codes.OK
