"""What an error answer says about the request: that it has a field which the server refuses, that the model is still
loading, or that there is no such model. Pure; the answers are untrusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from llmtui.model.request_fields import LIMITS, REQUIRED_FIELDS

#: Only this much of an answer is searched, in at most so many values, nested at most so deeply.
_MAX_CHARS = 8_192
_MAX_VALUES = 400
_MAX_DEPTH = 8
#: Keys under which servers repeat what they were sent.
_ECHOES = frozenset({"input", "ctx", "body", "request", "input_value", "url"})
#: With one of these a message may name any field that the server complains about.
_INVALID = frozenset({400, 422, 501})
#: With one of these a message that names a field is about something else.
_OTHER_CAUSES = frozenset({401, 402, 403, 404, 405, 408, 413, 429, 502, 503, 504})
_REFUSAL = re.compile(
    r"unsupported|not supported|n.t support|not support|unknown|unrecogni[sz]ed|unexpected|extra[ _]|not permitted"
    r"|not allowed|additional propert|not accept|no such|cannot find field|deprecated|not implemented|not available"
    r"|not a valid (?:field|parameter|argument|property)|invalid (?:field|parameter|argument|property)",
    re.IGNORECASE,
)
#: What follows lists fields that are accepted.
_ACCEPTED = re.compile(
    r"expected one of|, expected|did you mean|(?:allowed|permitted|valid|available|accepted|(?<!un)supported)"
    r" (?:field|parameter|param|argument|key|propert|option)",
    re.IGNORECASE,
)
#: A complaint about the value of a limit, not about the field.
_VALUE = re.compile(
    r"too (?:large|big|long|small|high|low)|at most|at least|less than|greater than|must be|exceed|maximum|minimum"
    r"|context|range",
    re.IGNORECASE,
)
_CONTEXT = re.compile(
    r"(?:maximum|exceed\w*|available|model's)[ _]context|context size has been exceeded", re.IGNORECASE
)
_CLAUSE = re.compile(r"[.;]\s|\n")
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LOADING = re.compile(
    r"\b(?:loading|starting|warming|warm-?up|compiling|initiali[sz]ing|estimated_time|booting|provisioning)\b"
    r"|not (?:yet )?(?:ready|loaded)|being loaded|cold start|spinning up|loaded yet",
    re.IGNORECASE,
)
#: The same in words that no complaint about a request has.
_STILL_LOADING = re.compile(
    r"\b(?:is|are|still|currently) (?:still |currently )?(?:loading|warming up|compiling|starting up|initiali[sz]ing)\b"
    r"|\bloading model\b|\b(?:is|still|currently) being loaded\b|\bnot (?:been )?loaded yet\b|\bnot yet loaded\b",
    re.IGNORECASE,
)
_BROKEN = re.compile(
    r"fail|error (?:while )?(?:load|start|initiali|compil)|unable|cannot|can't|could ?n.t|could not|out of memory"
    r"|terminated|crash|timed? ?out|exited|no models? loaded",
    re.IGNORECASE,
)
_PAGE = re.compile(r"<(?:!doctype|html|head|body)\b", re.IGNORECASE)


def refused_fields(status: int | None, body: bytes, request: bytes) -> list[str]:
    """Return the optional fields in the body of `request` that this error answer refuses; [] for another error.

    `status` is None for an error inside an answer that began well.
    """
    if status in _OTHER_CAUSES:
        return []
    fields = _fields(request)
    text, places, params = _searched(body)
    if status in _INVALID and (named := [p for p in params if p in REQUIRED_FIELDS or p in fields]):
        return [p for p in _known(named, fields) if p not in LIMITS or _refuses_limit(text)]
    if status in _INVALID and places:
        return [p for p in _known(places, fields) if p not in LIMITS or not _VALUE.search(text)]
    clauses = [_ACCEPTED.split(clause)[0] for clause in _CLAUSE.split(text)]
    found = [p for clause in clauses if _REFUSAL.search(clause) for p in _mentioned(clause, fields)]
    if found:
        return [p for p in dict.fromkeys(found) if p not in LIMITS or _refuses_limit(text)]
    if status not in _INVALID:
        return []
    found = [p for p in _mentioned(text, fields) if p not in LIMITS]
    # A text with more of them repeats the request.
    return found if len(found) == 1 else []


def wants_other_limit(body: bytes) -> bool:
    """Whether this error answer asks for OpenAI's newer `max_completion_tokens`."""
    return b"max_completion_tokens" in body[:_MAX_CHARS]


def names_key(body: bytes) -> bool:
    """Whether this error answer is about the API key. Google sends it with status 400."""
    text = body[:_MAX_CHARS].lower()
    return b"api key" in text or b"api_key" in text


def too_long(body: bytes) -> bool:
    """Whether this error answer says that prompt and answer together exceed the context of the model."""
    return _CONTEXT.search(body[:_MAX_CHARS].decode("utf-8", "replace")) is not None


def says_loading(body: bytes) -> bool:
    """Whether this error answer says that the model is still being loaded, or the server started."""
    text = body[:_MAX_CHARS].decode("utf-8", "replace")
    return _LOADING.search(text) is not None and _BROKEN.search(text) is None


def says_still_loading(body: bytes) -> bool:
    """The same of an answer that is no 5xx: 404, 425 or 429, or an error in a stream."""
    return says_loading(body) and _STILL_LOADING.search(body[:_MAX_CHARS].decode("utf-8", "replace")) is not None


def names_model(body: bytes, model: str) -> bool:
    """Whether this error answer is about the model and not about the path of the request."""
    text = body[:_MAX_CHARS].decode("utf-8", "replace").lower()
    if _PAGE.search(text) or "/chat/completions" in text or "/api/chat" in text or "/generate" in text:
        return False
    words = ("model", "deployment", "no endpoints found")
    named = re.search(rf"(?<!\w){re.escape(model.lower())}(?!\w)", text) if len(model) > 2 else None
    return named is not None or any(word in text for word in words)


def _fields(request: bytes) -> dict[str, str]:
    """Return the optional fields in a request, each by the names under which an error may refer to it."""
    try:
        body = msgspec.json.decode(request)
    except msgspec.DecodeError:
        return {}
    fields: dict[str, str] = {}
    for name, value in body.items() if isinstance(body, dict) else ():
        if name not in REQUIRED_FIELDS:
            fields[name] = name
        if isinstance(value, dict):
            for inner in value:
                outer = inner if name in ("options", "parameters") else name
                if outer not in REQUIRED_FIELDS and _IDENTIFIER.fullmatch(inner):
                    fields.setdefault(inner, outer)
    return fields


def _known(names: list[str], fields: dict[str, str]) -> list[str]:
    return list(dict.fromkeys(fields[name] for name in names if name in fields))


def _mentioned(text: str, fields: dict[str, str]) -> list[str]:
    return _known([match[0] for match in _IDENTIFIER.finditer(text)], fields)


def _refuses_limit(text: str) -> bool:
    """Whether `text` refuses a field that limits the answer, and not its value."""
    clauses = [clause for clause in _CLAUSE.split(text) if any(limit in clause for limit in LIMITS)]
    return any(_REFUSAL.search(clause) and not _VALUE.search(clause) for clause in clauses)


def _searched(body: bytes) -> tuple[str, list[str], list[str]]:
    """Return the text of an error answer, the places that it names (`loc`), and its parameters (`param`)."""
    raw = body[: _MAX_CHARS * 4].decode("utf-8", "replace").strip()
    try:
        value = msgspec.json.decode(raw) if raw[:1] in ("{", "[") else raw
    except (msgspec.DecodeError, RecursionError):
        value = raw
    texts: list[str] = []
    places: list[str] = []
    params: list[str] = []
    for key, inner in _values(value):
        if key == "loc" and isinstance(inner, list):
            places += [step for step in inner[:8] if isinstance(step, str)]
        elif key == "param" and isinstance(inner, str) and inner:
            params.append(re.split(r"[.\[/]", inner.lstrip("./"))[0])
        elif isinstance(inner, str):
            texts.append(inner)
    return "\n".join(texts)[:_MAX_CHARS], places, params


def _values(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the texts and lists in `value` with their keys. JSON inside a text is decoded."""
    rest = [("", value, 0)]
    for _ in range(_MAX_VALUES):
        if not rest:
            return
        key, inner, depth = rest.pop()
        if isinstance(inner, str):
            start = min((at for at in (inner.find("{"), inner.find("[")) if at >= 0), default=-1)
            nested = _decoded(inner[start:]) if start >= 0 and depth < _MAX_DEPTH else None
            if nested is None:
                yield key, inner
            else:
                rest += [("", nested, depth + 1), ("", inner[:start], _MAX_DEPTH)]
        elif isinstance(inner, dict) and depth < _MAX_DEPTH:
            rest += [(k, v, depth + 1) for k, v in reversed(inner.items()) if k not in _ECHOES]
        elif isinstance(inner, list) and depth < _MAX_DEPTH:
            if key == "loc":
                yield key, inner
            else:
                rest += [(key, v, depth + 1) for v in reversed(inner[:20])]


def _decoded(text: str) -> Any:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    holds_objects = isinstance(value, list) and any(isinstance(inner, dict) for inner in value)
    return value if isinstance(value, dict) or holds_objects else None
