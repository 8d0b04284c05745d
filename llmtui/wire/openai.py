"""OpenAI's chat completions, as implemented by llama.cpp, llamafile, mistral.rs, vLLM, transformers serve, LM Studio
and Ollama's /v1: a stream of server-sent events, or one JSON answer without streaming.
"""

from __future__ import annotations

from typing import Any

from llmtui.model import Backend, RunConfig
from llmtui.wire import common
from llmtui.wire.base import Dialect, Parser, Request, ServerInfo
from llmtui.wire.errors import error_text
from llmtui.wire.openai_reader import ChunkReader
from llmtui.wire.parsers import EventsParser, WholeParser, is_page

_CHAT = "/chat/completions"


def refuses_usage_option(status: int, body: bytes) -> bool:
    """Whether this error rejects `stream_options`. If so, retry with `OpenAIDialect(include_usage=False)`."""
    return status in (400, 422) and (b"stream_options" in body or b"include_usage" in body)


class OpenAIDialect:
    """Chat completions. `include_usage` requests token counts at the end of a stream; a few servers reject it."""

    requires_finish = True

    def __init__(self, include_usage: bool = True) -> None:
        self.include_usage = include_usage

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str) -> Request:
        """`backend.options` replace fields of the body; `max_completion_tokens` drops `max_tokens`."""
        body: dict[str, Any] = {
            "model": model or backend.model or "default",
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "seed": config.seed,
            "stream": backend.stream,
        }
        if "max_completion_tokens" in backend.options:
            del body["max_tokens"]
        if backend.stream and self.include_usage:
            body["stream_options"] = {"include_usage": True}
        for name, value in backend.options.items():
            # More options of the stream do not take the usage away.
            both = name == "stream_options" and name in body and isinstance(value, dict)
            body[name] = body[name] | value if both else value
        # llama.cpp's own name for the limit takes precedence.
        limit = body.get("n_predict", body.get("max_completion_tokens", body.get("max_tokens")))
        return common.post(backend, chat_url(backend.url), body, limit)

    def parser(self, content_type: str) -> Parser:
        """JSON is one document; anything else is a stream of events, whatever was requested."""
        kind = content_type.lower()
        if is_page(kind) or ("json" in kind and "ndjson" not in kind):
            return WholeParser(ChunkReader(), content_type)
        return EventsParser(ChunkReader())

    def error_text(self, body: bytes) -> str:
        """See errors.error_text."""
        return error_text(body)

    def without_refused(self, status: int, body: bytes) -> Dialect | None:
        """Without `stream_options`, where the error objects to that."""
        return OpenAIDialect(include_usage=False) if self.include_usage and refuses_usage_option(status, body) else None

    def health_requests(self, backend: Backend) -> list[Request]:
        """`ready` of the config, else /health (missing in Ollama and llamafiler), then /v1/models."""
        root = server_root(backend.url)
        if backend.ready:
            return [common.get(backend, common.join(root, "/" + backend.ready.lstrip("/")))]
        return [common.get(backend, common.join(root, "/health")), self.models_request(backend)]

    def models_request(self, backend: Backend) -> Request:
        """GET /v1/models."""
        return common.get(backend, common.join(common.strip(chat_url(backend.url), _CHAT), "/models"))

    def model_names(self, body: bytes) -> list[str]:
        """`data[].id`."""
        return _names(common.as_dict(body))

    def probes(self, backend: Backend, model: str) -> list[Request]:
        """/v1/models (all servers), /props (llama.cpp: weights and build), /version (vLLM)."""
        root = server_root(backend.url)
        paths = ("/props", "/version")
        return [self.models_request(backend), *(common.get(backend, common.join(root, path)) for path in paths)]

    def server_info(self, path: str, body: bytes) -> ServerInfo:
        """llama.cpp's `meta.ftype`, `model_ftype`, `model_alias`, `build_info` and `n_ctx` (of one slot); vLLM's
        `version` and `max_model_len`.
        """
        reply = common.as_dict(body)
        if path.endswith("/models"):
            names = _names(reply)
            if len(names) != 1:
                return ServerInfo(models=names)
            metas = [e["meta"] for e in reply["data"] if isinstance(e, dict) and isinstance(e.get("meta"), dict)]
            weights = common.string(metas[0].get("ftype")) if len(metas) == 1 else ""
            lengths = [common.count(e.get("max_model_len")) for e in reply["data"] if isinstance(e, dict)]
            context_tokens = lengths[0] if len(lengths) == 1 else None
            return ServerInfo(models=names, model=names[0], weights=weights, context_tokens=context_tokens)
        defaults = reply.get("default_generation_settings")
        version = common.string(reply.get("build_info")) or common.string(reply.get("version"))
        return ServerInfo(
            version="" if "unknown" in version else version,
            weights=common.string(reply.get("model_ftype")),
            model=common.string(reply.get("model_alias")),
            context_tokens=common.count(defaults.get("n_ctx")) if isinstance(defaults, dict) else None,
        )


def _names(models: dict[str, Any]) -> list[str]:
    """Return the names in the answer of /v1/models."""
    data = models.get("data")
    entries = data if isinstance(data, list) else []
    return [name for e in entries if isinstance(e, dict) and (name := common.string(e.get("id")))]


def chat_url(url: str) -> str:
    """Return the URL for a chat: `url` may be the server's root, its /v1, or the whole path."""
    path = common.path_of(url)
    if path.endswith(_CHAT):
        return common.strip(url)
    return common.join(url, _CHAT if path.endswith("/v1") else "/v1" + _CHAT)


def server_root(url: str) -> str:
    """Return the root of the server, for /health and the like."""
    return common.strip(url, "/v1" + _CHAT, _CHAT, "/v1")
