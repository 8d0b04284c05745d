"""The life of a launched server, from the preparation of its model file to the exit of its last process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import secrets
import time
from pathlib import Path

import httpx
import msgspec

from llmtui.measure.transport import new_client
from llmtui.measure.untimed import fetch
from llmtui.model import Backend, Failure, RunConfig
from llmtui.servers.base import Launch, Ready, Report, StartError
from llmtui.servers.elsewhere import OtherPort, port_hint, refused_port
from llmtui.servers.exit_reasons import ILLEGAL_INSTRUCTION
from llmtui.servers.listening_ports import exposed, listening_on, misplaced
from llmtui.servers.log_reasons import BUILT_ELSEWHERE, Reason, explain, known_reason
from llmtui.servers.own.versions import other_program, with_remark
from llmtui.servers.ports import Launched, PortOwners, free_port, occupant, port_in_use, port_of, port_owners
from llmtui.servers.process_tree import GuardedProcess
from llmtui.servers.recipes import chooses_port, recipe
from llmtui.wire import common

#: Pause between health checks while the server loads: short at first, because the load time is measured.
POLL_S = 0.025
SLOW_POLL_AFTER_S = 5.0
SLOW_POLL_S = 0.2
HEALTH_TIMEOUT_S = 3.0
#: A health reply is a word or a small object.
MAX_HEALTH_BYTES = 64 * 1024
#: The lines of a log in which the cause of an end in mid-run is looked for: earlier ones are about other things.
ENDING_LINES = 12


class _PortLost(StartError):
    """Another program bound the port before the server did."""


class ManagedServer:
    """One server that llmtui launches and stops. Start it once; a rerun needs a new one.

    Each launch writes a log file of its own to `folder`, which is private to the run. `withheld` are the environment
    variables that the server does not get, `slots` how many requests it should compute at a time.
    """

    def __init__(
        self,
        backend: Backend,
        config: RunConfig,
        folder: Path,
        withheld: frozenset[str] = frozenset(),
        *,
        slots: int = 1,
    ) -> None:
        self._slots = slots
        self._withheld = withheld
        self._backend = backend
        self._config = config
        self._folder = folder
        self._process = self._new_process()

    @property
    def pid(self) -> int | None:
        """The root of the server's process tree (the guard), None before the launch."""
        return self._process.pid

    @property
    def exited(self) -> asyncio.Event:
        """Set when the server and all its descendants have exited, by themselves or by `stop`."""
        return self._process.exited

    @property
    def log(self) -> Path:
        """The file with the beginning and the end of its output."""
        return self._process.log

    def exit_reason(self) -> str:
        """Return how it exited: "exit code 1", "killed by the kernel: out of memory (it used 3.1 GB)"."""
        return self._process.exit_reason()

    def log_tail(self, n: int = 8) -> list[str]:
        """Return the last lines of its output, sanitized."""
        return self._process.tail(n)

    def sample(self) -> tuple[int, float]:
        """Return resident bytes and CPU seconds so far, summed over its processes. Takes about 1 ms."""
        return self._process.sample()

    async def start(self, report: Report) -> Ready:
        """Prepare the model file, launch the server and wait until it is healthy.

        Raises StartError, with no process left running. A cancellation stops the server first.
        """
        try:
            return await self._start(report)
        except _PortLost:
            if not chooses_port(self._backend):
                raise
            self._process = self._new_process()
            return await self._start(report)

    async def _start(self, report: Report) -> Ready:
        launch = await recipe(self._backend, self._config, free_port(), report, self._slots)
        try:
            report("loading", None)
            return with_remark(await self._launch(launch), self._backend)
        except BaseException:
            await self.stop()
            raise

    async def stop(self, grace_s: float | None = None) -> None:
        """Stop the whole process tree with SIGTERM, then SIGKILL after a grace period. Can be called at any time."""
        await self._process.stop(grace_s)

    def _new_process(self) -> GuardedProcess:
        slug = re.sub(r"[^A-Za-z0-9]+", "-", self._backend.name).strip("-") or "server"
        return GuardedProcess(self._folder / f"{slug}-{secrets.token_hex(3)}.log")

    async def _launch(self, launch: Launch) -> Ready:
        started, began = time.monotonic(), time.time()
        withheld = self._withheld | {name for name in os.environ if name.startswith(launch.drop_env)}
        # A server program may write to its working folder, which must not be the user's: llamafile makes a llama.log.
        cwd = launch.cwd or (self._folder if self._backend.server else None)
        try:
            await self._process.start(launch.argv, launch.env, cwd, launch.grace_s, withheld)
        except OSError as error:
            failure = Failure(kind="server", message=f"cannot start {launch.argv[0]}: {error.strerror}")
            raise StartError(failure) from error
        launched = Launched(self._process.pid or 0, self._process.mark, began)
        polling = asyncio.create_task(self._until_loaded(launch, started, launched))
        exiting = asyncio.create_task(self._process.exited.wait())
        of_command = OtherPort(self._backend, launch, lambda: self.log_tail(60)) if launch.ports == "any" else None
        straying = asyncio.create_task(misplaced(launch, launched, of_command))
        try:
            await asyncio.wait(
                {polling, exiting, straying}, timeout=self._config.load_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if exiting.done():
                raise await self._exit_error(launch)
            if straying.done():
                failure, port_lost = straying.result()
                raise (_PortLost if port_lost else StartError)(failure, self.log_tail())
            if not polling.done():
                raise await self._timeout_error(launch)
            version = polling.result()
            load_s = time.monotonic() - started
            owners = await self._require_own_port(launch, launched)
            if reachable := exposed(launch, await asyncio.to_thread(listening_on, launched.root)):
                raise StartError(reachable, self.log_tail())
            if exiting.done():
                raise await self._exit_error(launch)
        finally:
            for task in (polling, exiting, straying):
                task.cancel()
        return dataclasses.replace(
            launch.ready, version=launch.ready.version or version, load_s=load_s, listener_uids=owners.uids
        )

    async def _until_loaded(self, launch: Launch, started: float, launched: Launched) -> str:
        """Wait until the server is healthy and has loaded its model. Return its version, "" if it reports none."""
        version = await _poll_until_healthy(launch, started)
        if launch.load is not None:
            # Another server on this port must not load the model.
            await self._require_own_port(launch, launched)
            try:
                await launch.load(launch.ready.url)
            except StartError as error:
                raise StartError(self._explained(error.failure), error.log_tail or self.log_tail()) from error
        return version

    def _explained(self, failure: Failure) -> Failure:
        """Add a hint to the failure of a load, and the cause from the log if the failure does not name one."""
        if failure.hint:
            return failure
        if cause := known_reason([failure.message]):
            return msgspec.structs.replace(failure, hint=cause.hint)
        cause = known_reason(self.log_tail(60))
        message = f"{failure.message}: {cause.text}" if cause else failure.message
        return msgspec.structs.replace(failure, message=message, hint=cause.hint if cause else "")

    async def _require_own_port(self, launch: Launch, launched: Launched) -> PortOwners:
        """Return who listens on the server's port. Raises StartError if that is another server."""
        owners = await self._port_owners(launch, launched)
        if owners.foreign:
            hint = "it answered instead of the launched server; stop it"
            raise _PortLost(port_in_use(launch.ready.url, owners.foreign, hint))
        return owners

    async def _port_owners(self, launch: Launch, launched: Launched) -> PortOwners:
        """Return who listens on the server's port, and on that of its health endpoint if it differs."""
        url = launch.ready.url
        owners = await port_owners(url, launched)
        if not owners.foreign and port_of(launch.probe_url) != port_of(url):
            owners = owners._replace(foreign=(await port_owners(launch.probe_url, launched)).foreign)
        return owners

    async def _exit_error(self, launch: Launch) -> StartError:
        tail = self.log_tail()
        url = launch.ready.url
        cause = self._cause()
        port = refused_port(cause.text) if cause.kind == "port" else None
        lost = cause.kind == "port" and port in (None, port_of(url))
        if lost and (owner := await occupant(url)):
            hint = f"the launched server could not bind it: {cause.text}"
            return _PortLost(port_in_use(url, owner, hint), tail)
        # A server that puts itself into the background exits early, with code 0.
        daemonized = self._process.returncode == 0
        what = "exited before it answered" if daemonized else "exited while loading"
        hint = cause.hint
        if self._backend.server and (daemonized or "launch" in hint):
            hint = other_program(self._backend.server)
        elif daemonized:
            hint = "`launch` must name a command that stays in the foreground"
        if port is not None and not lost:
            hint = port_hint(self._backend, port)
        text = cause.text or ("" if hint else "no output")
        message = f"{what} ({self.exit_reason()})" + (f": {text}" if text else "")
        failure = Failure(kind="server", message=message, hint=hint)
        return _PortLost(failure, tail) if lost else StartError(failure, tail)

    def _cause(self) -> Reason:
        """Return why it exited: by its exit code if that says so, else by its log."""
        if self._process.returncode in ILLEGAL_INSTRUCTION:
            return Reason("", BUILT_ELSEWHERE, "processor")  # its last line of output does not say why
        return explain(self.log_tail(60))

    def exit_failure(self) -> Failure:
        """Return the failure of a server that ended after it was ready, with the cause if its exit or log says it."""
        message = f"the server ended: {self.exit_reason()}"
        if self._process.returncode in ILLEGAL_INSTRUCTION:
            return Failure(kind="server", message=message, hint=BUILT_ELSEWHERE)
        cause = known_reason(self.log_tail(ENDING_LINES))
        if cause is None:
            return Failure(kind="server", message=message)
        return Failure(kind="server", message=f"{message}: {cause.text}", hint=cause.hint)

    async def _timeout_error(self, launch: Launch) -> StartError:
        tail = self.log_tail()
        listening = await asyncio.to_thread(listening_on, self._process.pid or 0)
        ports = sorted({one.port for one in listening})
        where = f"it listens on port {', '.join(map(str, ports))}" if ports else "it listens on no port"
        message = f"not ready within {self._config.load_timeout_s:g} s of its start ({launch.probe_url}); {where}"
        hint = "raise load_timeout_s in [run]" + (f"; its last output: {tail[-1].strip()}" if tail else "")
        return StartError(Failure(kind="timeout", message=message, hint=hint), tail)


async def _poll_until_healthy(launch: Launch, started: float) -> str:
    """Poll the health endpoint until it is healthy. Return the version that it reports, "" if none."""
    client = new_client(launch.probe_url, connect_timeout_s=HEALTH_TIMEOUT_S)
    try:
        while True:
            with contextlib.suppress(httpx.HTTPError, TimeoutError):
                reply = await fetch(
                    client, "GET", launch.probe_url, limit_bytes=MAX_HEALTH_BYTES, timeout_s=HEALTH_TIMEOUT_S
                )
                if 0 < reply.status < launch.healthy_below:
                    return common.string(common.as_dict(reply.body).get("version"))
            early = time.monotonic() - started < SLOW_POLL_AFTER_S
            await asyncio.sleep(POLL_S if early else SLOW_POLL_S)
    finally:
        await client.aclose()
