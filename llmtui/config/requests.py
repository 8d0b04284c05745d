"""What a config may add to the requests of a backend: `options`, `body` and `headers`.

Refused is what would make the figures untrue: several answers to one request, another prompt or model than the ones
that are shown, and what llmtui or HTTP itself decides. All else is sent as it is written, and measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from llmtui.config.errors import ConfigError, show
from llmtui.config.omit import check_omit
from llmtui.config.places import Place
from llmtui.model import Backend, Protocol

#: Tables with more parameters of a request.
_INNER = frozenset({"extra_body", "options", "parameters", "sampling_params", "generation_config", "generationconfig"})
#: The one that is not sent as such: OpenAI's Python client replaces `extra_body` by what is in it, as llmtui does with
#: `options`.
_NESTED: dict[Protocol, str] = {"openai": "extra_body", "ollama": "options", "tgi": "parameters"}

#: Fields that llmtui sets itself, with the place where a config sets them.
_OWN: dict[str, str] = {
    "messages": "set prompt in [run]",
    "prompt": "set prompt in [run]",
    "input": "set prompt in [run]",
    "inputs": "set prompt in [run]",
    "model": "set model in [[backend]]",
    "stream": "set stream in [[backend]]",
}
_ANSWERS = "makes several answers of one request, and the figures would be of all of them together"
_ECHO = "repeats the prompt in the answer, and its text would be measured as if it were generated"
_UNLOADS = "unloads the model after each answer, and every latency would be that of loading it"
_NO_COUNTS = "leaves the token counts out of the answer"
_IGNORED = "is not read by /api/chat of Ollama, so it would change nothing"


def _several(value: Any) -> bool:
    return value not in (1, "1")


def _true(value: Any) -> bool:
    return value not in (False, 0, None)


def _false(value: Any) -> bool:
    return value is False


def _zero(value: Any) -> bool:
    """Whether a duration of Ollama is zero: 0, "0", "0s", "0m0s"."""
    numbers = re.findall(r"\d+", str(value))
    return bool(numbers) and not any(int(number[:20]) for number in numbers)


def _always(_: Any) -> bool:
    return True


_Rule = tuple[Callable[[Any], bool], str]
#: Options that are refused if the value is of this kind, in any protocol: their names differ, not their meaning.
_REFUSED: dict[str, _Rule] = {
    **dict.fromkeys(("n", "best_of", "n_cmpl", "num_return_sequences", "num_completions"), (_several, _ANSWERS)),
    **dict.fromkeys(("candidate_count", "candidatecount"), (_several, _ANSWERS)),
    **dict.fromkeys(("use_beam_search",), (_true, _ANSWERS)),
    **dict.fromkeys(("echo", "return_full_text"), (_true, _ECHO)),
}
#: The same for one protocol.
_REFUSED_IN: dict[Protocol, dict[str, _Rule]] = {
    "openai": {"keep_alive": (_zero, _UNLOADS)},
    "ollama": {
        "keep_alive": (_zero, _UNLOADS),
        **dict.fromkeys(("raw", "template", "system", "suffix", "context", "images"), (_always, _IGNORED)),
    },
    "tgi": {"details": (_false, _NO_COUNTS)},
}
#: Names that a server does not know, with its own name for the same: it would go on with the value of [run].
_OTHER_NAMES: dict[Protocol, dict[str, str]] = {
    "ollama": dict.fromkeys(("max_tokens", "max_completion_tokens", "n_predict", "max_new_tokens"), "num_predict"),
    "tgi": dict.fromkeys(("max_tokens", "max_completion_tokens", "n_predict", "num_predict"), "max_new_tokens"),
}

#: Headers that describe the message or the connection, which llmtui writes, and why they cannot be changed.
_MESSAGE = "is written by llmtui, which knows the size and the form of the request"
_CONNECTION = "is about the connection, which llmtui handles itself"
_HEADERS: dict[str, str] = {
    **dict.fromkeys(("content-length", "transfer-encoding", "content-encoding", "trailer"), _MESSAGE),
    **dict.fromkeys(("connection", "proxy-connection", "keep-alive", "te", "upgrade", "expect"), _CONNECTION),
    "http2-settings": _CONNECTION,
    **dict.fromkeys(
        ("idempotency-key", "x-idempotency-key"),
        "is the same in every request, and a server would repeat its first answer instead of computing one",
    ),
}


def check_requests(backend: Backend, where: Place) -> None:
    """Raise ConfigError for what cannot be sent to a backend, or would make its figures untrue."""
    for key in ("options", "body"):
        if (number := _too_large(getattr(backend, key))) is not None:
            raise ConfigError(f"{where.key(key)}: expected whole numbers of up to 64 bits, got {show(number)}")
    _check_headers(backend, where)
    check_omit(backend, where)
    if backend.protocol == "custom":
        _check_custom(backend, where)
        return
    for key in ("body", "answer"):
        if getattr(backend, key):
            raise ConfigError(f"{where.entry(key)}: {key} requires protocol = 'custom'; remove it or set protocol")
    _check_fields(backend.options, backend.protocol, where.key("options"), _OWN)


def _check_custom(backend: Backend, where: Place) -> None:
    """Check the body and the options that replace fields of it. The fields of an unknown server may mean anything."""
    body = backend.body or {}
    if backend.body is not None and "{prompt}" not in repr(body):
        raise ConfigError(f"{where.key('body')}: '{{prompt}}' is missing, so the prompt would not be sent")
    for key in backend.options:
        if key in body and "{prompt}" in repr(body[key]):
            raise ConfigError(f"{where.key('options').entry(key)}: {key!r} replaces the prompt in body; remove it")
    own = {name: "set it in body" for name in ("messages", "stream")}
    like_others = any(isinstance(body.get(key), list | dict) for key in ("messages", "parameters"))
    _check_fields(backend.options, "custom", where.key("options"), own, rules=like_others)
    if like_others:
        _check_fields(body, "custom", where.key("body"), {})


def _check_fields(
    fields: dict[str, Any], protocol: Protocol, where: Place, own: Mapping[str, str], *, rules: bool = True
) -> None:
    """Raise ConfigError for a field of a request. Servers written in Go read names in any case."""
    for key, value in fields.items():
        name = key.lower()
        if name in own:
            raise ConfigError(f"{where.entry(key)}: {key!r} is set by llmtui and cannot be changed here; {own[name]}")
        if not rules:
            continue
        if (instead := _OTHER_NAMES.get(protocol, {}).get(name)) is not None:
            raise ConfigError(f"{where.entry(key)}: {key!r} is not read by this server; its name there is {instead!r}")
        for table in (_REFUSED, _REFUSED_IN.get(protocol, {})):
            if name in table and table[name][0](value):
                raise ConfigError(f"{where.entry(key)}: {key} = {show(value)} {table[name][1]}; remove it")
        if name in _INNER and isinstance(value, dict):
            _check_fields(value, protocol, where.field(key), own)
            if name == _NESTED.get(protocol):
                raise ConfigError(
                    f"{where.entry(key)}: {key!r} is not a field of a request; write its contents beside it"
                )


def _check_headers(backend: Backend, where: Place) -> None:
    headers = where.key("headers")
    seen: dict[str, str] = {}
    for key, value in backend.headers.items():
        name = key.lower()
        if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", key) or not (value.isascii() and value.isprintable()):
            raise ConfigError(f"{headers.entry(key)}: {show(key)} or its value is not a valid HTTP header")
        if name in seen:
            raise ConfigError(f"{headers.entry(key)}: {key!r} and {seen[name]!r} are the same header; remove one")
        seen[name] = key
        if name in _HEADERS:
            raise ConfigError(f"{headers.entry(key)}: {key!r} {_HEADERS[name]}; remove it")
        if name == "accept-encoding" and value.strip().lower() != "identity":
            raise ConfigError(
                f"{headers.entry(key)}: {key!r} asks for compression, and a compressed answer comes in larger pieces "
                "than its tokens; remove it"
            )
        if name == "content-type" and "json" not in value.lower():
            raise ConfigError(f"{headers.entry(key)}: {key!r} is not that of JSON, which every request is; remove it")


def _too_large(value: Any) -> int | None:
    """Return an integer in `value` that does not fit into 64 bits, None if there is none."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return next((number for item in inner if (number := _too_large(item)) is not None), None)
    return value if isinstance(value, int) and not -(2**63) <= value < 2**64 else None
