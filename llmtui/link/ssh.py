"""A line to another machine: the user's own `ssh` with `llmtui link` at its other end.

It uses the user's settings, keys and agent. While the line is being opened, ssh talks to the user itself: it asks for
passwords and about unknown host keys on the terminal. A line that is opened again cannot ask: a screen is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque

import msgspec

import llmtui
from llmtui.link.line_messages import LINK, REPLY_START, AnyReply, AnyRequest, Greeting, Refused
from llmtui.model import Struct
from llmtui.model.errors import CommandError, UsageError
from llmtui.text import sanitize

#: The ssh to use, as words of a shell: for an ssh elsewhere, or with a config of its own.
ENVIRONMENT = "LLMTUI_SSH"
#: The exit code of ssh if it has no connection, and that of a shell without such a program.
_NO_CONNECTION, _NOT_FOUND, _NOT_EXECUTABLE = 255, 127, 126
#: A line of the other machine's shell before the greeting, such as a greeting of its own, is skipped: at most so much.
_MOST_NOISE_BYTES = 256 * 1024
_MOST_LINE_BYTES = 64 * 1024 * 1024
_READ_BYTES = 64 * 1024
#: How long a line that is opened again may take.
_AGAIN_S = 45.0
_PATIENCE_S = 2.0
#: What no name of a machine has, and what a command in the user's config of ssh (%h) would give to a shell.
_OF_SHELLS = frozenset("`$;|&<>(){}'\"")

_OPTIONS = (
    "-T",  # no terminal there
    "-a",  # no agent, X11 or ports there: the other machine gets nothing but the messages
    "-x",
    "-oClearAllForwardings=yes",
    "-oRemoteCommand=none",
    "-oCompression=yes",
    "-oServerAliveInterval=10",
    "-oServerAliveCountMax=3",
    "-oConnectTimeout=30",
)
#: Finds programs of pipx and uv, which a shell without a terminal may not. Its arguments are the command.
_RUN_THERE = 'PATH="$PATH:$HOME/.local/bin"; export PATH; exec "$0" "$@"'

_encode = msgspec.json.Encoder().encode
_decode_reply = msgspec.json.Decoder(AnyReply).decode


class LineError(CommandError):
    """No line to the other machine. `asks`: ssh would have to ask the user, so trying again is of no use."""

    def __init__(self, message: str, *, asks: bool = False) -> None:
        super().__init__(message)
        self.asks = asks


class RefusedError(CommandError):
    """The other machine refused what was asked. The message is that of llmtui there, with its exit code."""

    def __init__(self, host: str, refused: Refused) -> None:
        super().__init__(f"{host}: {refused.problem}")
        self.exit_code = refused.exit_code
        self.again = refused.again


class OtherMachine(Struct, frozen=True):
    """Another machine as the user names it to ssh, and the program llmtui there."""

    host: str
    program: str = "llmtui"

    @classmethod
    def named(cls, host: str, program: str | None = None) -> OtherMachine:
        """Return the machine that the user named. Raises UsageError for what cannot be a name."""
        shown = sanitize(repr(host), 80)
        if host.startswith("-"):
            raise UsageError(f"{shown} begins with a dash, so it is not a machine; write: --on user@host")
        strange = any(c.isspace() or not c.isprintable() or c in _OF_SHELLS for c in host)
        if not host.rpartition("@")[2] or host.rpartition("@")[2].startswith("-") or strange:
            raise UsageError(f"{shown} is not the name of a machine; write: --on user@host")
        if program is not None and (not program or program.startswith("-") or not program.isprintable()):
            raise UsageError(f"--on-command: {sanitize(repr(program), 80)} is not the path of a program")
        return cls(host=host, program=program or "llmtui")

    def run_words(self, run: str) -> str:
        """Return the words that name a run on this machine after `llmtui attach`."""
        plain = "@" in self.host and "://" not in self.host
        words = [f"{self.host}:{run}"] if plain else ["--on", self.host, run]
        return shlex.join([*words, *(["--on-command", self.program] if self.program != "llmtui" else [])])

    def show_words(self, run: str, store: str) -> str:
        """Return the command that shows a run of the history `store` ("": the usual one) there."""
        program = ["--on-command", self.program] if self.program != "llmtui" else []
        words = ["llmtui", "show", "--on", self.host, *program, run]
        return shlex.join([*words, *(["--store", store] if store else [])])

    def command(self, *, again: bool = False) -> list[str]:
        """Return the command that opens a line. `again`: without questions."""
        ssh = shlex.split(os.environ.get(ENVIRONMENT, "")) or ["ssh"]
        program = self.program
        if program.startswith("~/"):  # a quoted ~ means nothing; ssh starts commands in the home folder
            program = f"./{program[2:]}"
        there = " ".join(shlex.quote(word) for word in ("exec", "sh", "-c", _RUN_THERE, program, "link"))
        quiet = ("-oBatchMode=yes",) if again else ()
        return [*ssh, *_OPTIONS, *quiet, "--", self.host, there]


class Line:
    """One open line: an ssh process, its pipes, and what it said."""

    def __init__(self, machine: OtherMachine, process: subprocess.Popen[bytes], *, talks: bool) -> None:
        self.machine = machine
        self._process = process
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        self._in, self._out = process.stdin, process.stdout
        self._read = b""
        #: Whether what ssh says is passed on to the user.
        self._talks = talks
        self._said: deque[bytes] = deque(maxlen=64)
        # Another process may keep the pipe open for hours: a connection that ssh shares.
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        #: The version of llmtui there, and which later requests it knows.
        self.version = ""
        self.does: list[str] = []
        #: The last line that was not of llmtui, before the greeting.
        self._noise = b""

    @classmethod
    def open(cls, machine: OtherMachine, *, again: bool = False) -> Line:
        """Open a line and read its greeting. Blocks. `again`: ask nothing and say nothing. Raises LineError."""
        line = cls.start(machine, again=again)
        try:
            line.greet(_AGAIN_S if again else None)
        except BaseException:
            line.close(0)
            raise
        return line

    @classmethod
    def start(cls, machine: OtherMachine, *, again: bool = False) -> Line:
        """Start ssh; the greeting is still to come. Raises LineError."""
        command = machine.command(again=again)
        # Control-C is for llmtui, which then ends the run over this line.
        in_main = threading.current_thread() is threading.main_thread()
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main and not again else None
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=again,
            )
        except OSError as error:
            problem = "is not on this machine" if isinstance(error, FileNotFoundError) else str(error.strerror)
            raise LineError(
                f"{sanitize(command[0], 80)}: {problem}; --on needs an OpenSSH client (Debian: apt install "
                f"openssh-client), or name one in {ENVIRONMENT}",
                asks=True,
            ) from None
        finally:
            if previous is not None:
                signal.signal(signal.SIGINT, previous)
        return cls(machine, process, talks=not again)

    def greet(self, timeout_s: float | None = _AGAIN_S) -> None:
        """Read the greeting. Blocks. Raises LineError."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        noise = 0
        while noise < _MOST_NOISE_BYTES:
            line = self.read_line(None if end is None else max(0.0, end - time.monotonic()))
            if line is None:
                raise self.why_ended()
            # A shell may have written something before it, without the end of a line.
            if (at := line.find(REPLY_START)) >= 0:
                greeting = self._reply(line[at:])
                if not isinstance(greeting, Greeting):
                    break
                self.version, self.does = sanitize(greeting.llmtui, 40), greeting.does
                if greeting.link != LINK:
                    raise LineError(
                        f"llmtui {self.version} on {self.machine.host} and {llmtui.__version__} here do not understand "
                        "each other; install the same version on both",
                        asks=True,
                    )
                return
            noise += len(line)
            self._noise = line.strip() or self._noise
        raise LineError(f"{self.machine.host}: what answers there is not llmtui; see --on-command", asks=True)

    def ask(self, request: AnyRequest) -> AnyReply:
        """Send a request and return the answer to it. Blocks. Raises LineError, and RefusedError."""
        self.write(_encode(request) + b"\n")
        reply = self.read_reply()
        if isinstance(reply, Refused):
            raise RefusedError(
                self.machine.host, msgspec.structs.replace(reply, problem=sanitize(reply.problem, 2_000))
            )
        return reply

    def read_reply(self) -> AnyReply:
        """Return the next reply. Blocks. Raises LineError."""
        line = self.read_line(None)
        if line is None:
            raise self.why_ended()
        return self._reply(line)

    def _reply(self, line: bytes) -> AnyReply:
        try:
            return _decode_reply(line)
        except msgspec.DecodeError as error:
            raise LineError(f"{self.unreadable(error)}", asks=True) from None

    def unreadable(self, error: Exception) -> str:
        """Return the sentence about a message that this version of llmtui cannot read."""
        if self.version != llmtui.__version__:
            return (
                f"llmtui {self.version} on {self.machine.host} sent what llmtui {llmtui.__version__} here cannot read; "
                "install the same version on both"
            )
        return f"cannot read the messages of llmtui on {self.machine.host}: {sanitize(str(error), 200)}"

    def why_ended(self) -> LineError:
        """Return why the line ended before a greeting or an answer, from what ssh said and its exit code."""
        host, program = self.machine.host, self.machine.program
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        self._listener.join(0.2)
        code = self._process.returncode
        said = self.said()
        if code in (_NOT_FOUND, _NOT_EXECUTABLE):
            if program != "llmtui":
                return LineError(
                    f"{host}: the program {sanitize(program, 80)} does not exist or cannot be run", asks=True
                )
            return LineError(
                f"llmtui is not on the PATH of {host}; install it there (pipx install llmtui), or say where it is, as "
                "in --on-command '~/llmtui/.venv/bin/llmtui'",
                asks=True,
            )
        if code == _NO_CONNECTION:
            asks = any(words in said for words in ("Permission denied", "Host key verification failed", "ost key for"))
            return LineError(f"no connection to {host}: {said or 'ssh ended without a reason'}", asks=asks)
        if code is not None and code > 0 and not self.version and (noise := self._last_noise()):
            return LineError(f"no llmtui answers on {host}; the shell there says: {noise}", asks=True)
        if code is not None and code > 0 and not self.version:
            return LineError(
                f"llmtui on {host} ended before it answered (exit code {code}); it may be older than "
                f"{llmtui.__version__}, the version here",
                asks=True,
            )
        return LineError(f"the line to {host} ended: {said or 'ssh was ended'}")

    def _last_noise(self) -> str:
        return sanitize((self._read.strip() or self._noise).decode("utf-8", "replace"), 200)

    def said(self) -> str:
        """Return the last line that ssh said, "" if it said nothing."""
        lines = b"".join(self._said).decode("utf-8", "replace").strip().splitlines()
        return sanitize(lines[-1], 200) if lines else ""

    def hush(self) -> None:
        """Pass nothing on that ssh says: a screen is coming."""
        self._talks = False

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(self._process.stderr.fileno(), 4096):
                self._said.append(data)
                if self._talks:
                    sys.stderr.write(
                        "\n".join(sanitize(part, 2_000) for part in data.decode("utf-8", "replace").split("\n"))
                    )
                    sys.stderr.flush()

    # --- Bytes. ---

    def write(self, data: bytes) -> None:
        """Write to the other end. Does nothing if the line has ended, which `read_line` and `read` report."""
        with contextlib.suppress(OSError, ValueError):
            while data:
                data = data[os.write(self._in.fileno(), data) :]

    def read_line(self, timeout_s: float | None) -> bytes | None:
        """Return the next line without its end, None at the end of the line or after `timeout_s`. Blocks."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._read:
            left_s = None if end is None else end - time.monotonic()
            if (left_s is not None and left_s <= 0) or len(self._read) > _MOST_LINE_BYTES:
                return None
            if not select.select([self._out], [], [], left_s)[0]:
                return None
            data = os.read(self._out.fileno(), _READ_BYTES)
            if not data:
                return None
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line

    async def read(self) -> bytes:
        """Return what arrives next, b"" at the end of the line."""
        if self._read:
            data, self._read = self._read, b""
            return data
        loop, fd = asyncio.get_running_loop(), self._out.fileno()
        readable = loop.create_future()
        loop.add_reader(fd, lambda: None if readable.done() else readable.set_result(None))
        try:
            await readable
        finally:
            loop.remove_reader(fd)
        return os.read(fd, _READ_BYTES)

    def drain(self, timeout_s: float) -> bool:
        """Read to the end of the line, for at most `timeout_s`, and return whether it came. Blocks."""
        end = time.monotonic() + timeout_s
        with contextlib.suppress(OSError, ValueError):
            while (left_s := end - time.monotonic()) > 0:
                if select.select([self._out], [], [], left_s)[0] and not os.read(self._out.fileno(), _READ_BYTES):
                    return True
        return False

    def has_room(self) -> bool:
        """Whether a short write does not block. ssh reads nothing any more from a line that is stuck."""
        with contextlib.suppress(OSError, ValueError):
            return bool(select.select([], [self._in], [], 0)[1])
        return True  # it has ended, and writing does nothing

    def hang_up(self) -> None:
        """Say no more to the other end, and go on listening."""
        with contextlib.suppress(OSError):
            self._in.close()

    def end(self) -> None:
        """End ssh: what waits for the line ends too. May be called from any thread."""
        self._process.terminate()

    def close(self, patience_s: float = _PATIENCE_S) -> None:
        """Close the line: ssh has ended on return. It is terminated if it has not ended by itself in `patience_s`."""
        self.hang_up()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._out.close()
        self._listener.join(0.2)
        if self._process.stderr is not None and not self._listener.is_alive():
            self._process.stderr.close()
