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
from llmtui.wire.errors import DoubtfulError, check_error, error_text
from llmtui.wire.lenient import decode
from llmtui.wire.parsers import AnswerParser
from llmtui.wire.repeats import TextSoFar
from llmtui.wire.usage import usage_figures

DEFAULT_BODY: dict[str, Any] = {"role": "user", "content": "{prompt}"}
DEFAULT_ANSWER = "content"
_CHECK_PATH = "check answer, the path to the text"

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

    __slots__ = ("_path", "_text", "answered")
    ended = False
    finished = False
    whole = False

    def __init__(self, path: list[str]) -> None:
        self._path = path
        self._text = TextSoFar()
        #: Whether there is text. The protocol has no finish reason.
        self.answered = False

    def __call__(self, data: bytes, torn: bool = False, named: bool = False) -> Delta | tuple[Delta, ...] | None:
        value = decode(msgspec.json.decode, data, torn)
        figures: dict[str, Any] = {}
        if isinstance(value, dict):
            figures = usage_figures(value.get("usage")) or usage_figures(value.get("meta_info"))
        try:
            text = _walk(value, self._path)
        except _Missing as missing:
            if isinstance(value, dict) and (error := value.get("error")):
                check_error(error)
            if figures or named:
                return Delta(**figures) if figures else None
            raise DoubtfulError(str(missing), hint=_CHECK_PATH) from missing
        if text is not None and not isinstance(text, str):
            raise WireError(
                f'the answer has no text at "{".".join(self._path)}": it {_describe(text)}', hint=_CHECK_PATH
            )
        self.answered = True
        text = self._text.new(text) if text else ""
        if not (text or figures):
            return None
        delta = Delta(text=text, **figures)
        if self._text.correction is not None:
            correction, self._text.correction = self._text.correction, None
            return Delta(text=correction, replaces=True), delta
        return delta


class CustomDialect:
    """The protocol of one backend, as described in its config. The URL is used unchanged.

    The protocol has no finish reason: a stream with text that ends cleanly is valid.
    """

    requires_finish = False
    takes_system = False

    def __init__(self, backend: Backend) -> None:
        self._path = steps(backend.answer or DEFAULT_ANSWER)

    def request(self, backend: Backend, config: RunConfig, prompt: str, model: str, system: str = "") -> Request:
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
        """Events, lines of JSON or one document, whatever the Content-Type says."""
        return AnswerParser(_Reader(self._path), content_type)

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
