"""Commands of `--on` whose output is text, both ends: `check`, `history` and `show`.

There, stdout and stderr are pipes while the command runs, and what comes out of them goes to the other machine, also
what programs write that the command has started.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

import click
import msgspec

from llmtui import exit_codes
from llmtui.cli.on import name_versions, sent_config
from llmtui.cli.output import draw_for, report
from llmtui.cli.racing import SentConfig
from llmtui.interrupts import ignore_interrupts, raise_on_interrupt
from llmtui.link.line_messages import Exited, Print, Printed, Refused
from llmtui.link.ssh import Line, LineError, OtherMachine
from llmtui.text import sanitize

#: The commands. They ask nothing: stdin is the line.
COMMANDS = ("check", "history", "show")
#: How long an interrupted command may take to stop what it has started, in s.
_STOPS_S = 20.0
#: How long what a command wrote last may take to arrive, in s. A program that it has left behind may keep a pipe open.
_LAST_S = 2.0
_READ_BYTES = 16 * 1024
#: How a message begins.
_MESSAGE = re.compile("^llmtui: ", re.MULTILINE)
_encode = msgspec.json.Encoder().encode


# --- There. ---


def carry_out(request: Print, sent: SentConfig | None) -> int:
    """Carry out a command, and send what it prints and its exit code. Return the exit code of this process."""
    with _piped() as send:
        if request.words[:1] and request.words[0] in COMMANDS:
            draw_for(request.columns)
            code = _code_of(request.words, sent)
        else:
            send(Refused(problem="this is not a command for another machine", exit_code=exit_codes.USAGE))
            return exit_codes.FAILED
    send(Exited(code=code))
    return exit_codes.OK


def _code_of(words: Sequence[str], sent: SentConfig | None) -> int:
    group = click.get_current_context().find_root().command
    raise_on_interrupt()
    threading.Thread(target=_interrupt_at_the_end, daemon=True).start()
    try:
        group.main(list(words), prog_name="llmtui", standalone_mode=False, obj=sent)
        code: object = exit_codes.OK
    except KeyboardInterrupt:
        code = exit_codes.INTERRUPTED
    except SystemExit as ended:
        code = ended.code
    except Exception as error:
        from llmtui.cli.exits import exit_code_of

        try:
            code = exit_code_of(error)
        except SystemExit as ended:
            code = ended.code
        except Exception as bug:
            report(f"llmtui failed here: {bug!r}; please report this")
            code = exit_codes.FAILED
    finally:
        ignore_interrupts()
    return code if isinstance(code, int) else exit_codes.OK


def _interrupt_at_the_end() -> None:
    """Interrupt the command when the other end hangs up."""
    while os.read(0, _READ_BYTES):
        pass
    os.kill(os.getpid(), signal.SIGINT)


@contextlib.contextmanager
def _piped() -> Iterator[Callable[[msgspec.Struct], None]]:
    """Send what is written to stdout and stderr. Yields what sends other messages, also after the block."""
    line, stderr, busy = os.dup(1), os.dup(2), threading.Lock()

    def send(message: msgspec.Struct) -> None:
        data = _encode(message) + b"\n"
        with busy, contextlib.suppress(OSError):  # the line has ended; stdin says so too
            while data:
                data = data[os.write(line, data) :]

    def read(pipe: int, number: int) -> None:
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        while data := os.read(pipe, _READ_BYTES):
            if text := decode(data):
                send(Printed(text=text, stderr=number == 2))
        os.close(pipe)

    readers = []
    for number in (1, 2):
        pipe, written = os.pipe()
        os.dup2(written, number)
        os.close(written)
        readers.append(threading.Thread(target=read, args=(pipe, number), daemon=True))
        readers[-1].start()
    try:
        yield send
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number in (1, 2):
            os.dup2(stderr, number)  # the pipes end
        for reader in readers:
            reader.join(_LAST_S)


# --- Here. ---


def print_from(machine: OtherMachine, context: click.Context) -> int:
    """Carry out the command of `context` on another machine, and print what it prints. Return its exit code.

    Raises LineError, and UsageError or ConfigError.
    """
    name, root = str(context.info_name), context.find_root().command
    words, text, config_name = list(_arguments(context)), None, ""
    if "words" in context.params:
        commands = root.commands if isinstance(root, click.Group) else ()
        words, text, config_name = sent_config(words, commands, machine.host)
    typed = [name, *_options(context), "--", *words]
    columns = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else 0
    line = Line.open(machine)
    try:
        name_versions(line)
        if "print" not in line.does:
            by_ssh = shlex.join(["ssh", machine.host, machine.program, *typed])
            raise LineError(
                f"llmtui {line.version} on {machine.host} does not know {name} --on; run it there, as in: {by_ssh}"
            )
        line.write(_encode(Print(words=typed, config=text, config_name=config_name, columns=columns)) + b"\n")
        return _printed(line)
    except KeyboardInterrupt:
        ignore_interrupts()
        line.hang_up()
        line.drain(_STOPS_S)  # the other end stops its servers
        raise
    finally:
        line.close()


def _printed(line: Line) -> int:
    while True:
        reply = line.read_reply()
        match reply:
            case Printed():
                text = "".join(c for c in reply.text if c.isprintable() or c in "\n\t")
                # As refusals of a run do, messages say which machine they are about: their files are there.
                text = _MESSAGE.sub(lambda start: f"{start[0]}{line.machine.host}: ", text) if reply.stderr else text
                stream = sys.stderr if reply.stderr else sys.stdout
                stream.write(text)
                stream.flush()
            case Exited():
                return reply.code
            case Refused():
                raise LineError(f"{line.machine.host}: {sanitize(reply.problem, 2_000)}")
            case _:
                raise LineError(f"{line.machine.host}: an unexpected answer")


def _arguments(context: click.Context) -> Iterator[str]:
    for param in context.command.params:
        if isinstance(param, click.Argument):
            value = context.params.get(str(param.name))
            yield from value if isinstance(value, tuple) else [value] if value is not None else []


def _options(context: click.Context) -> Iterator[str]:
    """Yield the options that were given, as they can be typed again, without those that name the machine."""
    for param in context.command.params:
        value = context.params.get(str(param.name))
        if not isinstance(param, click.Option) or param.name in ("on", "on_command"):
            continue
        typed = context.get_parameter_source(str(param.name)) is click.core.ParameterSource.COMMANDLINE
        if not typed or value is None or value is False:
            continue
        name = max(param.opts, key=len) if not param.opts[0].startswith("--") else param.opts[0]
        if value is True:
            yield name
            continue
        for one in value if isinstance(value, tuple) else (value,):
            yield f"{name}={one}"
