"""Requests that fit the server: where the chat is, and which fields it takes.

A server refuses a request that does not fit. The next one then differs, and the refused one does not count as an
iteration. Nor does a request that comes before the model is loaded.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from llmtui.config.frameworks import OLLAMA
from llmtui.engine.fresh_role import FreshLine
from llmtui.engine.server_probe import NOT_YET, with_start_hint
from llmtui.measure.request import IterationError
from llmtui.model import Backend, Failure, RunConfig
from llmtui.model.request_fields import LIMITS
from llmtui.servers.log_reasons import known_reason
from llmtui.servers.placeholders import fill_fields, request_values
from llmtui.text import sanitize
from llmtui.wire import common, refusals
from llmtui.wire.base import Dialect, Request

#: How often a server that loads its model is asked.
POLL_S = 0.5
#: The shortest wait before a retry that a server asks for, also if it asks for none.
MIN_WAIT_S = 0.25
#: How long a gateway that reports no reason may not reach its server.
GATEWAY_S = 20.0
#: What it means that a field is left out.
_MEANINGS = {
    "temperature": "it samples at a temperature of its own",
    "seed": "answers may differ",
    "stream_options": "arrivals are counted if it reports no usage",
    "ignore_eos": "answers may end early",
    "logit_bias": "answers may end early",
    "generation_config": "answers may end early",
    "cache_prompt": "its prefix cache may be used",
}


class AskAgain(Exception):
    """The request was refused, and is to be sent again in another form or after `wait_s`. `note` is for the user."""

    def __init__(self, note: str = "", wait_s: float = 0.0) -> None:
        super().__init__(note)
        self.note = note
        self.wait_s = wait_s


class Adaptation:
    """What llmtui has learned about the requests that one server takes. It outlasts a restart of the server."""

    def __init__(self, backend: Backend, config: RunConfig, dialect: Dialect, fresh: FreshLine, slots: int = 1) -> None:
        self.fresh = fresh
        self._backend = backend
        self._config = config
        self._slots = slots
        self._dialect = dialect
        self._refused: list[str] = []
        self._instead: dict[str, Any] = {}
        self._address = ""
        self._tried: dict[str, Failure] = {}
        self._loading_since: float | None = None
        self._answered = False
        self._down = False

    @property
    def remark(self) -> str:
        """How requests differ from the usual ones, "" if they do not."""
        parts = [self.fresh.remark] if self.fresh.remark else []
        parts += [f"without {', '.join(self._refused)}"] if self._refused else []
        if self._answered and self._address:
            parts.append(f"chat at {sanitize(common.path_of(self._address), 80)}")
        return ", ".join(parts)

    def brought_up(self, *, down: bool, address: str) -> None:
        """The server was brought up, perhaps again. `address` is the chat's as far as the list of models shows it.

        `down`: all that it answered is that it cannot answer yet.
        """
        self._down = down
        self._address = self._address or address
        self._loading_since = None
        self._answered = False

    def succeeded(self) -> None:
        """A request was answered."""
        self._answered = True
        self.fresh.succeeded()

    def request(
        self,
        url: str,
        options: dict[str, Any],
        prompt: str,
        model: str,
        fresh_line: str = "",
        max_tokens: int | None = None,
    ) -> Request:
        """Return the next request, to a server at `url`. `fresh_line` makes its prompt a new one.

        `max_tokens` is the limit of the answer, by default the run's.
        """
        config = self._config
        instead = self._instead
        if max_tokens is not None:
            config = msgspec.structs.replace(config, max_tokens=max_tokens)
            instead = {
                name: max_tokens if name == "max_completion_tokens" else value for name, value in instead.items()
            }
        values = request_values(self._config, url, model, self._slots)
        backend = msgspec.structs.replace(
            self._backend,
            url=self._address or url,
            options=fill_fields(options, values) | instead,
            # The dialect fills in the model, as it does the prompt.
            body=fill_fields(self._backend.body, {name: values[name] for name in values if name != "model"}),
            omit=[*self._backend.omit, *self._refused],
        )
        self.fresh.sent = bool(fresh_line) and self.fresh.role == "system"
        if self.fresh.sent:
            return self._dialect.request(backend, config, prompt, model, fresh_line)
        return self._dialect.request(backend, config, f"{fresh_line}\n{prompt}" if fresh_line else prompt, model)

    def respond(self, error: IterationError, request: Request, url: str, model: str) -> Exception:
        """Return what to raise for a request that failed: AskAgain, or the failure with all that is known about it."""
        if not self._answered:
            waiting = self._while_loading(error)
            if waiting is not None:
                return waiting
        if note := self.fresh.refusal(error, answered=self._answered):
            return AskAgain(note)
        again = self._without_refused(error, request) or self._at_other_address(error, request, url, model)
        return again or _described(error, self._explained(error, request, model))

    def _while_loading(self, error: IterationError) -> Exception | None:
        """Wait for a server that says that it is loading, or a gateway whose server does not answer at all yet."""
        status = error.status or 0
        body = error.body if status else error.failure.message.encode()
        said = refusals.says_loading(body) if status >= 500 else refusals.says_still_loading(body)
        if not said and not (self._down and status in NOT_YET):
            return None
        limit_s = self._config.load_timeout_s
        if not said and status != 503:
            limit_s = min(limit_s, GATEWAY_S)
        first = self._loading_since is None
        now = time.monotonic()
        since = self._loading_since = now if self._loading_since is None else self._loading_since
        if now - since > limit_s:
            if not said:
                return None
            message = f"still loading after {limit_s:g} s: {error.failure.message}"
            return _described(error, Failure(kind="timeout", message=message, hint="raise load_timeout_s"))
        wait_s = min(max(error.retry_after_s or 0.0, POLL_S), max(limit_s - (now - since), POLL_S))
        until = "has loaded its model" if said else "answers"
        note = f"{error.failure.message}: waiting up to {limit_s:g} s until the server {until}"
        return AskAgain(note if first else "", wait_s)

    def _without_refused(self, error: IterationError, request: Request) -> AskAgain | None:
        """Leave out the fields to which the answer objects."""
        body = error.body
        if error.status is None:
            if error.failure.kind != "server":
                return None
            body = error.failure.message.encode()
        named = refusals.refused_fields(error.status, body, request.body)
        own = [name for name in named if name in self._backend.options or self._backend.protocol == "custom"]
        fields = [name for name in named if name not in own and name not in self._refused]
        if not fields:
            return None
        notes = []
        for name in fields:
            self._refused.append(name)
            if name == "max_tokens" and refusals.wants_other_limit(body):
                self._instead["max_completion_tokens"] = self._config.max_tokens
                notes.append(f"the server refuses {name!r}: 'max_completion_tokens' is sent instead")
                continue
            self._instead.pop(name, None)
            meaning = "answers are not limited" if name in LIMITS else _MEANINGS.get(name, "")
            notes.append(f"the server refuses {name!r}: left out of every request" + (meaning and f"; {meaning}"))
        return AskAgain("; ".join(notes))

    def _at_other_address(self, error: IterationError, request: Request, url: str, model: str) -> AskAgain | None:
        """Go on to the next address at which the chat may be, if there is nothing at this one."""
        if self._answered or not _nothing_there(error, model):
            return None
        self._tried.setdefault(request.url, error.failure)
        addresses = self._dialect.addresses(url)
        for address in addresses if len(addresses) > 1 else ():
            if address not in self._tried:
                self._address = address
                return AskAgain()
        self._address = ""
        return None

    def _explained(self, error: IterationError, request: Request, model: str) -> Failure:
        failure = error.failure
        if error.cause is not None:
            return with_start_hint(failure, error.cause, self._backend)
        if _nothing_there(error, model):
            (first, failure), *others = (self._tried or {request.url: failure}).items()
            status, _, text = failure.message.partition(": ")
            message = f"{status} at {sanitize(first, 200)}" + (text and f": {text}")
            paths = ", ".join(sanitize(common.path_of(one), 80) for one, _ in others)
            hint = "check url and protocol" + (f"; also tried {paths}" if paths else "")
            return msgspec.structs.replace(failure, message=message, hint=hint)
        if error.status == 404:
            if self._backend.protocol == "ollama":
                return msgspec.structs.replace(failure, kind="missing", hint=OLLAMA.pull_hint(model))
            return msgspec.structs.replace(failure, hint="check model")
        if error.status == 401 and self._backend.protocol == "ollama" and not self._backend.api_key:
            return msgspec.structs.replace(failure, hint="for a model of Ollama's cloud: ollama signin")
        if self._backend.api_key and (error.status == 401 or (error.status == 400 and refusals.names_key(error.body))):
            return msgspec.structs.replace(failure, hint="check api_key of this backend")
        if error.status == 403 and not self._backend.api_key and not self._backend.headers:
            return msgspec.structs.replace(failure, hint="set api_key for this backend")
        if error.status is not None:
            named = refusals.refused_fields(error.status, error.body, request.body)
            if own := [name for name in named if name in self._backend.options]:
                return msgspec.structs.replace(failure, hint=f"remove {own[0]!r} from options of this backend")
        if error.status in (400, 422, 500) and refusals.too_long(error.body):
            return msgspec.structs.replace(failure, hint="lower max_tokens or shorten the prompt")
        if error.status is not None and error.status >= 500 and (known := known_reason([failure.message])) is not None:
            # It is up, and what it started for the model is not, as the runner of Ollama.
            return msgspec.structs.replace(failure, hint=known.hint or failure.hint)
        return failure


def _nothing_there(error: IterationError, model: str) -> bool:
    """Whether the address of the request is not that of the chat.

    LM Studio says so with status 200, AWS's gateway with 403, and a server of web pages with its start page.
    """
    if error.status in (404, 405):
        return not refusals.names_model(error.body, model)
    if error.status == 403:
        return b"Missing Authentication Token" in error.body
    message = error.failure.message
    return "Unexpected endpoint or method" in message or message.startswith("the server sent a web page")


def _described(error: IterationError, failure: Failure) -> IterationError:
    return IterationError(
        failure, status=error.status, body=error.body, retry_after_s=error.retry_after_s, cause=error.cause
    )
