"""One backend, brought up and ready to be asked: its server (launched or found), its client, its dialect."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import httpx
import msgspec

from llmtui.engine.watch.conditions import device_of
from llmtui.measure.failures import NotAdmitted, connect_failure, invalid_request, other_origin, redirect_failure
from llmtui.measure.request import Answer, IterationError, ask
from llmtui.measure.stamped_socket import connect
from llmtui.measure.transport import new_client
from llmtui.measure.untimed import Reply, fetch
from llmtui.model import Backend, Failure, RunConfig
from llmtui.servers.base import Ready, Report, StartError
from llmtui.servers.launcher import ManagedServer
from llmtui.servers.listener import find_listener, tree_cpu_seconds, tree_rss
from llmtui.servers.recipes import absent_packages
from llmtui.servers.socket_owners import Owners, strangers
from llmtui.text import sanitize
from llmtui.wire import common, dialect_for
from llmtui.wire.base import Dialect, Request, ServerInfo
from llmtui.wire.openai import OpenAIDialect, refuses_usage_option

#: What to do when nothing answers, by framework. A `hint` in the config goes before these.
START_HINTS: dict[str, str] = {
    "ollama": "start it: ollama serve",
    "llamafile": "start it: ./model.llamafile --server --nobrowser --port {port}",
    "llama.cpp": "start it: llama-server -m model.gguf --port {port}",
    "mistral.rs": "start it: mistralrs serve -p {port} -m MODEL",
    "vllm": "start it: vllm serve MODEL --port {port}",
    "lm studio": "start it: lms server start --port {port}",
    "huggingface": "start it: transformers serve --port {port}",
    "transformers": "start it: transformers serve --port {port}",
}
#: Servers that can be asked to go on until max_tokens, by framework; the embedded engines' recipes say it themselves.
FULL_LENGTH: dict[str, dict[str, Any]] = {
    "llama.cpp": {"ignore_eos": True},
    "llamafile": {"ignore_eos": True},
    "vllm": {"ignore_eos": True},
}
#: Servers whose prefix cache can be turned off by the request: a fresh first line leaves the chat template's own
#: beginning in the cache (25 of 56 tokens, seen with llama.cpp).
NO_CACHE: dict[str, dict[str, Any]] = {
    "llama.cpp": {"cache_prompt": False},
    "llamafile": {"cache_prompt": False},
}
QUESTION_TIMEOUT_S = 10.0
#: A list of models fits in here many times; a longer answer is not used. Its memory is many times that, once decoded.
MAX_REPLY_BYTES = 2 * 1024 * 1024
#: No model is called by a longer name, and no version or arithmetic needs more.
MAX_MODEL_CHARS = 300
MAX_FACT_CHARS = 100
LOADING_POLL_S = 0.25
#: See `Target.effort`.
LAUNCHES = 2
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class Target:
    """A backend under test. `bring_up` first, `ask` as often as wanted, `close` at the end; then it may start over."""

    def __init__(
        self,
        backend: Backend,
        config: RunConfig,
        folder: Path,
        withheld: frozenset[str] = frozenset(),
        listener_uids: frozenset[int] | None = None,
        *,
        goes_on: bool = False,
    ) -> None:
        """`withheld` are the variables of the environment that a launched server does not get. `listener_uids` are the
        users that held the port of a found server earlier in this run, where that is known; `goes_on` says that the run
        was taken up again."""
        self.backend = backend
        self._withheld = withheld
        self.server: ManagedServer | None = None
        self._ended: ManagedServer | None = None
        self.ready: Ready | None = None
        self._config = config
        self._folder = folder
        self._client: httpx.AsyncClient | None = None
        self._dialect: Dialect = dialect_for(backend)
        self._listener: int | None = None
        #: Of a server that runs already: the users that held its port when it was first asked in this run.
        self.found_uids = listener_uids
        self._goes_on = goes_on
        self._owners = Owners()

    @property
    def up(self) -> bool:
        """Whether `ask` may be called."""
        return self.ready is not None

    @property
    def effort(self) -> int:
        """What bringing it up takes: 0 nothing, its packages are missing; 1 questions; `LAUNCHES` a new server."""
        if self.backend.embedded and absent_packages(self.backend.embedded):
            return 0
        return LAUNCHES if self.backend.launched else 1

    async def bring_up(self, report: Report) -> Ready:
        """Launch the server, or find the one that runs. Raises StartError, in words."""
        await self.close()
        try:
            if self.backend.launched:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.server = ManagedServer(self.backend, self._config, self._folder, self._withheld)
                ready = await self.server.start(report)
                self._open(ready.url, ready.listener_uids)
                if not self.backend.embedded:
                    ready = await self._describe(ready)
            else:
                ready = await self._find(report)
        except BaseException:
            await self.close()
            raise
        self.ready = ready
        return ready

    async def ask(self, prompt: str, on_tokens: Callable[[int], None] | None = None) -> Answer:
        """One measured request. Raises IterationError."""
        assert self.ready is not None and self._client is not None
        backend = msgspec.structs.replace(self.backend, url=self.ready.url, options=self._options())
        request = self._dialect.request(backend, self._config, prompt, self.ready.model)
        try:
            return await self._send(request, on_tokens)
        except IterationError as error:
            dialect = self._dialect
            if (
                isinstance(dialect, OpenAIDialect)
                and dialect.include_usage
                and error.status is not None
                and refuses_usage_option(error.status, error.body)
            ):
                # Told once by the server; from now on it is asked without, and this refusal is no iteration.
                self._dialect = OpenAIDialect(include_usage=False)
                return await self._send(
                    self._dialect.request(backend, self._config, prompt, self.ready.model), on_tokens
                )
            raise

    def _options(self) -> dict[str, Any]:
        """What goes into each request besides the usual: equal work where it can be had, then what the config says."""
        assert self.ready is not None
        options: dict[str, Any] = {}
        framework = self.backend.embedded or self.backend.framework.lower()
        if self._config.full_length and self.backend.protocol == "openai":
            options |= self.ready.full_length or FULL_LENGTH.get(framework, {})
        if self._config.fresh_prompt and self.backend.protocol == "openai":
            options |= NO_CACHE.get(framework, {})
        return {**options, **self.backend.options}

    async def _send(self, request: Request, on_tokens: Callable[[int], None] | None) -> Answer:
        assert self._client is not None
        return await ask(self._client, request, self._dialect, timeout_s=self._config.timeout_s, on_tokens=on_tokens)

    def cpu_seconds(self) -> float | None:
        """CPU seconds of the server's process tree, None for a server elsewhere or of another user."""
        if self.server is not None:
            return self.server.sample()[1]
        return tree_cpu_seconds(self._listener) if self._listener is not None else None

    def sample(self) -> tuple[int, float] | None:
        """Resident bytes and CPU seconds of the server's process tree, None where they cannot be known."""
        if self.server is not None:
            return self.server.sample()
        if self._listener is None:
            return None
        return tree_rss(self._listener), tree_cpu_seconds(self._listener)

    def device(self) -> Literal["", "cpu", "gpu"]:
        """What the server computes on, "" where its processes cannot be looked into."""
        pid = self.server.pid if self.server is not None else self._listener
        return device_of(pid) if pid is not None else ""

    def log_tail(self, lines: int) -> list[str]:
        """The last lines that the launched server, or the one before it, printed; none of a server elsewhere."""
        server = self.server or self._ended
        return server.log_tail(lines) if server is not None else []

    async def close(self) -> None:
        """Close the connections and stop a launched server. May be called at any time, and again."""
        self.ready = None
        self._listener = None
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()
        if self.server is not None:
            server, self.server = self.server, None
            self._ended = server
            await server.stop()

    def _open(self, url: str, owners: frozenset[int] | None = None) -> None:
        """Make the client. `owners` are the users that may hold the server's port; None: those that do now."""
        self._owners = admit = Owners(owners, no_strangers=self._goes_on and not self.backend.launched)
        self._client = new_client(url, connect_timeout_s=self._config.connect_timeout_s, admit=admit)

    async def _find(self, report: Report) -> Ready:
        """A server that somebody else runs: is it there, is it loaded, what does it serve?"""
        self._open(self.backend.url, self.found_uids)
        try:
            ready = await self._found(report)
        finally:
            # Also where it fails: who held the port then must hold it when it is asked again.
            self.found_uids = self._owners.allowed
        uids = strangers(self.found_uids)
        return dataclasses.replace(ready, note=f"another user's (uid {uids})" if uids else "")

    async def _found(self, report: Report) -> Ready:
        url = self.backend.url
        began = time.monotonic()
        while await self._loading():
            waited = time.monotonic() - began
            if waited > self._config.load_timeout_s:
                raise StartError(
                    Failure(kind="timeout", message=f"still loading after {waited:.0f} s", hint="raise load_timeout_s")
                )
            report(f"the server is loading its model, {waited:.0f} s", None)
            await asyncio.sleep(LOADING_POLL_S)
        host, port = common.host_and_port(url)
        if host in LOCAL_HOSTS:
            self._listener = await asyncio.to_thread(find_listener, port)
        return await self._describe(
            Ready(
                url=url, model=self.backend.model, version="", weights=self.backend.weights, threads=None, load_s=None
            )
        )

    async def _loading(self) -> bool:
        """Ask for its health: True while the server says that it loads. Raises StartError when nobody answers."""
        questions = self._dialect.health_requests(self.backend)
        if not questions:
            await self._knock()
            return False
        loading = False
        for question in questions:
            reply = await self._question(question)
            if reply.status == 200:
                return False
            loading = loading or reply.status == 503
        return loading

    async def _knock(self) -> None:
        try:
            sock = await connect(*common.host_and_port(self.backend.url), self._config.connect_timeout_s)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._absent(error) from None
        try:
            failure = self._owners(*sock.ends())
        except OSError:
            failure = None  # it went again; the first request will tell
        finally:
            sock.close()
        if failure is not None:
            raise StartError(failure)

    async def _question(self, request: Request) -> Reply:
        """The answer to a question outside the timed iterations. Raises StartError when nobody answers."""
        assert self._client is not None
        try:
            reply = await fetch(
                self._client,
                request.method,
                request.url,
                content=request.body,
                headers=request.headers,
                limit_bytes=MAX_REPLY_BYTES,
                timeout_s=QUESTION_TIMEOUT_S,
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._absent(error) from None
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise StartError(invalid_request(error)) from None
        except TimeoutError:
            raise StartError(
                Failure(
                    kind="timeout",
                    message=f"connects, but says nothing within {QUESTION_TIMEOUT_S:g} s",
                    hint="is this the right port?",
                )
            ) from None
        return reply if reply.whole else Reply(0)

    def _absent(self, error: Exception) -> StartError:
        failure = connect_failure(self.backend.url, error)
        if isinstance(error, NotAdmitted):
            return StartError(failure)
        hint = self.backend.hint
        if not hint and failure.message.startswith("nothing answers"):
            _, port = common.host_and_port(self.backend.url)
            hint = START_HINTS.get(self.backend.framework.lower(), "start the server").format(port=port)
        return StartError(msgspec.structs.replace(failure, hint=hint or failure.hint))

    async def _describe(self, ready: Ready) -> Ready:
        """Fill in what the server tells of itself: version, weights, and which model to ask for."""
        backend = msgspec.structs.replace(self.backend, url=ready.url)
        model = await self._model(backend)
        known = ServerInfo()
        for probe in self._dialect.probes(backend, model):
            told = await self._learned(probe)
            known = ServerInfo(
                version=known.version or sanitize(told.version, MAX_FACT_CHARS),
                weights=known.weights or sanitize(told.weights, MAX_FACT_CHARS),
                model=known.model or (told.model if len(told.model) <= MAX_MODEL_CHARS else ""),
                context_tokens=known.context_tokens or told.context_tokens,
            )
        return Ready(
            url=ready.url,
            model=model or known.model,
            version=known.version or ready.version,
            weights=self.backend.weights or known.weights,
            threads=ready.threads,
            load_s=ready.load_s,
            note=ready.note,
            model_digest=ready.model_digest,
            full_length=ready.full_length,
            context_tokens=known.context_tokens,
        )

    # No answer is kept while another one is awaited: many servers may answer at length at the same time.

    async def _model(self, backend: Backend) -> str:
        """The model to ask for. Raises StartError where there is none, or the server does not say."""
        question = self._dialect.models_request(backend)
        if question is None:
            return self._choose_model([])
        reply = await self._question(question)
        if reply.status in (401, 403):
            raise StartError(
                Failure(kind="http", message=f"HTTP {reply.status}: the server wants a key", hint="set api_key")
            )
        if reply.status != 200 and other_origin(question.url, reply.location):
            # Other questions are asked of many kinds of servers, and may lead anywhere; this one is the protocol's.
            raise StartError(redirect_failure(reply.status, question.method, question.url, reply.location))
        names = self._dialect.model_names(reply.body) if reply.status == 200 else []
        return self._choose_model([name for name in names if len(name) <= MAX_MODEL_CHARS])

    async def _learned(self, probe: Request) -> ServerInfo:
        reply = await self._question(probe)
        return self._dialect.server_info(probe.url, reply.body) if reply.status == 200 else ServerInfo()

    def _choose_model(self, names: list[str]) -> str:
        wanted = self.backend.model
        if self.backend.protocol != "ollama":
            return wanted or (names[0] if names else "")
        if not wanted:
            if not names:
                raise StartError(Failure(kind="missing", message="it has no model", hint="ollama pull smollm2:135m"))
            return names[0]
        if names and wanted not in names and f"{wanted}:latest" not in names:
            raise StartError(
                Failure(kind="missing", message=f"it has no model {wanted!r}", hint=f"ollama pull {wanted}")
            )
        return wanted
