"""`llmtui serve`: one run, shown in a browser by any number of pages, with the terminal of textual-serve.

There is one engine, and each page is a monitor attached to it: two runs at once would measure each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
from pathlib import Path

from aiohttp import web

from llmtui import exit_codes
from llmtui.cli.output import print_table, report
from llmtui.cli.run import end_run
from llmtui.cli.serve.access import Access
from llmtui.cli.serve.connections import Connections, Limits
from llmtui.cli.serve.faults import one_line_each
from llmtui.cli.serve.metrics_token import VARIABLE, metrics_token
from llmtui.cli.serve.pages import LEAVE_S, Pages
from llmtui.config.schema import UiConfig
from llmtui.interrupts import Interruption
from llmtui.link.client import Client
from llmtui.link.process import EngineProcess
from llmtui.load.prompt_files.source import index_for
from llmtui.model import Plan
from llmtui.model.errors import UsageError
from llmtui.runview.run import RunView
from llmtui.text import sanitize

#: The listen backlog: more connections than arrive while a batch is being checked.
BACKLOG = 512
#: How long an idle connection may be reused.
IDLE_S = 75.0


def serve(
    plan: Plan,
    ui: UiConfig,
    *,
    host: str,
    port: int,
    store: str = "",
    label: str = "",
    metrics: bool = False,
    token_file: Path | None = None,
) -> int:
    """Start an engine for `plan` and serve pages that show it, until interrupted or the engine ends. Return the exit
    code, as `run` does. With `metrics` there is /metrics too, under the same rules, except for a token of its own
    (llmtui.cli.serve.metrics_token), which may be in `token_file`.

    Raises EngineError, and UsageError if `host` and `port` (0: a free one) or the token cannot be used.
    """
    token = metrics_token(token_file, report) if metrics else ""
    os.environ.pop(VARIABLE, None)  # no server that is started has it
    access = Access(host, token)
    try:
        listener = _listen(host, port)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose another with --host or --port"
        ) from error
    with listener, Interruption(signal.SIGHUP) as interruption:
        engine = EngineProcess.start(plan, store, label=label, prompt_index=index_for(plan.prompts))
        try:
            return asyncio.run(_serve(plan, ui, access, listener, engine, interruption, metrics))
        finally:
            engine.kill()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, opened before an engine is started. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


async def _serve(
    plan: Plan,
    ui: UiConfig,
    access: Access,
    listener: socket.socket,
    engine: EngineProcess,
    interruption: Interruption,
    metrics: bool,
) -> int:
    client = await interruption.run(engine.connect())
    if client is None:
        report("interrupted")
        return exit_codes.INTERRUPTED
    # Like every client: lower priority than the servers under test. The pages inherit it.
    os.nice(5)
    run_view = RunView(plan, keep=0)
    follower = asyncio.create_task(_follow(run_view, client))
    with one_line_each(report, access.secrets):
        await _serve_pages(engine, ui, access, listener, interruption, follower, run_view if metrics else None)
    done = run_view.run.phase == "done"
    if follower.done() and not done:
        report("the engine ended before the run was complete" + (f": {line}" if (line := engine.log_tail()) else ""))
    await end_run(client, follower, LEAVE_S)
    await engine.wait()
    print_table(run_view)
    if not done:
        return exit_codes.INTERRUPTED if interruption.is_set() else exit_codes.FAILED
    return exit_codes.FAILED if run_view.failed else exit_codes.OK


async def _serve_pages(
    engine: EngineProcess,
    ui: UiConfig,
    access: Access,
    listener: socket.socket,
    interruption: Interruption,
    follower: asyncio.Task[None],
    scraped: RunView | None,
) -> None:
    """Serve until interrupted, or until `follower` is done because the engine has ended.

    Programs can scrape the figures of `scraped`, if it is given.
    """
    limits = Limits.of_this_process()
    connections = Connections(listener, limits, report, others=access.for_weeks)
    pages = Pages(engine.socket, ui, access, connections, limits.pages, scraped)
    # Request bodies are neither decompressed nor read: no request has one.
    runner = web.AppRunner(
        pages.application(),
        access_log=None,
        shutdown_timeout=1.0,
        keepalive_timeout=IDLE_S,
        lingering_time=0.0,
        auto_decompress=False,
    )
    await runner.setup()
    assert runner.server is not None
    accepting = asyncio.create_task(connections.accept(runner.server))
    _print_address(listener, access.token)
    if scraped is not None:
        which = "the token that you gave" if access.for_weeks else "the same token"
        report(f"Prometheus can scrape /metrics there, with {which} (llmtui explain report)")
    try:
        await interruption.or_done(follower)
        if interruption.is_set():
            report("interrupted; stopping the servers")
    finally:
        accepting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await accepting
        listener.close()
        connections.drop_waiting()
        await pages.close()
        await runner.cleanup()


async def _follow(run_view: RunView, client: Client) -> None:
    """Update `run_view` until the engine ends. The engine stays while a client is connected."""
    async for event in client.events():
        before = run_view.run.phase
        change, _ = run_view.apply(event)
        if run_view.run.phase == "done" != before:
            report("the run is done; its pages stay open, and can rerun backends, until Control-C")
        for note in run_view.notes[-1:] if change == "note" else ():
            report(sanitize(f"{note.backend}: {note.text}" if note.backend else note.text, 600))


def _print_address(listener: socket.socket, token: str) -> None:
    """Report the address to open. Only this message contains the token."""
    address, port = listener.getsockname()[:2]
    ip = ipaddress.ip_address(address.partition("%")[0])
    shown = "localhost" if ip.is_unspecified else f"[{ip}]" if ip.version == 6 else str(ip)
    report(f"open http://{shown}:{port}/?token={token} in a browser; Control-C here ends the run and its servers")
    if not ip.is_loopback:
        report(
            f"WARNING: {address} is not loopback, and the connection is not encrypted: anyone who can read the traffic "
            "gets the token, and with it control of the run. A safer way is to omit --host, and to run on the other "
            f"machine: ssh -L {port}:127.0.0.1:{port} THIS-MACHINE"
        )
