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
from llmtui.wire.errors import check_error, error_text, no_answer
from llmtui.wire.finish import finish_word
from llmtui.wire.lenient import Other, decode
from llmtui.wire.parsers import AnswerParser
from llmtui.wire.repeats import SURE_CHARS, TextSoFar

#: Options of the config that go to the top level of the request, not into `options`.
_TOP_LEVEL = frozenset({"think", "keep_alive", "format", "truncate", "shift", "tools", "logprobs", "top_logprobs"})
_NS = 1e-9
#: What `url` may end with, behind the server's root.
_PATHS = ("/api/chat", "/api/generate", "/api/tags", "/api", "/v1/chat/completions", "/v1")
#: The parts of a model's name that may be left out.
_REGISTRY, _NAMESPACE, _TAG = "registry.ollama.ai", "library", "latest"


class _Message(msgspec.Struct):
    content: Any = None
    thinking: Any = None
    tool_calls: Any = None


class _Line(msgspec.Struct):
    """One line. `response` and `thinking` at the top level belong to `/api/generate`."""

    message: _Message | Other = None
    response: Any = None
    thinking: Any = None
    model: Any = None
    done: Any = None
    done_reason: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    prompt_eval_duration: Any = None
    eval_duration: Any = None
    load_duration: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Line).decode


class _Reader:
    """Turns lines into deltas. The line that says "done" may have the whole answer once more."""

    __slots__ = ("_model", "_text", "_thought", "ended", "finished")
    whole = False

    def __init__(self) -> None:
        self.ended = self.finished = False
        self._model: str | None = None
        self._text = TextSoFar()
        self._thought = TextSoFar()

    @property
    def answered(self) -> bool:
        return self.finished

    def __call__(self, data: bytes, torn: bool = False, named: bool = False) -> Delta | tuple[Delta, ...] | None:
        """Return the delta of one line, None if it has nothing new. Raises WireError."""
        line = decode(_decode, data, torn)
        message = line.message
        if self._text.settled and type(message) is _Message and line.done is False and line.model == self._model:
            # The usual line: a short text and nothing else.
            text = message.content
            if (
                type(text) is str
                and 0 < len(text) < SURE_CHARS
                and message.thinking is None
                and message.tool_calls is None
                and line.response is None
                and line.thinking is None
                and line.error is None
            ):
                self._text.chars += len(text)
                return Delta(text)
        if line.error:
            check_error(line.error)
        done = line.done is True or line.done == "true"
        if type(message) is not _Message:
            if line.response is None and line.thinking is None and not done:
                no_answer(data, named, "message")
            message = _Message()
        text = common.string(message.content) or common.string(line.response)
        reasoning = common.string(message.thinking) or common.string(line.thinking)
        tool = _calls(message.tool_calls) if message.tool_calls else ""
        if text:
            text = self._text.new(text, done)
        if reasoning:
            reasoning = self._thought.new(reasoning, done)
        model = line.model if line.model != self._model and line.model and isinstance(line.model, str) else None
        if model:
            self._model = model
        if done:
            delta = self._last(line, text, reasoning, tool, model)
        elif text or reasoning or tool or model:
            delta = Delta(text=text, reasoning=reasoning, tool=tool, model=model)
        else:
            return None
        if self._text.correction is not None:
            correction, self._text.correction = self._text.correction, None
            return Delta(text=correction, replaces=True), delta
        return delta

    def _last(self, line: _Line, text: str, reasoning: str, tool: str, model: str | None) -> Delta:
        self.ended = self.finished = True
        output = common.count(line.eval_count)
        return Delta(
            text=text,
            reasoning=reasoning,
            tool=tool,
            model=model,
            finish_reason=finish_word(line.done_reason) or "done",
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


def _calls(calls: Any) -> str:
    """Return the names and arguments of the functions called. The arguments are an object."""
    text = ""
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict) and isinstance(function := call.get("function"), dict):
            text += common.string(function.get("name")) + msgspec.json.encode(function.get("arguments")).decode()
    return text


class OllamaDialect:
    """Native chat. `backend.url` is the server's root; it may end with /api, /api/chat or /v1."""

    requires_finish = True
    takes_system = True

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str, system: str = "") -> Request:
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
            "messages": common.messages(prompt, system),
            "stream": backend.stream,
            "options": options,
        }
        for name, value in backend.options.items():
            (body if name in _TOP_LEVEL else options)[name] = value
        body["options"] = options = common.without(options, backend.omit)
        return common.post(backend, _api(backend, "/api/chat"), body, options.get("num_predict"))

    def parser(self, content_type: str) -> Parser:
        """Lines of JSON, events or one document, whatever the Content-Type says."""
        return AnswerParser(_Reader(), content_type)

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
