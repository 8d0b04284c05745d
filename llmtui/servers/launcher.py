"""A launched server from its preparation to the end of its last process."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from pathlib import Path

import httpx

from llmtui.measure.transport import new_client
from llmtui.measure.untimed import fetch
from llmtui.model import Backend, Failure, RunConfig
from llmtui.servers.base import Launch, Ready, Report, StartError
from llmtui.servers.log_reasons import reason, speaks_of_port
from llmtui.servers.ports import Holders, Launched, free_port, holders, occupant, port_of, taken
from llmtui.servers.process_tree import GuardedProcess
from llmtui.servers.recipes import any_port, recipe
from llmtui.wire import common

#: Between two looks at a server that is loading; the first ones come quickly, because load time is a figure.
LOOK_EVERY_S = 0.025
LOOK_SLOWLY_AFTER_S = 5.0
LOOK_SLOWLY_EVERY_S = 0.2
LOOK_TIMEOUT_S = 3.0
#: A health answer is a word or a small object; the rest of a longer one is not read.
MAX_HEALTH_BYTES = 64 * 1024


class _PortLost(StartError):
    """Another program took the port before the server had it."""


class ManagedServer:
    """One server that llmtui starts and ends. Start it once; a rerun makes a new one.

    `folder` is private to the run and takes the log, a file of its own for each launch. `withheld` are variables of the
    environment that the server does not get.
    """

    def __init__(
        self, backend: Backend, config: RunConfig, folder: Path, withheld: frozenset[str] = frozenset()
    ) -> None:
        self._withheld = withheld
        self._backend = backend
        self._config = config
        self._folder = folder
        self._process = self._new_process()

    @property
    def pid(self) -> int | None:
        """The root of the server's process tree (the guard), None before it is launched."""
        return self._process.pid

    @property
    def exited(self) -> asyncio.Event:
        """Set once the server and all that it started are gone, whether by itself or by `stop`."""
        return self._process.exited

    @property
    def log(self) -> Path:
        """The file with the first and the last of what it printed."""
        return self._process.log

    def exit_reason(self) -> str:
        """How it ended, in words: "exit code 1", "killed by the kernel: out of memory (it held 3.1 GB)"."""
        return self._process.exit_reason()

    def log_tail(self, n: int = 8) -> list[str]:
        """The last lines of what it printed, as plain text."""
        return self._process.tail(n)

    def sample(self) -> tuple[int, float]:
        """Resident bytes now and CPU seconds so far, summed over the server's processes. Costs about a millisecond."""
        return self._process.sample()

    async def start(self, report: Report) -> Ready:
        """Prepare the model file, launch, wait until it is healthy. Raises StartError, with nothing left running.

        When this is cancelled the server is ended before the cancellation goes on.
        """
        try:
            return await self._start(report)
        except _PortLost:
            if not any_port(self._backend):
                raise
            self._process = self._new_process()
            return await self._start(report)

    async def _start(self, report: Report) -> Ready:
        launch = await recipe(self._backend, self._config, free_port(), report)
        try:
            report("loading", None)
            return await self._launch(launch)
        except BaseException:
            await self.stop()
            raise

    async def stop(self, grace_s: float | None = None) -> None:
        """End the server's whole process tree, by SIGTERM and after a grace by SIGKILL. May be called at any time."""
        await self._process.stop(grace_s)

    def _new_process(self) -> GuardedProcess:
        slug = re.sub(r"[^A-Za-z0-9]+", "-", self._backend.name).strip("-") or "server"
        return GuardedProcess(self._folder / f"{slug}-{secrets.token_hex(3)}.log")

    async def _launch(self, launch: Launch) -> Ready:
        started, began = time.monotonic(), time.time()
        try:
            await self._process.start(launch.argv, launch.env, launch.cwd, launch.grace_s, self._withheld)
        except OSError as error:
            failure = Failure(kind="server", message=f"cannot start {launch.argv[0]}: {error.strerror}")
            raise StartError(failure) from error
        looking = asyncio.create_task(_until_healthy(launch, started))
        ending = asyncio.create_task(self._process.exited.wait())
        try:
            await asyncio.wait(
                {looking, ending}, timeout=self._config.load_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if ending.done():
                raise await self._died(launch)
            if not looking.done():
                raise self._late(launch)
            version = looking.result()
            load_s = time.monotonic() - started
            process = await self._holders(launch, began)
            if process.foreign:
                hint = "it answered in the place of the launched server; stop it"
                raise _PortLost(taken(launch.url, process.foreign, hint))
            if ending.done():
                raise await self._died(launch)
        finally:
            looking.cancel()
            ending.cancel()
        return Ready(
            url=launch.url,
            model=launch.model,
            version=launch.version or version,
            weights=launch.weights,
            threads=launch.threads,
            load_s=load_s,
            note=launch.note,
            model_digest=launch.model_digest,
            full_length=launch.full_length,
            listener_uids=process.uids,
        )

    async def _holders(self, launch: Launch, began: float) -> Holders:
        """Who holds the server's port, and that of its health where it has one of its own."""
        launched = Launched(self._process.pid or 0, self._process.mark, began)
        found = await holders(launch.url, launched)
        if not found.foreign and port_of(launch.probe_url) != port_of(launch.url):
            found = found._replace(foreign=(await holders(launch.probe_url, launched)).foreign)
        return found

    async def _died(self, launch: Launch) -> StartError:
        tail, said = self.log_tail(), self.log_tail(60)
        if speaks_of_port(said) and (who := await occupant(launch.url)):
            return _PortLost(taken(launch.url, who, f"the launched server could not have it: {reason(said)}"), tail)
        # Who puts itself into the background ends well, and before its time.
        early = self._process.returncode == 0
        what = "ended before it answered" if early else "ended while loading"
        message = f"{what} ({self.exit_reason()}): {reason(said) or 'it said nothing'}"
        hint = "`launch` must name a command that stays in the foreground" if early else ""
        failure = Failure(kind="server", message=message, hint=hint)
        return _PortLost(failure, tail) if speaks_of_port(said) else StartError(failure, tail)

    def _late(self, launch: Launch) -> StartError:
        tail = self.log_tail()
        message = f"not ready within {self._config.load_timeout_s:g} s of its start ({launch.probe_url})"
        hint = "raise load_timeout_s in [run]" + (f"; it said last: {tail[-1].strip()}" if tail else "")
        return StartError(Failure(kind="timeout", message=message, hint=hint), tail)


async def _until_healthy(launch: Launch, started: float) -> str:
    """Ask until the answer is healthy; the version, where the answer tells one."""
    client = new_client(launch.probe_url, connect_timeout_s=LOOK_TIMEOUT_S)
    try:
        while True:
            with contextlib.suppress(httpx.HTTPError, TimeoutError):
                reply = await fetch(
                    client, "GET", launch.probe_url, limit_bytes=MAX_HEALTH_BYTES, timeout_s=LOOK_TIMEOUT_S
                )
                if 0 < reply.status < launch.healthy_below:
                    return common.string(common.as_dict(reply.body).get("version"))
            early = time.monotonic() - started < LOOK_SLOWLY_AFTER_S
            await asyncio.sleep(LOOK_EVERY_S if early else LOOK_SLOWLY_EVERY_S)
    finally:
        await client.aclose()
