"""OpenAI's chat completions, as implemented by llama.cpp, llamafile, mistral.rs, vLLM, transformers serve, LM Studio
and Ollama's /v1: a stream of server-sent events, or one JSON answer without streaming.

Invalid UTF-8 or JSON is an error; nothing is replaced.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmtui.model import Backend, RunConfig, TokenSource
from llmtui.wire import common
from llmtui.wire.base import Delta, Dialect, Parser, Request, ServerInfo
from llmtui.wire.errors import error_text, server_error
from llmtui.wire.parsers import ABSENT, EventsParser, WholeParser, check_error, decode, decode_or_none, is_page

_CHAT = "/chat/completions"


class _Part(msgspec.Struct):
    """One part of content that is a list (Mistral's servers): text, or a list of thinking parts."""

    text: str | None = None
    thinking: Any = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    tool_calls: list[common.ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    model: Any = None
    usage: msgspec.Raw = ABSENT
    timings: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    object: Any = None
    message: Any = None
    detail: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


def usage_figures(usage: Any) -> dict[str, Any]:
    """Return the fields of `Delta` in a `usage` object: OpenAI's token counts, mistral.rs' durations in seconds."""
    if not isinstance(usage, dict):
        return {}
    details = usage.get("prompt_tokens_details")
    output = common.count(usage.get("completion_tokens"))
    source: TokenSource | None = "usage" if output is not None else None
    figures = {
        "output_tokens": output,
        "token_source": source,
        "prompt_tokens": common.count(usage.get("prompt_tokens")),
        "cached_tokens": common.count(details.get("cached_tokens")) if isinstance(details, dict) else None,
        "prefill_s": common.seconds(usage.get("total_prompt_time_sec")),
        "decode_s": common.seconds(usage.get("total_completion_time_sec")),
    }
    return {name: value for name, value in figures.items() if value is not None}


def timings_figures(timings: Any) -> dict[str, Any]:
    """Return the fields of `Delta` in llama.cpp's `timings`. `prompt_n` excludes cached tokens (`cache_n`)."""
    if not isinstance(timings, dict):
        return {}
    fresh, cached = common.count(timings.get("prompt_n")), common.count(timings.get("cache_n"))
    output = common.count(timings.get("predicted_n"))
    source: TokenSource | None = "server" if output is not None else None
    figures = {
        "output_tokens": output,
        "token_source": source,
        "prompt_tokens": fresh + cached if fresh is not None and cached is not None else None,
        "cached_tokens": cached,
        "prefill_s": common.seconds(timings.get("prompt_ms"), 1e-3),
        "decode_s": common.seconds(timings.get("predicted_ms"), 1e-3),
    }
    return {name: value for name, value in figures.items() if value is not None}


class _Reader:
    """Turns chunks (of a stream, or the only one of an answer without streaming) into deltas."""

    __slots__ = ("_counted", "_model")

    def __init__(self) -> None:
        self._model: str | None = None
        self._counted = False

    def __call__(self, data: bytes, torn: bool = False) -> Delta | None:
        """Return the delta of one chunk, None if it has nothing new. Raises WireError."""
        chunk = decode(_decode, data, torn)
        check_error(chunk.error)
        if chunk.choices is None and (chunk.object == "error" or chunk.message or chunk.detail):
            raise server_error(data)
        text = reasoning = tool = ""
        finish: str | None = None
        for choice in chunk.choices or ():
            message = choice.delta or choice.message
            if message is not None:
                content = message.content
                if type(content) is str:
                    text += content
                elif content:
                    for part in content:
                        text += part if isinstance(part, str) else part.text or ""
                        reasoning += _thinking(part)
                thought = message.reasoning_content or message.reasoning
                if thought and type(thought) is str:
                    reasoning += thought
                if message.tool_calls:
                    tool += _tool_text(message.tool_calls)
            if choice.text:
                text += choice.text
            if choice.finish_reason:
                finish = choice.finish_reason
        figures: dict[str, Any] = {}
        if chunk.timings is not ABSENT:
            figures = timings_figures(decode_or_none(chunk.timings))
            if self._counted:
                figures = {n: v for n, v in figures.items() if n not in ("output_tokens", "token_source")}
        if chunk.usage is not ABSENT and (usage := usage_figures(decode_or_none(chunk.usage))):
            figures |= usage
            self._counted = self._counted or "output_tokens" in usage
        model = chunk.model
        if model != self._model and model and isinstance(model, str):
            self._model = figures["model"] = model
        if figures:
            return Delta(text=text, reasoning=reasoning, tool=tool, finish_reason=finish, **figures)
        if text or reasoning or tool or finish:
            return Delta(text=text, reasoning=reasoning, tool=tool, finish_reason=finish)
        return None


def _thinking(part: Any) -> str:
    thinking = getattr(part, "thinking", None)
    if isinstance(thinking, str):
        return thinking
    if isinstance(thinking, list):
        return "".join(common.string(p.get("text")) for p in thinking if isinstance(p, dict))
    return ""


def _tool_text(calls: list[common.ToolCall]) -> str:
    text = ""
    for call in calls:
        if call.function is not None:
            text += (call.function.name or "") + common.string(call.function.arguments)
    return text


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
        body |= backend.options
        # llama.cpp's own name for the limit takes precedence.
        limit = body.get("n_predict", body.get("max_completion_tokens", body.get("max_tokens")))
        if isinstance(answers := body.get("n"), int) and isinstance(limit, int):
            limit *= answers
        return common.post(backend, chat_url(backend.url), body, limit)

    def parser(self, content_type: str) -> Parser:
        """JSON is one document; anything else is a stream of events, whatever was requested."""
        kind = content_type.lower()
        if is_page(kind) or ("json" in kind and "ndjson" not in kind):
            return WholeParser(_Reader(), content_type)
        return EventsParser(_Reader())

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
