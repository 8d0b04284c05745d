"""Ollama's native `/api/chat` (tested with 0.32.15): one JSON object per line, statistics in ns on the last one.

`prompt_eval_count` includes a cached prefix (older versions leave it out), and no field has the size of that prefix.
`eval_duration` begins at the first token.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmtui.model import Backend, RunConfig
from llmtui.wire import common
from llmtui.wire.base import Delta, Parser, Request, ServerInfo
from llmtui.wire.errors import error_text
from llmtui.wire.parsers import ABSENT, LinesParser, WholeParser, check_error, decode, is_page

#: Options of the config that go to the top level of the request, not into `options`.
_TOP_LEVEL = frozenset({"think", "keep_alive", "format", "truncate", "shift", "tools", "logprobs", "top_logprobs"})
_NS = 1e-9
#: What `url` may end with, behind the server's root.
_PATHS = ("/api/chat", "/api/generate", "/api/tags", "/api", "/v1/chat/completions", "/v1")
#: The parts of a model's name that may be left out.
_REGISTRY, _NAMESPACE, _TAG = "registry.ollama.ai", "library", "latest"


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[common.ToolCall] | None = None


class _Line(msgspec.Struct):
    """One line. `response` and `thinking` at the top level belong to `/api/generate`."""

    message: _Message | None = None
    response: str | None = None
    thinking: str | None = None
    model: Any = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    prompt_eval_duration: Any = None
    eval_duration: Any = None
    load_duration: Any = None
    error: msgspec.Raw = ABSENT


_decode = msgspec.json.Decoder(_Line).decode


class _Reader:
    __slots__ = ("_model",)

    def __init__(self) -> None:
        self._model: str | None = None

    def __call__(self, data: bytes, torn: bool = False) -> Delta | None:
        """Return the delta of one line, None if it has nothing new. Raises WireError."""
        line = decode(_decode, data, torn)
        check_error(line.error)
        text, reasoning, tool = line.response or "", line.thinking or "", ""
        if line.message is not None:
            text += line.message.content or ""
            reasoning += line.message.thinking or ""
            for call in line.message.tool_calls or ():
                if call.function is not None:
                    tool += f"{call.function.name or ''}{msgspec.json.encode(call.function.arguments).decode()}"
        model = line.model if line.model != self._model and line.model and isinstance(line.model, str) else None
        if model:
            self._model = model
        if not line.done:
            has_news = text or reasoning or tool or model
            return Delta(text=text, reasoning=reasoning, tool=tool, model=model) if has_news else None
        output = common.count(line.eval_count)
        return Delta(
            text=text,
            reasoning=reasoning,
            tool=tool,
            model=model,
            finish_reason=line.done_reason or "done",
            output_tokens=output,
            token_source="server" if output is not None else None,
            prompt_tokens=common.count(line.prompt_eval_count),
            prefill_s=common.seconds(line.prompt_eval_duration, _NS),
            decode_s=common.seconds(line.eval_duration, _NS),
            load_s=common.seconds(line.load_duration, _NS),
        )


def same_model(a: str, b: str) -> bool:
    """Whether two names are those of one model, as Ollama reads them: in any case, with default host and tag."""
    return _whole_name(a) == _whole_name(b)


def _whole_name(name: str) -> tuple[str, ...]:
    """Return host, namespace, model and tag."""
    *before, last = name.lower().partition("@")[0].rpartition("://")[2].strip("/").split("/")
    model, _, tag = last.partition(":")
    defaults = (_REGISTRY, _NAMESPACE)
    return (*defaults[: max(0, 2 - len(before))], *before, model, tag or _TAG)


class OllamaDialect:
    """Native chat. `backend.url` is the server's root; it may end with /api, /api/chat or /v1."""

    requires_finish = True

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str) -> Request:
        """`backend.options` go into `options` (`num_ctx`, `num_thread`, ...) and replace ours; a few (`think`,
        `keep_alive`, `truncate`, ...) go to the top level.
        """
        options: dict[str, Any] = {
            "temperature": config.temperature,
            "seed": config.seed,
            "num_predict": config.max_tokens,
        }
        body: dict[str, Any] = {
            "model": model or backend.model,
            "messages": [{"role": "user", "content": prompt}],
            "stream": backend.stream,
            "options": options,
        }
        for name, value in backend.options.items():
            (body if name in _TOP_LEVEL else options)[name] = value
        body["options"] = options = common.without(options, backend.omit)
        return common.post(backend, _api(backend, "/api/chat"), body, options.get("num_predict"))

    def parser(self, content_type: str) -> Parser:
        """application/json is one document; anything else is lines."""
        kind = content_type.lower()
        if is_page(kind) or "application/json" in kind:
            return WholeParser(_Reader(), content_type)
        return LinesParser(_Reader(), finish_ends=True)

    def error_text(self, body: bytes) -> str:
        """See errors.error_text."""
        return error_text(body)

    def addresses(self, url: str) -> list[str]:
        """Only `url`."""
        return [url]

    def health_requests(self, backend: Backend) -> list[Request]:
        """`ready` of the config, else /api/version."""
        return [common.get(backend, _api(backend, "/" + (backend.ready or "/api/version").lstrip("/")))]

    def models_request(self, backend: Backend) -> Request:
        """GET /api/tags."""
        return common.get(backend, _api(backend, "/api/tags"))

    def model_names(self, body: bytes) -> list[str]:
        """`models[].name`, `models[].model` in some imitations."""
        return [name for model in _models(body) if (name := _name(model))]

    def probes(self, backend: Backend, model: str) -> list[Request]:
        """/api/version, /api/tags; with a model /api/show (its quantisation) and /api/ps. None loads a model."""
        requests = [common.get(backend, _api(backend, "/api/version")), self.models_request(backend)]
        name = model or backend.model
        if name:
            requests.append(common.post(backend, _api(backend, "/api/show"), {"model": name}))
            requests.append(common.get(backend, _api(backend, "/api/ps")))
        return requests

    def server_info(self, path: str, body: bytes, model: str = "") -> ServerInfo:
        """Version, models, `details.quantization_level` of `model` and the context that it has while loaded."""
        reply = common.as_dict(body)
        if path.endswith(("/api/tags", "/api/ps")):
            names = self.model_names(body) if path.endswith("/api/tags") else []
            for entry in _models(body):
                if same_model(_name(entry), model):
                    context = common.count(entry.get("context_length"))
                    return ServerInfo(
                        models=names, model=_name(entry), weights=_quantisation(entry), context_tokens=context
                    )
            return ServerInfo(models=names)
        return ServerInfo(version=common.string(reply.get("version")), weights=_quantisation(reply))


def _api(backend: Backend, path: str) -> str:
    return common.join(common.strip(common.tidy(backend.url), *_PATHS), path)


def _models(body: bytes) -> list[dict[str, Any]]:
    models = common.as_dict(body).get("models")
    return [m for m in models if isinstance(m, dict)] if isinstance(models, list) else []


def _name(model: dict[str, Any]) -> str:
    return common.string(model.get("name")) or common.string(model.get("model"))


def _quantisation(model: dict[str, Any]) -> str:
    details = model.get("details")
    return common.string(details.get("quantization_level")) if isinstance(details, dict) else ""
