"""What a running server is asked outside the timed iterations: whether it is up, whether its model is loaded, and which
version, model and weights it serves."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import httpx
import msgspec

from llmtui.config.frameworks import OLLAMA, framework
from llmtui.measure.failures import (
    NotAdmitted,
    connect_cause,
    connect_failure,
    invalid_request,
    other_origin,
    redirect_failure,
)
from llmtui.measure.stamped_socket import connect
from llmtui.measure.untimed import Reply, fetch
from llmtui.model import Backend, Failure, RunConfig
from llmtui.servers.base import Ready, Report, StartError
from llmtui.servers.socket_owners import Owners
from llmtui.text import sanitize
from llmtui.wire import common
from llmtui.wire.base import Dialect, Request, ServerInfo

REPLY_TIMEOUT_S = 10.0
#: Many times the size of a list of models; a longer reply is ignored, because decoding takes many times its size.
MAX_REPLY_BYTES = 2 * 1024 * 1024
#: Longer names of models, versions and weights are not real ones.
MAX_MODEL_CHARS = 300
MAX_FACT_CHARS = 100
LOADING_POLL_S = 0.25


class ServerProbe:
    """Asks one server about itself. Every method raises StartError if the server does not answer."""

    def __init__(
        self, backend: Backend, config: RunConfig, dialect: Dialect, client: httpx.AsyncClient, owners: Owners
    ) -> None:
        """`owners` checks which user listens on the server's port."""
        self._backend = backend
        self._config = config
        self._dialect = dialect
        self._client = client
        self._owners = owners
        self._spoke_http = False
        self._no_http: Failure | None = None

    async def wait_until_loaded(self, report: Report) -> None:
        """Return when the server has loaded its model. Raises StartError after `load_timeout_s`."""
        began = time.monotonic()
        while await self._is_loading():
            waited = time.monotonic() - began
            if waited > self._config.load_timeout_s:
                raise StartError(
                    Failure(kind="timeout", message=f"still loading after {waited:.0f} s", hint="raise load_timeout_s")
                )
            report(f"the server is loading its model, {waited:.0f} s", None)
            await asyncio.sleep(LOADING_POLL_S)

    async def describe(self, ready: Ready) -> Ready:
        """Return `ready` with what the server reports: version, weights, context size, and the model to ask for."""
        backend = msgspec.structs.replace(self._backend, url=ready.url)
        model = await self._model(backend)
        facts = ServerInfo()
        for request in self._dialect.probes(backend, model):
            reported = await self._server_info(request)
            facts = ServerInfo(
                version=facts.version or sanitize(reported.version, MAX_FACT_CHARS),
                weights=facts.weights or sanitize(reported.weights, MAX_FACT_CHARS),
                model=facts.model or (reported.model if len(reported.model) <= MAX_MODEL_CHARS else ""),
                context_tokens=facts.context_tokens or reported.context_tokens,
            )
        await self._check_http(backend, model)
        return dataclasses.replace(
            ready,
            model=model or facts.model,
            version=facts.version or ready.version,
            weights=self._backend.weights or facts.weights,
            context_tokens=facts.context_tokens,
        )

    async def _check_http(self, backend: Backend, model: str) -> None:
        """Raise StartError if no answer so far was HTTP, and neither is that to an empty request."""
        if self._no_http is None or self._spoke_http:
            return
        request = self._dialect.request(backend, self._config, "", model)
        await self._fetch(msgspec.structs.replace(request, body=b"{}"))
        if not self._spoke_http:
            raise StartError(self._no_http)

    async def _is_loading(self) -> bool:
        """Return True while the server's health endpoints report that it is loading (503)."""
        requests = self._dialect.health_requests(self._backend)
        if not requests:
            await self._check_connection()
            return False
        loading = False
        for request in requests:
            reply = await self._fetch(request)
            if reply.status == 200:
                return False
            loading = loading or reply.status == 503
        return loading

    async def _check_connection(self) -> None:
        """Connect and hang up, for a server without a health endpoint."""
        try:
            sock = await connect(*common.host_and_port(self._backend.url), self._config.connect_timeout_s)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._not_reachable(error) from None
        try:
            failure = self._owners(*sock.ends())
        except OSError:
            failure = None  # the server hung up; the first request will fail with the reason
        finally:
            sock.close()
        if failure is not None:
            raise StartError(failure)

    async def _fetch(self, request: Request) -> Reply:
        """Return the reply to an untimed request; one with status 0 if the body is incomplete or too long."""
        try:
            reply = await fetch(
                self._client,
                request.method,
                request.url,
                content=request.body,
                headers=request.headers,
                limit_bytes=MAX_REPLY_BYTES,
                timeout_s=REPLY_TIMEOUT_S,
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._not_reachable(error) from None
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise StartError(invalid_request(error)) from None
        except TimeoutError:
            raise StartError(
                Failure(
                    kind="timeout",
                    message=f"connects, but does not reply within {REPLY_TIMEOUT_S:g} s",
                    hint="is this the right port?",
                )
            ) from None
        self._spoke_http = self._spoke_http or reply.status > 0
        self._no_http = self._no_http or reply.failure
        return reply if reply.whole else Reply(0)

    def _not_reachable(self, error: Exception) -> StartError:
        failure = connect_failure(self._backend.url, error)
        if isinstance(error, NotAdmitted):
            return StartError(failure)
        hint = self._backend.hint
        if not hint and connect_cause(error) == "refused":
            _, port = common.host_and_port(self._backend.url)
            hint = framework(self._backend.framework).start_hint(port)
        return StartError(msgspec.structs.replace(failure, hint=hint or failure.hint))

    # No reply is referenced while the next one is awaited: many servers may send long ones at the same time.

    async def _model(self, backend: Backend) -> str:
        """Return the model to ask for. Raises StartError if the server has none or wants a key."""
        request = self._dialect.models_request(backend)
        if request is None:
            return self._choose_model([])
        reply = await self._fetch(request)
        if reply.status in (401, 403):
            raise StartError(
                Failure(kind="http", message=f"HTTP {reply.status}: the server wants a key", hint="set api_key")
            )
        if reply.status != 200 and other_origin(request.url, reply.location):
            # Only this endpoint is part of the protocol; the others are tried on any server and may redirect.
            raise StartError(redirect_failure(reply.status, request.method, request.url, reply.location))
        names = self._dialect.model_names(reply.body) if reply.status == 200 else []
        return self._choose_model([name for name in names if len(name) <= MAX_MODEL_CHARS])

    async def _server_info(self, request: Request) -> ServerInfo:
        reply = await self._fetch(request)
        return self._dialect.server_info(request.url, reply.body) if reply.status == 200 else ServerInfo()

    def _choose_model(self, names: list[str]) -> str:
        wanted = self._backend.model
        if self._backend.protocol != "ollama":
            return wanted or (names[0] if names else "")
        if not wanted:
            if not names:
                raise StartError(Failure(kind="missing", message="it has no model", hint=OLLAMA.pull_hint()))
            return names[0]
        if names and wanted not in names and f"{wanted}:latest" not in names:
            raise StartError(
                Failure(kind="missing", message=f"it has no model {wanted!r}", hint=OLLAMA.pull_hint(wanted))
            )
        return wanted
