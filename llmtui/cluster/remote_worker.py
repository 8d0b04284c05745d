"""A worker on another machine, as the engine sees it: the same as a process of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from llmtui.cluster.clocks import Offset
from llmtui.cluster.given_up import GivenUp
from llmtui.cluster.line import Line, LineError
from llmtui.cluster.messages import Answer, AnyAsk, Carry, End, Fetch, Greet, Tell
from llmtui.cluster.sealing import SealError, sealed
from llmtui.cluster.survey import Survey
from llmtui.cluster.this_machine import boot, network
from llmtui.load.load_worker import OnPulse, OnSamples
from llmtui.load.messages import Batch, Begin, Finish, FromWorker, Halt, Pulse, Slice, SliceDone, Step, frame
from llmtui.load.process import EXIT_S
from llmtui.model import Failure
from llmtui.text import Redactor

#: How often what a worker measured is fetched, in s.
FETCH_S = 0.2
#: A worker is asked now and then while it has nothing to do: it would take the engine for gone.
KEEP_S = 5.0
#: A worker that does not answer for this long, in s, is lost.
LOST_S = 15.0
#: How long a worker may take to start the task, in s.
START_S = 30.0
#: The longest name of a host.
_MOST_HOST = 255
_decode = msgspec.msgpack.Decoder(FromWorker).decode


class RemoteWorker:
    """One worker of a Dask scheduler, for a run with this id. `redact` knows the keys of the run."""

    def __init__(self, line: Line, address: str, run: str, redact: Redactor, lost: str = "") -> None:
        self.address = address
        #: Its host by its own word, and how messages call it.
        self.host = self.name = urlsplit(address).hostname or address
        #: How the newest slice ended, if it was cancelled.
        self.halted = SliceDone(halted=True)
        #: Why it cannot be used any more; "" while it can.
        self.lost = lost
        #: How many other runs measured on its machine when it was asked last, at both ends of a turn.
        self.others = 0
        #: The id of its machine since that was started, "" if unknown, and the cores of that, 0 if unknown.
        self.boot, self.cores = "", 0
        #: What is known of it before a turn.
        self.survey = Survey(self._ask)
        self._line = line
        self._run = run
        self._redact = redact
        self._given_up = GivenUp(line, address)
        self._token = ""
        self._future: Any = None
        self._same_machine = self._same_network = False
        self._number = self._acknowledged = 0
        self._keeping: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._late = False

    @property
    def pids(self) -> list[int]:
        """None of its processes is on this machine, as far as the engine is concerned."""
        return []

    @property
    def offset(self) -> Offset:
        """How far its clock is ahead."""
        return self.survey.offset

    async def look(self) -> None:
        """Start the task, unless it runs. If that fails, `lost` says why."""
        try:
            await self._start()
        except LineError as error:
            self.lost = self.lost or str(error)

    async def prepare(self, of: Slice) -> Failure | None:
        """Start the task, unless it runs, and measure the clock and the way to the server. Return what is wrong."""
        if self.lost:
            return self._gone()
        try:
            await self._start()
            await self.survey.certify(of.level, of.workers)
            failure = await self.survey.set_clock(self.name, same_machine=self._same_machine)
            return failure or await self.survey.reach(of.url, self.name, same_network=self._same_network)
        except LineError as error:
            if not self.lost:
                self.lost = str(error)
            return self._gone()

    async def run(
        self, of: Slice, on_samples: OnSamples, on_pulse: OnPulse, on_step: Callable[[Step], None] = lambda _: None
    ) -> SliceDone:
        """Carry out a slice: see WorkerProcess. A worker that is lost meanwhile is an error."""
        self.halted = SliceDone(halted=True)
        self._late = False
        if (failure := await self.prepare(of)) is not None:
            return SliceDone(error=failure)
        if not self._same_network:
            of = msgspec.structs.replace(of, uids=None)
        if not self._same_machine:
            of = msgspec.structs.replace(of, prompt_index=b"")
        try:
            closed = sealed(of, self._redact, os.environ)
        except SealError as error:
            return SliceDone(error=Failure(kind="missing", message=str(error)))
        self._number += 1
        following = asyncio.create_task(self._follow(Carry(self._number, closed), on_samples, on_pulse, on_step))
        try:
            return await asyncio.shield(following)
        except asyncio.CancelledError:
            halting = asyncio.create_task(self._halt())  # cancelled twice it ends at once
            try:
                await asyncio.wait({following}, timeout=EXIT_S)
            finally:
                halting.cancel()
                if not following.done():
                    following.cancel()
                    self._give_up()
            if following.done() and not following.cancelled() and following.exception() is None:
                self.halted = msgspec.structs.replace(following.result(), halted=True)
            raise

    async def close(self) -> None:
        """End its task. Safe to call more than once."""
        if self._keeping is not None:
            self._keeping.cancel()
        future, self._future = self._future, None
        await self._given_up.close(wait=not self.lost)
        if self._token and not self.lost:
            with contextlib.suppress(LineError):
                await self._line.ask(self.address, self._token, End())
            with contextlib.suppress(Exception):
                async with asyncio.timeout(EXIT_S):
                    await future
        self._token = ""

    # --- The task ---

    def _give_up(self) -> None:
        """Let the task end, which still measures: the next slice gets another one."""
        if self._token:
            self._given_up.add(self._token, self._future)
        self._token, self._future = "", None

    async def _start(self) -> None:
        """Start the task, if it does not run. Raises LineError."""
        if self._token and (again := await self._ask(Greet())) is not None:
            self.others = again.others
            return
        await self._given_up.gone()
        self._token = secrets.token_hex(6)
        self._number = self._acknowledged = 0
        self.survey.forget_clock()
        self._future = self._line.hold(self.address, self._token, self._run)
        until = time.monotonic() + START_S
        while (greeting := await self._ask(Greet())) is None:
            if self._future.status == "error":
                raise LineError(_task_error(await self._future.exception()))
            if time.monotonic() > until:
                with contextlib.suppress(Exception):  # else it would start once the worker is free
                    await self._future.cancel()
                raise LineError(f"it did not start within {START_S:g} s: another run or task uses its thread")
            await asyncio.sleep(0.05)
        self.host = self.name = greeting.host[:_MOST_HOST] or self.host
        self.boot, self.cores, self.others = greeting.boot, greeting.cores, greeting.others
        self._same_machine = bool(boot()) and greeting.boot == boot()
        self._same_network = self._same_machine and greeting.network == network()
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S)
            with contextlib.suppress(LineError):
                await self._line.ask(self.address, self._token, Fetch(self._acknowledged))

    async def _ask(self, ask: AnyAsk) -> Answer | None:
        """Ask until there is an answer, or the worker is lost: then `lost` says why, and LineError is raised."""
        until = time.monotonic() + LOST_S
        while True:
            try:
                return await self._line.ask(self.address, self._token, ask)
            except LineError as error:
                gone = False
                with contextlib.suppress(LineError):
                    gone = not await self._line.knows(self.address)
                if gone or self._line.closed or time.monotonic() > until:
                    why = "the scheduler does not answer" if self._line.closed else str(error)
                    self.lost = "it left the cluster" if gone else why
                    raise LineError(self.lost) from None
                await asyncio.sleep(FETCH_S)

    # --- A slice ---

    async def _follow(
        self, carry: Carry, on_samples: OnSamples, on_pulse: OnPulse, on_step: Callable[[Step], None]
    ) -> SliceDone:
        """Begin a slice, and pass on what it reports until it is done."""
        try:
            await self._needed(carry)
            while True:
                news = await self._needed(Fetch(self._acknowledged))
                for kept in news.frames:
                    self._acknowledged = kept.seq
                    message: FromWorker = _decode(kept.frame)
                    if kept.number != carry.number:
                        continue
                    if isinstance(message, Batch):
                        on_samples(message.samples)
                    elif isinstance(message, SliceDone):
                        await self._ask(Fetch(self._acknowledged))
                        if (end := await self._ask(Greet())) is not None:
                            self.others = max(self.others, end.others)
                        return self._checked(message)
                    elif isinstance(message, Pulse):
                        on_pulse(message)
                    else:
                        on_step(message)
                if not news.frames:
                    await asyncio.sleep(FETCH_S)
        except LineError as error:
            return SliceDone(error=self._gone(str(error)))

    def send(self, message: Begin | Finish) -> None:
        """Send the next step of the slice under way. A moment is one of our clock."""
        sending = asyncio.create_task(self._send(message))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _send(self, message: Begin | Finish) -> None:
        theirs = Begin(at_ns=self.offset.theirs(message.at_ns)) if isinstance(message, Begin) else message
        with contextlib.suppress(LineError):  # which the next fetch meets too
            await self._ask(Tell(self._number, frame(theirs)))
        if isinstance(message, Begin) and time.monotonic_ns() > message.at_ns:
            self._late = True

    async def _halt(self) -> None:
        with contextlib.suppress(LineError):  # which the next fetch meets too
            await self._ask(Tell(self._number, frame(Halt())))

    def _checked(self, done: SliceDone) -> SliceDone:
        if done.began_s:
            done = msgspec.structs.replace(done, began_s=self.offset.ours_s(done.began_s))
        if not self._late or done.error is not None:
            return done
        message = f"worker {self.name} may have begun after the others: the line to it was slow"
        return msgspec.structs.replace(done, error=Failure(kind="stopped", message=message))

    async def _needed(self, ask: AnyAsk) -> Answer:
        """Ask a task that must be there. Raises LineError."""
        answer = await self._ask(ask)
        if answer is None:
            self._token = ""
            raise LineError("its task ended: Dask took it back, or started the worker again")
        return answer

    def _gone(self, why: str = "") -> Failure:
        return Failure(kind="stopped", message=f"worker {self.name} is lost: {why or self.lost}")


def _task_error(error: BaseException | None) -> str:
    """Return why the task did not start, in words."""
    if isinstance(error, ModuleNotFoundError):
        return f"llmtui is missing there, or older ({error}); install the version that runs here"
    if "deserialization of the task graph" in str(error):
        return "the scheduler has no llmtui, or another version; install there the version that runs here"
    return " ".join(str(error).split())[:300]
