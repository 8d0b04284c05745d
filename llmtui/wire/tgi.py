"""Text Generation Inference's own `/generate_stream` and `/generate` (Hugging Face, API 3.x).

The prompt is sent without a chat template. For a chat use the OpenAI dialect, which TGI supports too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmtui.model import Backend, RunConfig
from llmtui.wire import common
from llmtui.wire.base import Delta, Parser, Request, ServerInfo
from llmtui.wire.errors import check_error, error_text, no_answer
from llmtui.wire.finish import finish_word
from llmtui.wire.lenient import Other, decode
from llmtui.wire.parsers import AnswerParser

_STREAM = "/generate_stream"
_WHOLE = "/generate"


class _Token(msgspec.Struct):
    text: Any = None
    special: Any = False


class _Details(msgspec.Struct):
    finish_reason: Any = None
    generated_tokens: Any = None
    input_length: Any = None
    prefill: Any = None


class _Event(msgspec.Struct):
    token: _Token | Other = None
    generated_text: Any = None
    details: _Details | Other = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class _Reader:
    """Turns events into deltas.

    The server counts special tokens (end of text), which carry no text; `generated_text` repeats the whole answer.
    """

    __slots__ = ("_has_tokens", "finished")
    ended = False
    whole = False

    def __init__(self) -> None:
        self.finished = False
        self._has_tokens = False

    @property
    def answered(self) -> bool:
        return self.finished

    def __call__(self, data: bytes, torn: bool = False, named: bool = False) -> Delta | None:
        """Return the delta of one event, None if it has nothing new. Raises WireError."""
        event = decode(_decode, data, torn)
        if event.error:
            check_error(event.error)
        token, details = event.token, event.details
        if token is None and event.generated_text is None and details is None:
            no_answer(data, named, "token")
        text = ""
        if type(token) is _Token:
            text = "" if token.special is True else common.string(token.text)
            self._has_tokens = self._has_tokens or bool(text)
        elif not self._has_tokens:
            text = common.string(event.generated_text)
        if type(details) is not _Details:
            return Delta(text=text) if text else None
        finish = finish_word(details.finish_reason)
        self.finished = self.finished or finish is not None
        output = common.count(details.generated_tokens)
        prompt = common.count(details.input_length)
        if prompt is None and isinstance(details.prefill, list) and details.prefill:
            prompt = len(details.prefill)
        return Delta(
            text=text,
            finish_reason=finish,
            output_tokens=output,
            token_source="server" if output is not None else None,
            prompt_tokens=prompt,
        )


class TGIDialect:
    """`backend.url` is the server's root, its /v1, or the whole path."""

    requires_finish = True
    takes_system = False

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str, system: str = "") -> Request:
        """`backend.options` replace ours in `parameters`. TGI rejects temperature 0; without one it is greedy."""
        parameters: dict[str, Any] = {"max_new_tokens": config.max_tokens, "seed": config.seed, "details": True}
        if config.temperature > 0:
            parameters |= {"temperature": config.temperature, "do_sample": True}
        parameters = common.without(parameters | backend.options, backend.omit)
        url = common.join(_root(backend), _STREAM if backend.stream else _WHOLE)
        return common.post(backend, url, {"inputs": prompt, "parameters": parameters}, parameters.get("max_new_tokens"))

    def parser(self, content_type: str) -> Parser:
        """Events, lines of JSON or one document (an object, in some versions a list of one)."""
        return AnswerParser(_Reader(), content_type)

    def error_text(self, body: bytes) -> str:
        """See errors.error_text."""
        return error_text(body)

    def addresses(self, url: str) -> list[str]:
        """Only `url`."""
        return [url]

    def health_requests(self, backend: Backend) -> list[Request]:
        """`ready` of the config, else /health."""
        path = "/" + (backend.ready or "/health").lstrip("/")
        return [common.get(backend, common.join(_root(backend), path))]

    def models_request(self, backend: Backend) -> Request:
        """GET /info."""
        return common.get(backend, common.join(_root(backend), "/info"))

    def model_names(self, body: bytes) -> list[str]:
        """`model_id`: TGI serves one model."""
        name = common.string(common.as_dict(body).get("model_id"))
        return [name] if name else []

    def probes(self, backend: Backend, model: str) -> list[Request]:
        """/info."""
        return [self.models_request(backend)]

    def server_info(self, path: str, body: bytes, model: str = "") -> ServerInfo:
        """Version, model, and `quantize` or `model_dtype` of /info."""
        reply = common.as_dict(body)
        names = self.model_names(body)
        dtype = common.string(reply.get("quantize")) or common.string(reply.get("model_dtype"))
        return ServerInfo(
            version=common.string(reply.get("version")),
            weights=dtype.removeprefix("torch."),
            model=names[0] if names else "",
            models=names,
        )


def _root(backend: Backend) -> str:
    return common.strip(common.tidy(backend.url), _STREAM, _WHOLE, "/v1/chat/completions", "/v1")
