"""Any POST of JSON that returns text inside JSON: a body template and a path to the text, both from the config.

The defaults fit a simple chat server: `POST /` of `{"role": "user", "content": ...}` returns `{"content": ...}`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llmtui.model import Backend, RunConfig
from llmtui.text import sanitize
from llmtui.wire import common
from llmtui.wire.base import Delta, Parser, Request, ServerInfo, WireError
from llmtui.wire.errors import error_text, server_error
from llmtui.wire.openai_reader import usage_figures
from llmtui.wire.parsers import EventsParser, LinesParser, WholeParser, decode

DEFAULT_BODY: dict[str, Any] = {"role": "user", "content": "{prompt}"}
DEFAULT_ANSWER = "content"

_PLACEHOLDER = re.compile(r"\{(prompt|model|max_tokens|temperature|seed)\}")
_INDEX = re.compile(r"\[(\d+)\]")


def fill(template: Any, values: dict[str, Any]) -> Any:
    """Replace `{name}` in every string of `template`. A string that is only a placeholder gets the type of the value.

    Inserted values are not scanned again: a prompt may contain "{seed}".
    """
    if isinstance(template, str):
        if (whole := _PLACEHOLDER.fullmatch(template)) is not None:
            return values[whole[1]]
        return _PLACEHOLDER.sub(lambda m: str(values[m[1]]), template)
    if isinstance(template, list):
        return [fill(item, values) for item in template]
    if isinstance(template, dict):
        return {key: fill(item, values) for key, item in template.items()}
    return template


def steps(path: str) -> list[str]:
    """Split a path such as `choices.0.message.content` or `$.choices[0].message.content`."""
    return [s for s in _INDEX.sub(r".\1", path.strip().removeprefix("$")).split(".") if s]


class _Missing(Exception):
    """The path does not exist; the message has the part of it that does."""


def _walk(value: Any, path: list[str]) -> Any:
    for depth, step in enumerate(path):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            where = f'at "{".".join(path[:depth])}"' if depth else "it"
            raise _Missing(f'the answer has no "{".".join(path)}": {where} {_describe(value)}')
    return value


def _describe(value: Any) -> str:
    if isinstance(value, dict):
        return f"has {', '.join(sanitize(str(key), 40) for key in list(value)[:12]) or 'no keys'}"
    if isinstance(value, list):
        return f"is a list of {len(value)}"
    return f"is {'null' if value is None else type(value).__name__}"


class _Reader:
    """Reads the text at the path. A stream may have events without it (a role, the usage), but not only such events."""

    __slots__ = ("_has_text", "_missing", "_path", "_streams")

    def __init__(self, path: list[str], streams: bool) -> None:
        self._path = path
        self._streams = streams
        self._has_text = False
        self._missing: str | None = None

    def __call__(self, data: bytes, torn: bool = False) -> Delta | None:
        value = decode(msgspec.json.decode, data, torn)
        try:
            text = _walk(value, self._path)
        except _Missing as missing:
            if isinstance(value, dict) and value.get("error"):
                raise server_error(data) from missing
            if not self._streams:
                raise WireError(str(missing)) from missing
            self._missing = self._missing or str(missing)
            text = None
        else:
            self._has_text = True
        if text is not None and not isinstance(text, str):
            raise WireError(f'the answer has no text at "{".".join(self._path)}": it {_describe(text)}')
        figures = usage_figures(value.get("usage")) if isinstance(value, dict) else {}
        return Delta(text=text or "", **figures) if text or figures else None

    def finish(self) -> None:
        """Raises WireError if no event had the path."""
        if not self._has_text and self._missing is not None:
            raise WireError(self._missing)


class _Stream:
    """A stream in which at least one event must have the text."""

    __slots__ = ("_parser", "_reader")

    def __init__(self, parser: Parser, reader: _Reader) -> None:
        self._parser = parser
        self._reader = reader

    @property
    def whole(self) -> bool:
        return self._parser.whole

    @property
    def ended(self) -> bool:
        return self._parser.ended

    def feed(self, data: bytes) -> list[Delta]:
        return self._parser.feed(data)

    def close(self) -> list[Delta]:
        deltas = self._parser.close()
        self._reader.finish()
        return deltas


class CustomDialect:
    """The protocol of one backend, as described in its config. The URL is used unchanged.

    The protocol has no finish reason: a stream with text that ends cleanly is valid.
    """

    requires_finish = False

    def __init__(self, backend: Backend) -> None:
        self._path = steps(backend.answer or DEFAULT_ANSWER)

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str) -> Request:
        """Fill in the template; `backend.options` replace keys of its top level."""
        values = {
            "prompt": prompt,
            "model": model or backend.model,
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "seed": config.seed,
        }
        template = DEFAULT_BODY if backend.body is None else backend.body
        template = common.without(template, backend.omit)
        limit = config.max_tokens if "{max_tokens}" in repr(template) else None
        return common.post(backend, backend.url, fill(template, values) | backend.options, limit)

    def parser(self, content_type: str) -> Parser:
        """text/event-stream and NDJSON are streams; anything else is one JSON document."""
        kind = content_type.lower()
        if "event-stream" in kind:
            reader = _Reader(self._path, streams=True)
            return _Stream(EventsParser(reader), reader)
        if "ndjson" in kind or "jsonl" in kind or "json-seq" in kind:
            reader = _Reader(self._path, streams=True)
            return _Stream(LinesParser(reader), reader)
        return WholeParser(_Reader(self._path, streams=False), content_type)

    def error_text(self, body: bytes) -> str:
        """See errors.error_text."""
        return error_text(body)

    def addresses(self, url: str) -> list[str]:
        """Only `url`."""
        return [url]

    def health_requests(self, backend: Backend) -> list[Request]:
        """`ready` of the config, else none: connecting is enough."""
        if not backend.ready:
            return []
        root = common.origin(backend.url)
        return [common.get(backend, common.join(root, "/" + backend.ready.lstrip("/")))]

    def models_request(self, backend: Backend) -> Request | None:
        """There is no such request."""
        return None

    def model_names(self, body: bytes) -> list[str]:
        """Always empty."""
        return []

    def probes(self, backend: Backend, model: str) -> list[Request]:
        """Always empty."""
        return []

    def server_info(self, path: str, body: bytes, model: str = "") -> ServerInfo:
        """Always empty."""
        return ServerInfo()
