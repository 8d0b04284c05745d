"""Any POST that takes JSON and answers text inside JSON: a body template and a path to the text, from the config.

Without either, the hand-made chat server of the experiment this tool grew from: `POST /` took
`{"role": "user", "content": ...}` and answered `{"content": ...}` in one piece.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from llmtui.model import Backend, RunConfig
from llmtui.text import sanitize
from llmtui.wire import common
from llmtui.wire.base import Delta, Dialect, Parser, Request, ServerInfo, WireError
from llmtui.wire.errors import error_text, server_error
from llmtui.wire.openai import usage_figures
from llmtui.wire.parsers import EventsParser, LinesParser, WholeParser, decode

DEFAULT_BODY: dict[str, Any] = {"role": "user", "content": "{prompt}"}
DEFAULT_ANSWER = "content"

_PLACE = re.compile(r"\{(prompt|model|max_tokens|temperature|seed)\}")
_INDEX = re.compile(r"\[(\d+)\]")


def fill(template: Any, values: dict[str, Any]) -> Any:
    """`template` with `{name}` replaced in every string. A string that is nothing but one keeps the value's type.

    What was filled in is not looked at again: a prompt may contain "{seed}".
    """
    if isinstance(template, str):
        if (whole := _PLACE.fullmatch(template)) is not None:
            return values[whole[1]]
        return _PLACE.sub(lambda m: str(values[m[1]]), template)
    if isinstance(template, list):
        return [fill(item, values) for item in template]
    if isinstance(template, dict):
        return {key: fill(item, values) for key, item in template.items()}
    return template


def steps(path: str) -> list[str]:
    """`choices.0.message.content` as its steps; `$.choices[0].message.content` is the same."""
    return [s for s in _INDEX.sub(r".\1", path.strip().removeprefix("$")).split(".") if s]


class _Missing(Exception):
    """The path leads nowhere; the message tells how far it led."""


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
    """Of a stream, events without the path (a role, the usage) are passed over; if none had it, the end is an error."""

    __slots__ = ("_found", "_missing", "_path", "_streams")

    def __init__(self, path: list[str], streams: bool) -> None:
        self._path = path
        self._streams = streams
        self._found = False
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
            self._found = True
        if text is not None and not isinstance(text, str):
            raise WireError(f'the answer has no text at "{".".join(self._path)}": it {_describe(text)}')
        figures = usage_figures(value.get("usage")) if isinstance(value, dict) else {}
        return Delta(text=text or "", **figures) if text or figures else None

    def finish(self) -> None:
        """Raises WireError when the text was nowhere."""
        if not self._found and self._missing is not None:
            raise WireError(self._missing)


class _Stream:
    """A stream that has to have had the text somewhere by its end."""

    __slots__ = ("_parser", "_reader")

    def __init__(self, parser: Parser, reader: _Reader) -> None:
        self._parser = parser
        self._reader = reader

    def feed(self, data: bytes) -> list[Delta]:
        return self._parser.feed(data)

    def close(self) -> list[Delta]:
        deltas = self._parser.close()
        self._reader.finish()
        return deltas


class CustomDialect:
    """Reads and asks as one backend's config says. The URL is used as it is given.

    No finish reason is known: the end of the stream is a success when there was text.
    """

    requires_finish = False

    def __init__(self, backend: Backend) -> None:
        self._path = steps(backend.answer or DEFAULT_ANSWER)

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str) -> Request:
        """The template, filled in, with `backend.options` over its top level."""
        values = {
            "prompt": prompt,
            "model": model or backend.model,
            "max_tokens": config.max_tokens,
            "temperature": config.temperature,
            "seed": config.seed,
        }
        template = DEFAULT_BODY if backend.body is None else backend.body
        limit = config.max_tokens if "{max_tokens}" in repr(template) else None
        return common.post(backend, backend.url, fill(template, values) | backend.options, limit)

    def parser(self, content_type: str) -> Parser:
        """text/event-stream and NDJSON are streams, all else is one JSON document."""
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

    def without_refused(self, status: int, body: bytes) -> Dialect | None:
        """None: every field is needed."""
        return None

    def health_requests(self, backend: Backend) -> list[Request]:
        """`ready` of the config if given; else none: that it takes connections must do."""
        if not backend.ready:
            return []
        root = common.origin(backend.url)
        return [common.get(backend, common.join(root, "/" + backend.ready.lstrip("/")))]

    def models_request(self, backend: Backend) -> Request | None:
        """There is no such question."""
        return None

    def model_names(self, body: bytes) -> list[str]:
        """None are known."""
        return []

    def probes(self, backend: Backend, model: str) -> list[Request]:
        """None: the config says what there is to know."""
        return []

    def server_info(self, path: str, body: bytes) -> ServerInfo:
        """Nothing."""
        return ServerInfo()
