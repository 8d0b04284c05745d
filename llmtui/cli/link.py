"""`llmtui link`: the other end of a line from another machine. ssh starts it, people do not.

It makes plans and starts engines here for a command that was typed there, and carries events there. Stdin and stdout
are the line, stderr is for the person there.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import llmtui
from llmtui import exit_codes
from llmtui.link.bridge import Bridge, only_new
from llmtui.link.line_messages import (
    DOES,
    LINK,
    AnyReply,
    AnyRequest,
    Continue,
    Ended,
    Greeting,
    Join,
    Joined,
    Past,
    Planned,
    Print,
    Refused,
    Start,
)
from llmtui.model.errors import CommandError, UsageError

if TYPE_CHECKING:
    from llmtui.cli.racing import SentConfig
    from llmtui.link.process import EngineProcess
    from llmtui.model import Plan, Since

#: Below that of the engine and of the servers.
_NICE = 5
_MOST_REQUEST_BYTES = 4 * 1024 * 1024
#: How long the socket of an engine may not answer.
_CONNECT_S = 10.0


def serve_line() -> int:
    """Answer one request on stdin, and carry the events of its run. Return the exit code."""
    if sys.stdin.isatty():
        raise UsageError("llmtui link is the other end of llmtui --on; ssh starts it")
    _say(Greeting(llmtui=llmtui.__version__, link=LINK, does=DOES))
    text = _read_line()
    if not text:
        return exit_codes.OK
    try:
        request: AnyRequest = msgspec.json.decode(text, type=AnyRequest)
    except msgspec.DecodeError as error:
        _say(Refused(problem=f"llmtui {llmtui.__version__} cannot read what was asked: {error}", exit_code=2))
        return exit_codes.FAILED
    try:
        match request:
            case Start():
                return _start(request)
            case Continue():
                return _continue(request)
            case Print():
                from llmtui.cli.printing import carry_out

                return carry_out(request, _sent(request))
            case Join():
                return _join(request)
            case Past():
                from llmtui.cli.past_requests import answer_requests

                _say(Joined(run=request.run))
                return answer_requests(request.run, request.store)
    except CommandError as error:
        _say(Refused(problem=str(error), exit_code=error.exit_code))
        return exit_codes.OK


def _sent(request: Start | Continue | Print) -> SentConfig | None:
    from llmtui.cli.racing import SentConfig

    return SentConfig(request.config, request.config_name) if request.config is not None else None


def _start(request: Start) -> int:
    from llmtui.cli.options import plan_from

    sent = _sent(request)
    _, plan = plan_from(request.words, request.model, request.only, request.changes, sent=sent)
    return _begin(plan, request.store, label=request.label)


def _continue(request: Continue) -> int:
    from llmtui.cli.resume import resumable

    sent = _sent(request)
    plan, _ = resumable(request.run, request.store, request.path, request.words, request.model, sent)
    return _begin(plan, request.store, resume=True)


def _begin(plan: Plan, store: str, *, label: str = "", resume: bool = False) -> int:
    """Send a plan, start its engine once the other end has agreed, and carry its events."""
    _say(Planned(plan=plan.public()))
    if _read_line() is None:
        return exit_codes.OK  # the person there changed their mind, and nothing has started
    from llmtui.link.process import EngineProcess
    from llmtui.load.prompt_files.source import index_for

    try:
        index = index_for(plan.prompts)
        engine = EngineProcess.start(plan, store, resume=resume, label=label, prompt_index=index)
        asyncio.run(engine.listening())
    except CommandError as error:
        _say(Ended(problem=str(error)))
        return exit_codes.FAILED
    return _carry(engine.socket, engine)


def _join(request: Join) -> int:
    from llmtui.cli.monitor import active_run
    from llmtui.link.process import live_runs

    try:
        active = active_run(request.run, request.store)
        others = [one.run for one in live_runs() if one.run != active.run] if request.run is None else []
        return _carry(Path(active.socket), None, Joined(run=active.run, others=others), request.have)
    except CommandError as error:
        # It has ended, perhaps just now: between being found and being connected to.
        if request.again and request.run:
            return _end_of(request.run, request, error)
        raise


def _end_of(run: str, request: Join, error: CommandError) -> int:
    """Send the end of a run that has ended since the line was dropped, or `error` if it goes on."""
    from llmtui.cli.history import opened
    from llmtui.link.since import pieces, rest_of
    from llmtui.model import Earlier, Hello
    from llmtui.ui.past import past_hello

    with opened(request.store) as history:
        stored = history.load(run)
    if stored.state == "running":
        _say(Refused(problem=str(error), exit_code=error.exit_code, again=True))
        return exit_codes.OK
    _say(Joined(run=run))
    encode = msgspec.json.Encoder().encode
    event: Hello | Earlier | None = None
    for event in pieces(rest_of(past_hello(stored), request.have)):
        _write(encode(event) + b"\n")
    if isinstance(event, Earlier):
        _write(encode(Earlier(iterations=[], last=True)) + b"\n")
    _say(Ended())
    return exit_codes.OK


def _carry(path: Path, engine: EngineProcess | None, reply: Joined | None = None, have: Since | None = None) -> int:
    """Carry the events of the engine that listens at `path`, after a `reply` and without what the other end has."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_CONNECT_S)
        try:
            connection.connect(str(path))
            first = only_new(connection, have) if have is not None else b""
        except OSError as error:
            raise CommandError(f"the engine does not answer: {error.strerror or error}") from None
        connection.settimeout(None)
        if reply is not None:
            _say(reply)
        # Not earlier: an engine would inherit it.
        os.nice(_NICE)
        bridge = Bridge(connection, first=first)
        ending = bridge.run()
    if ending == "engine":
        os.set_blocking(1, True)
        if engine is not None and b'"shutdown"' in bridge.last_command:
            asyncio.run(engine.wait())
        _say(Ended())
    elif engine is not None:
        engine.detach()
    return exit_codes.OK


def _say(reply: AnyReply) -> None:
    _write(msgspec.json.encode(reply) + b"\n")


def _write(data: bytes) -> None:
    """Write to the line. If it is closed, exit: an error could not be reported either."""
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        sys.exit(exit_codes.FAILED)


def _read_line() -> bytes | None:
    """Return a line from the other machine, None at the end of the line. No more is read: commands follow."""
    line = bytearray()
    while len(line) < _MOST_REQUEST_BYTES:
        byte = os.read(0, 1)
        if not byte:
            return None
        if byte == b"\n":
            return bytes(line)
        line += byte
    return None
