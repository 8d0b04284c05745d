"""What a running server is asked outside the timed iterations: whether it is up, whether its model is loaded, and which
version, model and weights it serves.

The answers decide nothing: the chat is asked even if the server refuses these questions or does not answer them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Iterable
from typing import Literal

import httpx
import msgspec

from llmtui.config.frameworks import OLLAMA, framework
from llmtui.measure.failures import (
    EXPECTS_TLS,
    ConnectCause,
    NotAdmitted,
    connect_cause,
    connect_failure,
    http_failure,
    invalid_request,
    tls_expected,
)
from llmtui.measure.stamped_socket import connect
from llmtui.measure.untimed import Reply, fetch
from llmtui.model import Backend, Failure, RunConfig
from llmtui.servers.base import Ready, Report, StartError
from llmtui.servers.discovery import fitness, framework_of
from llmtui.servers.socket_owners import Owners
from llmtui.text import sanitize
from llmtui.text.model_names import may_be_same, model_family
from llmtui.wire import common, refusals
from llmtui.wire.base import Dialect, Request, ServerInfo

#: How long each answer may take.
REPLY_TIMEOUT_S = 2.0
WAITS = 20
#: The same on a machine that is too busy for llmtui to run.
LONGEST_REPLY_S = 15.0
#: Many times the size of a list of models; a longer reply is ignored, because decoding takes many times its size.
MAX_REPLY_BYTES = 2 * 1024 * 1024
#: Longer names of models, versions and weights are not real ones.
MAX_MODEL_CHARS = 300
MAX_FACT_CHARS = 100
LOADING_POLL_S = 0.25
#: How long a 503 without a word is taken to mean loading. After that the chat shows what it means.
SILENT_S = 10.0
#: Statuses of a server, or a gateway in front of it, that cannot answer yet.
NOT_YET = frozenset({502, 503, 504})
#: Statuses of an address without a list of models: some servers answer 200 everywhere.
NO_SUCH_LIST = frozenset({200, 404, 405})


@dataclasses.dataclass(frozen=True)
class SideAnswer:
    """What one reply said. The reply itself is not referenced: many servers may send long ones at the same time.

    `status` is 0 if none came in time. `loading`: it is a 503 that says so, or one without a word. `error`
    is why connecting failed, `no_http` what the port speaks in place of HTTP. `framework` is what the server shows.
    """

    status: int = 0
    loading: Literal["", "silent", "said"] = ""
    names: list[str] | None = None
    info: ServerInfo = dataclasses.field(default_factory=ServerInfo)
    error: Exception | None = None
    no_http: Failure | None = None
    framework: str = ""


class ServerProbe:
    """Asks one server about itself. Raises StartError only if connecting fails or the server has no model.

    After `describe`, `address` is the URL of the chat if the list of models shows that it is not the usual one.
    """

    def __init__(
        self, backend: Backend, config: RunConfig, dialect: Dialect, client: httpx.AsyncClient, owners: Owners
    ) -> None:
        """`owners` checks which user listens on the server's port."""
        self._backend = backend
        self._config = config
        self._dialect = dialect
        self._client = client
        self._owners = owners
        self._model = backend.model
        self._answers: dict[tuple[str, str, bytes], SideAnswer] = {}
        self.address = ""

    @property
    def silent(self) -> bool:
        """Whether the server answered no question."""
        return bool(self._answers) and not any(answer.status for answer in self._answers.values())

    @property
    def framework(self) -> str:
        """The framework that its answers show, "" if they show none."""
        return next((answer.framework for answer in self._answers.values() if answer.framework), "")

    @property
    def down(self) -> bool:
        """Whether it says that it cannot answer yet: all that it answered, or its health endpoint."""
        answered = [answer for answer in self._answers.values() if answer.status]
        return any(a.loading for a in answered) or (bool(answered) and all(a.status in NOT_YET for a in answered))

    async def wait_until_loaded(self, report: Report) -> None:
        """Return when the server has loaded its model, at the latest after `load_timeout_s`: then the chat decides."""
        began = time.monotonic()
        health = self._dialect.health_requests(self._backend)
        questions = [*health, *self._first_questions(self._backend)]
        await (self._ask(questions) if questions else self._check_connection())
        while loading := self._loading(health):
            waited = time.monotonic() - began
            limit_s = self._config.load_timeout_s
            if waited > (min(limit_s, SILENT_S) if loading == "silent" else limit_s):
                return
            report(f"the server is loading its model, {waited:.0f} s", None)
            await asyncio.sleep(LOADING_POLL_S)
            await self._ask(health)

    async def describe(self, ready: Ready) -> Ready:
        """Return `ready` with what the server reports: version, weights, context size, and the model to ask for."""
        backend = msgspec.structs.replace(self._backend, url=ready.url)
        first = self._unanswered(self._first_questions(backend))
        await self._ask(first)
        await self._check_http(backend)
        if self.silent or not self._answers:
            return dataclasses.replace(ready, model=backend.model)
        names = await self._model_names(backend)
        model = self._model = self._choose_model(names)
        probes = self._dialect.probes(backend, model)
        await self._ask([request for request in self._unanswered(probes) if request not in first])
        # A model of its cloud is not in the list, but it is shown.
        shown = (self._answers[_key(one)] for one in probes if one.url.endswith("/api/show"))
        if names == [] and _is_ollama(backend) and all(answer.status == 404 for answer in shown):
            raise _no_model_yet(model)
        facts = ServerInfo()
        for request in probes:
            reported = self._answers.get(_key(request), SideAnswer()).info
            facts = ServerInfo(
                version=facts.version or sanitize(reported.version, MAX_FACT_CHARS),
                weights=facts.weights or sanitize(reported.weights, MAX_FACT_CHARS),
                model=facts.model or (reported.model if len(reported.model) <= MAX_MODEL_CHARS else ""),
                context_tokens=facts.context_tokens or reported.context_tokens,
                slots=facts.slots or reported.slots,
            )
        ready = dataclasses.replace(ready, note=self._unlisted(names))
        return _with_facts(ready, model or facts.model, facts, self._backend.weights)

    async def _check_http(self, backend: Backend) -> None:
        """Raise StartError if no answer so far was HTTP, and neither is that to an empty request for a chat."""
        failure = self._no_http
        if failure is None or not self.silent:
            return
        if not failure.hint.endswith(EXPECTS_TLS):
            raise StartError(failure)  # it speaks another protocol
        request = self._dialect.request(backend, self._config, "", backend.model)
        with contextlib.suppress(StartError):
            await self._ask([msgspec.structs.replace(request, body=b"{}")])
        if self.silent:
            raise StartError(failure)

    @property
    def _no_http(self) -> Failure | None:
        """What the port speaks instead of HTTP, None if that is unknown."""
        return next((answer.no_http for answer in self._answers.values() if answer.no_http is not None), None)

    def _first_questions(self, backend: Backend) -> list[Request]:
        """What can be asked before the model is known."""
        models = self._dialect.models_request(backend)
        return [*([models] if models is not None else []), *self._dialect.probes(backend, backend.model)]

    def _unanswered(self, requests: Iterable[Request]) -> list[Request]:
        """Those of `requests` that were not asked, or while the server was loading."""
        return [r for r in requests if (a := self._answers.get(_key(r))) is None or a.status in NOT_YET]

    def _loading(self, health: list[Request]) -> Literal["", "silent", "said"]:
        """Whether a health endpoint says that the server is loading, and the first one does not say that it is up.

        A list of models says nothing: llama.cpp and SGLang send theirs while they load.
        """
        answers = [self._answers[_key(request)] for request in health]
        if answers and answers[0].status == 200:
            return ""
        said = {answer.loading for answer in answers}
        return "said" if "said" in said else "silent" if "silent" in said else ""

    async def _ask(self, requests: list[Request]) -> None:
        """Ask all `requests` at the same time. Raises StartError if none of them can connect."""
        if not requests:
            return
        requests = list({_key(request): request for request in requests}.values())
        answers = await asyncio.gather(*map(self._side_answer, requests))
        self._answers |= {_key(request): answer for request, answer in zip(requests, answers, strict=True)}
        errors = [answer.error for answer in answers if answer.error is not None]
        for error in errors:
            if isinstance(error, NotAdmitted | httpx.InvalidURL | UnicodeEncodeError):
                raise self._not_reachable(error)
        if len(errors) == len(answers):
            raise self._not_reachable(errors[0])
        if self.silent and self._no_http is None:
            await self._check_connection()

    async def _side_answer(self, request: Request) -> SideAnswer:
        asking = asyncio.create_task(self._fetch(request))
        try:
            # In short waits: while llmtui itself gets no CPU, only one of them passes.
            for _ in range(WAITS):
                if not asking.done():
                    await asyncio.wait([asking], timeout=REPLY_TIMEOUT_S / WAITS)
            return asking.result() if asking.done() else SideAnswer()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _fetch(self, request: Request) -> SideAnswer:
        try:
            reply = await fetch(
                self._client,
                request.method,
                request.url,
                content=request.body,
                headers=request.headers,
                limit_bytes=MAX_REPLY_BYTES,
                timeout_s=LONGEST_REPLY_S,
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL, UnicodeEncodeError) as error:
            return SideAnswer(error=error)
        except TimeoutError:
            return SideAnswer()
        return self._read(request, reply)

    def _read(self, request: Request, reply: Reply) -> SideAnswer:
        if not reply.whole or reply.status != 200:
            if reply.failure is not None:
                return SideAnswer(no_http=reply.failure)
            if tls_expected(reply.status, text := self._dialect.error_text(reply.body)):
                return SideAnswer(no_http=http_failure(reply.status, text))
            loading: Literal["", "silent", "said"] = ""
            if reply.status == 503:
                loading = "said" if refusals.says_loading(reply.body) else "" if reply.body.strip() else "silent"
            return SideAnswer(status=reply.status, loading=loading)
        names = self._dialect.model_names(reply.body)
        known = bool(names) or _lists_none(reply.body)
        return SideAnswer(
            status=200,
            names=[name for name in names if len(name) <= MAX_MODEL_CHARS] if known else None,
            info=self._dialect.server_info(request.url, reply.body, self._model),
            framework=framework_of(common.path_of(request.url), reply),
        )

    async def _model_names(self, backend: Backend) -> list[str] | None:
        """Return the models that the server lists, None if it does not. To choose one, look at other addresses too."""
        _, *others = self._dialect.addresses(backend.url)
        request = self._dialect.models_request(backend)
        if request is None:
            return None
        answer = self._answers[_key(request)]
        if answer.names is not None or answer.status not in NO_SUCH_LIST or backend.model:
            return answer.names
        elsewhere = [(url, self._models_at(backend, url)) for url in others]
        await self._ask([one for _, one in elsewhere])
        for url, one in elsewhere:
            if names := self._answers[_key(one)].names:
                self.address = url
                return names
        return None

    def _models_at(self, backend: Backend, url: str) -> Request:
        request = self._dialect.models_request(msgspec.structs.replace(backend, url=url))
        assert request is not None
        return request

    def _choose_model(self, names: list[str] | None) -> str:
        """Return the model to ask for: the configured one, also if it is not listed, else the first for a chat."""
        if not self._backend.model and names == [] and _is_ollama(self._backend):
            raise _no_model_yet("")
        return self._backend.model or (min(names, key=fitness) if names else "")

    def _unlisted(self, names: list[str] | None) -> str:
        """A remark if a running server has a list of models without the configured one; such a server may answer."""
        wanted = self._backend.model
        if (
            not wanted
            or not names
            or self._backend.launched
            or model_family(wanted) in {model_family(name) for name in names}
        ):
            return ""
        return f"the server does not list the model {sanitize(wanted, 60)}"

    async def _check_connection(self) -> None:
        """Connect and hang up. Raises StartError if that fails."""
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

    def _not_reachable(self, error: Exception) -> StartError:
        if isinstance(error, httpx.InvalidURL | UnicodeEncodeError):
            return StartError(invalid_request(error))
        failure = connect_failure(self._backend.url, error)
        if isinstance(error, NotAdmitted):
            return StartError(failure)
        return StartError(with_start_hint(failure, connect_cause(error), self._backend))


def _lists_none(body: bytes) -> bool:
    """Whether a reply is a list of no models: Ollama's "models": [] or null, and "data": null in OpenAI's protocol.

    The decoded reply ends with this function: it may take many times its size.
    """
    listed = common.as_dict(body)
    return "models" in listed or listed.get("data", ...) in (None, [])


def _is_ollama(backend: Backend) -> bool:
    return backend.protocol == "ollama" or framework(backend.framework) is OLLAMA


def _no_model_yet(model: str) -> StartError:
    return StartError(Failure(kind="missing", message="it has no model yet", hint=OLLAMA.pull_hint(model)))


def with_start_hint(failure: Failure, cause: ConnectCause, backend: Backend) -> Failure:
    """Return the failure for a server that cannot be reached, with the backend's own hint or how to start the server.

    The same words whether it is not there at the start, or ends in the middle of a run.
    """
    hint = backend.hint if cause not in ("certificate", "not TLS") else ""
    if not hint and cause == "refused":
        _, port = common.host_and_port(backend.url)
        hint = framework(backend.framework).start_hint(port)
    return msgspec.structs.replace(failure, hint=hint or failure.hint)


def _with_facts(ready: Ready, model: str, facts: ServerInfo, weights: str) -> Ready:
    """Return `ready` with the model to ask for and what the server reports. `weights` are those of the config.

    A launched server that lists the model file that it was given, perhaps by its path, has that file's digest and name.
    """
    of_file = ready.model_digest != "" and may_be_same(model, ready.model)
    return dataclasses.replace(
        ready,
        model=model,
        title=(ready.title or ready.model) if of_file else "",
        model_digest=ready.model_digest if of_file else "",
        version=facts.version or ready.version,
        weights=weights or (ready.weights if of_file else "") or facts.weights,
        context_tokens=facts.context_tokens,
        slots=facts.slots or ready.slots,
    )


def _key(request: Request) -> tuple[str, str, bytes]:
    return request.method, request.url, request.body
