"""A run on another machine, seen from here: events over a line that is opened again when it drops.

The engine goes on without the line, as it does without a monitor. A line that is open again gets what is new: the state
of the run, and the results that were not received.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec

import llmtui
from llmtui.link.client import HANG_UP_S
from llmtui.link.line_messages import REPLY_START, STILL_HERE_S, Ended, Join, Joined
from llmtui.link.run_folders import EngineError
from llmtui.link.since import Received
from llmtui.link.ssh import Line, LineError, OtherMachine, RefusedError
from llmtui.model import AnyCommand, AnyEvent, Detach, Hello, Note, Plan, Shutdown
from llmtui.model.errors import CommandError
from llmtui.text import sanitize

#: How long to wait before a dropped line is opened again, the first time and then longer and longer, in s.
WAITS_S = (0.2, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)

_encode = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(AnyEvent).decode
_decode_ended = msgspec.json.Decoder(Ended).decode

#: Told that the line is down and why, or with "" that it is up again.
OnLine = Callable[[str], None]


class RemoteLink:
    """The link to the engine of a run on another machine. It is a `RunLink`."""

    def __init__(self, line: Line, run: str, store: str) -> None:
        self._line: Line | None = line
        self._machine = line.machine
        self._run = run
        self._store = store
        #: How long a line that is down is opened again and again, in s; None: for ever.
        self.give_up_s: float | None = None
        self._left = asyncio.Event()
        #: The line that is being opened again.
        self._opening: Line | None = None
        self._ended = False
        self._received = Received()
        self._versions = line.version != llmtui.__version__ and line.version
        self._beat: asyncio.Task[None] | None = None
        #: Lines that were read, and the parts of the one that is not here as a whole.
        self._whole: deque[bytes] = deque()
        self._parts: list[bytes] = []
        #: See `OnLine`.
        self.on_line: OnLine = lambda _: None

    @property
    def host(self) -> str:
        """The other machine, as the user names it."""
        return self._machine.host

    @property
    def up(self) -> bool:
        """Whether there is a line now."""
        return self._line is not None

    async def wait_for_first(self) -> None:
        """Wait for the first message. Raises EngineError if the engine did not start."""
        async for line in self._lines():
            if line.startswith(REPLY_START):
                raise EngineError(
                    f"{self.host}: {sanitize(_decode_ended(line).problem, 400) or 'the engine has exited'}"
                )
            self._whole.appendleft(line)
            return

    async def events(self) -> AsyncIterator[AnyEvent]:
        """Yield events as they arrive, and a further `Hello` each time that the line is open again.

        End when the engine has exited. Raises LineError if the line cannot be opened again.
        """
        self._beat = asyncio.create_task(self._say_still_here())
        try:
            while True:
                async for event in self._events_of_line():
                    yield event
                if self._ended or self._left.is_set():
                    return
                await self._open_again()
        finally:
            self._beat.cancel()

    async def _events_of_line(self) -> AsyncIterator[AnyEvent]:
        async for text in self._lines():
            if text.startswith(REPLY_START):
                self._ended = True
                return
            try:
                event = _decode_event(text)
            except msgspec.DecodeError as error:
                assert self._line is not None
                raise LineError(self._line.unreadable(error)) from None
            self._received.add(event)
            yield event
            if isinstance(event, Hello) and self._versions:
                yield Note(
                    text=f"{self.host} has llmtui {self._versions}, this machine {llmtui.__version__}", level="warning"
                )
                self._versions = ""

    async def _lines(self) -> AsyncIterator[bytes]:
        """Yield whole lines until the line to the other machine ends. Those that no one takes are kept."""
        while True:
            while self._whole:
                yield self._whole.popleft()
            if self._line is None:
                return
            try:
                data = await self._line.read()
            except (OSError, ValueError):
                return
            if not data:
                return
            *lines, rest = data.split(b"\n")
            for line in lines:
                self._whole.append(b"".join((*self._parts, line)))
                self._parts = []
            self._parts.append(rest)

    async def _open_again(self) -> None:
        """Open the line again, with pauses. Raises LineError if that is of no use, or has taken too long."""
        began = time.monotonic()
        await self._drop()
        attempt = 0
        reason = f"the line to {self.host} dropped"
        while True:
            wait_s = WAITS_S[min(attempt, len(WAITS_S) - 1)]
            self.on_line(f"{reason}; next try in {wait_s:g} s" if attempt else reason)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._left.wait()
            if self._left.is_set():
                return
            try:
                self._line = await asyncio.to_thread(self._join)
                self.on_line("")
                return
            except LineError as error:
                if self._left.is_set():
                    return
                late = self.give_up_s is not None and time.monotonic() - began > self.give_up_s
                if error.asks or late:
                    raise LineError(
                        f"{error}; the run may go on: llmtui attach {self._machine.run_words(self._run)}"
                    ) from None
                reason = str(error)
            attempt += 1

    def _join(self) -> Line:
        line = self._opening = Line.start(self._machine, again=True)
        try:
            line.greet()
            joined = line.ask(Join(run=self._run, store=self._store, again=True, have=self._received.since))
            if not isinstance(joined, Joined):
                raise LineError(f"{self.host}: an unexpected answer")
            return line
        except RefusedError as error:
            line.close(0)
            if error.again:
                raise LineError(str(error)) from None
            raise
        except BaseException:
            line.close(0)
            raise
        finally:
            self._opening = None

    async def _drop(self) -> None:
        line, self._line = self._line, None
        self._parts = []
        self._whole.clear()
        if line is not None:
            await asyncio.to_thread(line.close)

    async def _say_still_here(self) -> None:
        while True:
            await asyncio.sleep(STILL_HERE_S)
            self._write(b"\n")

    async def send(self, command: AnyCommand) -> None:
        """Send a command. Does nothing while the line is down."""
        self._send(command)

    def _send(self, command: AnyCommand) -> None:
        if isinstance(command, Shutdown | Detach):
            self._leave()
        self._write(_encode(command) + b"\n")

    def _write(self, data: bytes) -> None:
        """Write to the line. What it has no room for is lost, as while it is down: a screen must not wait for it."""
        if self._line is not None and self._line.has_room():
            self._line.write(data)

    def _leave(self) -> None:
        self._left.set()
        if (opening := self._opening) is not None:
            opening.end()

    def shut_down(self) -> None:
        """Send `Shutdown`, from outside of an event loop."""
        self._send(Shutdown())

    async def send_last(self, command: AnyCommand) -> None:
        """Send a command and read until the engine hangs up. Call it only when nothing reads `events` any more."""
        await self.send(command)
        with contextlib.suppress(TimeoutError, CommandError):
            async with asyncio.timeout(HANG_UP_S):
                async for _ in self._events_of_line():
                    pass
        await self.close()

    async def close(self) -> None:
        """Leave. After `Shutdown` the line stays open, so that `RemoteEngine.wait` can wait for the end."""
        self._leave()
        if self._beat is not None:
            self._beat.cancel()

    def end(self, timeout_s: float) -> bool:
        """Wait for at most `timeout_s` for the other end to close the line. Close it. Return whether it did. Blocks."""
        line, self._line = self._line, None
        if line is None:
            return False
        done = line.drain(timeout_s) if timeout_s else True
        line.close()
        return done


class RemoteEngine:
    """The engine of a run on another machine, over a line that was opened. It is an `Engine`."""

    def __init__(self, line: Line, plan: Plan, store: str) -> None:
        line.hush()
        self.plan = plan
        self.store = store
        self._line = line
        self._link = RemoteLink(line, plan.run, store)
        self._started = False

    @property
    def machine(self) -> OtherMachine:
        """The other machine."""
        return self._line.machine

    def give_up_after(self, seconds: float) -> None:
        """Open a line that is down again and again for this long only."""
        self._link.give_up_s = seconds

    async def connect(self) -> RemoteLink:
        """Start the run and return its link. Raises EngineError if the engine exited instead."""
        self._started = True
        self._line.write(b"\n")
        await self._link.wait_for_first()
        return self._link

    def log_tail(self) -> str:
        """Return "": the log is on the other machine."""
        return ""

    async def wait(self, timeout_s: float = 20.0) -> bool:
        """Wait for the engine to exit. The other end kills it if that takes too long."""
        return await asyncio.to_thread(self._link.end, timeout_s)

    def detach(self) -> None:
        """Close the line. The engine goes on."""
        self._link.end(0)

    def kill(self) -> None:
        """End the run, if it has started, and close the line."""
        if self._started:
            self._link.shut_down()
        self._link.end(HANG_UP_S if self._started else 0)
