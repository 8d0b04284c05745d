"""Text Generation Inference's own `/generate_stream` and `/generate` (Hugging Face, API 3.x).

The prompt is sent without a chat template. For a chat use the OpenAI dialect, which TGI supports too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmtui.model import Backend, RunConfig
from llmtui.wire import common
from llmtui.wire.base import Delta, Parser, Request, ServerInfo
from llmtui.wire.errors import error_text
from llmtui.wire.parsers import ABSENT, EventsParser, WholeParser, check_error, decode, is_page

_STREAM = "/generate_stream"
_WHOLE = "/generate"


class _Token(msgspec.Struct):
    text: str | None = None
    special: bool = False


class _Details(msgspec.Struct):
    finish_reason: str | None = None
    generated_tokens: Any = None
    input_length: Any = None
    prefill: Any = None


class _Event(msgspec.Struct):
    token: _Token | None = None
    generated_text: str | None = None
    details: _Details | None = None
    error: msgspec.Raw = ABSENT


_decode = msgspec.json.Decoder(_Event).decode


def _read(data: bytes, torn: bool = False) -> Delta | None:
    """Return the delta of one event.

    The server counts special tokens (end of text), which carry no text; `generated_text` repeats the whole answer.
    """
    event = decode(_decode, data, torn)
    check_error(event.error)
    text = ""
    if event.token is not None:
        text = "" if event.token.special else event.token.text or ""
    elif event.generated_text:
        text = event.generated_text
    details = event.details
    if details is None:
        return Delta(text=text) if text else None
    output = common.count(details.generated_tokens)
    prompt = common.count(details.input_length)
    if prompt is None and isinstance(details.prefill, list) and details.prefill:
        prompt = len(details.prefill)
    return Delta(
        text=text,
        finish_reason=details.finish_reason,
        output_tokens=output,
        token_source="server" if output is not None else None,
        prompt_tokens=prompt,
    )


class _WholeReader:
    """`/generate` returns an object, in some versions a list of one."""

    def __call__(self, data: bytes, torn: bool = False) -> Delta | None:
        body = data.strip()
        if body[:1] == b"[" and body[-1:] == b"]":
            body = body[1:-1]
        return _read(body, torn)


class TGIDialect:
    """`backend.url` is the server's root, its /v1, or the whole path."""

    requires_finish = True

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str) -> Request:
        """`backend.options` replace ours in `parameters`. TGI rejects temperature 0; without one it is greedy."""
        parameters: dict[str, Any] = {"max_new_tokens": config.max_tokens, "seed": config.seed, "details": True}
        if config.temperature > 0:
            parameters |= {"temperature": config.temperature, "do_sample": True}
        parameters = common.without(parameters | backend.options, backend.omit)
        url = common.join(_root(backend), _STREAM if backend.stream else _WHOLE)
        return common.post(backend, url, {"inputs": prompt, "parameters": parameters}, parameters.get("max_new_tokens"))

    def parser(self, content_type: str) -> Parser:
        """JSON is one document; anything else is a stream of events."""
        kind = content_type.lower()
        if is_page(kind) or "json" in kind:
            return WholeParser(_WholeReader(), content_type)
        return EventsParser(_read)

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
