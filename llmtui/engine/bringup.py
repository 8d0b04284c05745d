"""Bring-up of one backend and its requests: its server (launched or already running), its client, its dialect."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import httpx

from llmtui.config.frameworks import UNKNOWN, absent_packages, framework, framework_of
from llmtui.engine.adapting import Adaptation
from llmtui.engine.fresh_role import FreshLine
from llmtui.engine.prompting import Asked, request_of
from llmtui.engine.server_probe import MAX_REPLY_BYTES, ServerProbe
from llmtui.engine.watch.conditions import device_of
from llmtui.measure.answer import Answer
from llmtui.measure.request import IterationError, ask
from llmtui.measure.transport import new_client
from llmtui.measure.untimed import Reply, fetch
from llmtui.model import Backend, Failure, FreshRole, RunConfig
from llmtui.servers.base import Ready, Report, StartError, thread_count
from llmtui.servers.discovery import command_line
from llmtui.servers.launcher import ManagedServer
from llmtui.servers.placeholders import sets_threads
from llmtui.servers.server_processes import ServerProcesses, launched_processes, listening_processes
from llmtui.servers.socket_owners import Owners, strangers
from llmtui.wire import common, dialect_for
from llmtui.wire.base import Dialect, Request

#: What is called after each arrival with the tokens so far.
OnTokens: TypeAlias = Callable[[int], None] | None
#: See `Target.effort`.
LAUNCHES = 2
#: How long a server that answers no question has for a whole answer.
SILENCE_S = 10.0
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class Target:
    """A backend under test: `bring_up`, then any number of `ask`, then `close`; it can be brought up again."""

    def __init__(
        self,
        backend: Backend,
        config: RunConfig,
        folder: Path,
        withheld: frozenset[str] = frozenset(),
        listener_uids: frozenset[int] | None = None,
        *,
        resumed: bool = False,
        fresh_role: FreshRole = "user",
        slots: int = 1,
    ) -> None:
        """`withheld` are environment variables that a launched server does not get. `listener_uids` are the users that
        listened on the port of a running server earlier in this run, None if unknown. `resumed`: this run is.
        `fresh_role` is the role of the message with the fresh line of a prompt, if the server takes it. `slots` is how
        many requests a launched server should compute at a time."""
        self.backend = backend
        self._withheld = withheld
        self._slots = slots
        self.server: ManagedServer | None = None
        self._previous_server: ManagedServer | None = None
        self.ready: Ready | None = None
        self._config = config
        self._folder = folder
        self._client: httpx.AsyncClient | None = None
        self._dialect: Dialect = dialect_for(backend)
        #: Which message of a request has the fresh line.
        self.fresh = FreshLine(fresh_role if self._dialect.takes_system else "user")
        self.adaptation = Adaptation(backend, config, self._dialect, self.fresh, slots)
        #: The server's processes on this machine, None if it is elsewhere or another user's.
        self.processes: ServerProcesses | None = None
        #: Users that listened on the port of a running server at the first request of this run.
        self.running_uids = listener_uids
        self._resumed = resumed
        self._owners = Owners()

    @property
    def up(self) -> bool:
        """Whether `ask` can be called."""
        return self.ready is not None

    @property
    def effort(self) -> int:
        """The cost of bringing it up: 0 its packages are missing, 1 requests only, `LAUNCHES` a new server."""
        if self.backend.embedded and absent_packages(self.backend.embedded):
            return 0
        return LAUNCHES if self.backend.launched else 1

    async def bring_up(self, report: Report) -> Ready:
        """Launch the server, or connect to the running one. Raises StartError."""
        await self.close()
        try:
            if self.backend.launched:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.server = ManagedServer(self.backend, self._config, self._folder, self._withheld, slots=self._slots)
                ready = await self.server.start(report)
                host, port = common.host_and_port(ready.url)
                local = host if host in LOCAL_HOSTS else ""
                self.processes = await asyncio.to_thread(launched_processes, self.server.pid or 0, local, port)
                self._open(ready.url, ready.listener_uids)
                if not self.backend.on_shared_file:
                    async with self._probe(ready.url) as probe:
                        ready = await probe.describe(ready)
            else:
                ready = await self._connect(report)
        except BaseException:
            await self.close()
            raise
        if not ready.takes_system:
            self.fresh.refuse()
        self.ready = ready
        return ready

    async def ask(
        self, prompt: Asked, on_tokens: OnTokens = None, *, fresh_line: str = "", max_tokens: int | None = None
    ) -> Answer:
        """Send one request, with `fresh_line` for a new prompt, and return its answer. Raises IterationError.

        `max_tokens` is as in `request`. Raises AskAgain if the server refused it and another one may do.
        """
        assert self.ready is not None and self._client is not None
        url, model = self.ready.url, self.ready.model
        request = request_of(self, prompt, fresh_line, max_tokens, self._config.max_tokens)
        try:
            answer = await ask(
                self._client, request, self._dialect, timeout_s=self._config.timeout_s, on_tokens=on_tokens
            )
        except IterationError as error:
            raise self.adaptation.respond(error, request, url, model) from None
        self.adaptation.succeeded()
        return answer

    def request(self, prompt: str, fresh_line: str, max_tokens: int | None = None, *, history: bool = False) -> Request:
        """Return the next request, as the server takes it. `max_tokens` limits the answer, else the run does.

        `history`: it may have one, which the server may take from its cache.
        """
        assert self.ready is not None
        url, model = self.ready.url, self.ready.model
        return self.adaptation.request(url, self._options(history), prompt, model, fresh_line, max_tokens)

    async def post(self, path: str, body: Any, timeout_s: float) -> Reply:
        """Send JSON to another path of the server, on a connection of its own.

        Raises TimeoutError, and the errors of a request that cannot be sent (see untimed.fetch).
        """
        assert self.ready is not None
        request = common.post(self.backend, common.join(common.strip(self.ready.url, "/v1"), path), body)
        async with self._new_client(request.url, keepalive_s=0.0) as client:
            return await _reply(client, request, timeout_s)

    @property
    def remark(self) -> str:
        """What its state says of it: of the server, and of the requests that it takes."""
        note = self.ready.note if self.ready is not None else ""
        front = self.processes.front if self.processes is not None else ""
        return ", ".join(filter(None, (note, front, self.adaptation.remark)))

    def _options(self, history: bool) -> dict[str, Any]:
        """Return extra fields of a request: those for equal work, overridden by the config's `options`."""
        assert self.ready is not None
        options: dict[str, Any] = {}
        facts = framework_of(self.backend)
        if self._config.full_length and self.backend.protocol == "openai":
            options |= self.ready.full_length or facts.full_length
        if self._config.fresh_prompt and not history and self.backend.protocol == "openai":
            options |= facts.no_prefix_cache
        return {**options, **self.ready.options, **self.backend.options}

    def sample(self) -> tuple[int, float] | None:
        """Return resident bytes and CPU seconds of the server's processes, None if unknown."""
        if self.server is not None:
            self.server.sample()  # it records the largest use, which explains an end for lack of memory
        return self.processes.sample() if self.processes is not None else None

    def device(self) -> Literal["", "cpu", "gpu"]:
        """Return what the server computes on, "" if its open files cannot be read."""
        if self.processes is None or self.processes.elsewhere:
            return ""
        devices = {device_of(pid) for pid in self.processes.first}
        return "gpu" if "gpu" in devices else "cpu" if "cpu" in devices else ""

    def log_tail(self, lines: int) -> list[str]:
        """Return the last lines that the launched server, or the one before it, printed."""
        server = self.server or self._previous_server
        return server.log_tail(lines) if server is not None else []

    async def close(self) -> None:
        """Close the connections and stop a launched server. Safe to call at any time and more than once."""
        self.ready = None
        self.processes = None
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()
        if self.server is not None:
            if self._previous_server is not None:
                self._previous_server.log.unlink(missing_ok=True)
            self._previous_server, self.server = self.server, None
        if self._previous_server is not None:
            # Also one whose stop was cancelled: there is one server of a backend at a time.
            await self._previous_server.stop()

    @property
    def listeners(self) -> frozenset[int] | None:
        """The users that may listen on the server's port, None if unknown."""
        return self._owners.allowed

    def _open(self, url: str, owners: frozenset[int] | None = None) -> None:
        """Create the client. `owners` are the users that may listen on the server's port; None: those that do now."""
        self._owners = Owners(owners, no_strangers=self._resumed and not self.backend.launched)
        self._client = self._new_client(url)

    def _new_client(self, url: str, **more: float) -> httpx.AsyncClient:
        return new_client(url, connect_timeout_s=self._config.connect_timeout_s, admit=self._owners, **more)

    @contextlib.asynccontextmanager
    async def _probe(self, url: str) -> AsyncIterator[ServerProbe]:
        """Ask the server about itself, on connections of their own: a server may serve one connection at a time."""
        async with self._new_client(url, keepalive_s=0.0) as client:
            probe = ServerProbe(self.backend, self._config, self._dialect, client, self._owners)
            yield probe
        self.adaptation.brought_up(down=probe.down, address=probe.address)

    async def _connect(self, report: Report) -> Ready:
        """Describe a server that llmtui did not start, once it has loaded its model."""
        self._open(self.backend.url, self.running_uids)
        try:
            async with self._probe(self.backend.url) as probe:
                ready = await self._describe_running(probe, report)
                if probe.silent:
                    await self._check_answer(ready)
        finally:
            # Even after a failure: the same users must be listening when it is asked again.
            self.running_uids = self._owners.allowed
        uids = strangers(self.running_uids)
        stranger = f"another user's (uid {uids})" if uids else ""
        return dataclasses.replace(ready, note=", ".join(filter(None, (stranger, ready.note))))

    async def _check_answer(self, ready: Ready) -> None:
        """Send one request to a server that answers no question. Raises StartError if it does not answer this either.

        Otherwise each iteration would wait for `timeout_s`.
        """
        assert self._client is not None
        arrived = 0

        def count(tokens: int) -> None:
            nonlocal arrived
            arrived = tokens

        request = self.adaptation.request(ready.url, self.backend.options, self._config.prompt, ready.model)
        try:
            await ask(self._client, request, self._dialect, timeout_s=SILENCE_S, on_tokens=count)
        except IterationError as error:
            # The first iteration will fail with any other reason.
            if error.failure.kind == "timeout" and not arrived:
                message = f"connects, but does not reply within {SILENCE_S:g} s"
                failure = Failure(kind="timeout", message=message, hint="is this the right port?")
                raise StartError(failure) from None

    async def _describe_running(self, probe: ServerProbe, report: Report) -> Ready:
        await probe.wait_until_loaded(report)
        url = self.backend.url
        host, port = common.host_and_port(url)
        if host in LOCAL_HOSTS:
            self.processes = await asyncio.to_thread(listening_processes, host, port)
        ready = await probe.describe(
            Ready(
                url=url,
                model=self.backend.model,
                weights=self.backend.weights,
                threads=thread_count(self._config) if sets_threads(self.backend) else None,
            )
        )
        misnamed = _misnamed(self.backend, probe.framework) and host in LOCAL_HOSTS
        if misnamed and "llamafile" not in (await asyncio.to_thread(command_line, port)).lower():
            # A llamafile may answer as llama.cpp does.
            return dataclasses.replace(ready, note=f"answers as {probe.framework}")
        return ready


async def _reply(client: httpx.AsyncClient, request: Request, timeout_s: float) -> Reply:
    return await fetch(
        client,
        request.method,
        request.url,
        content=request.body,
        headers=request.headers,
        limit_bytes=MAX_REPLY_BYTES,
        timeout_s=timeout_s,
    )


def _misnamed(backend: Backend, seen: str) -> bool:
    """Whether the server shows that it is another framework than the config says."""
    claimed = framework(backend.framework)
    return bool(seen) and claimed is not UNKNOWN and claimed.title != seen
