"""Extracts the message from an error that a server sent in JSON, HTML or plain text."""

from __future__ import annotations

import html
import re
from typing import Any

import msgspec

from llmtui.text import sanitize
from llmtui.wire.base import CHECK_PROTOCOL, WireError

# No lookaround and no nested repetition: the body is untrusted, and searching it must stay linear.
_HTML = re.compile(r"<(?:!doctype html|html|head|body|h1|title)\b", re.IGNORECASE)
_MARKUP = re.compile(r"<[!?a-zA-Z]")
_TAG = re.compile(r"<(/?)([!?a-zA-Z][^\s<>/]*)[^<>]*>")
_TRACE = re.compile(r'\s(?:Traceback \(most recent call last\)|File ")')
#: Only this many bytes of a body are searched.
_WINDOW = 256 * 1024
#: Longer texts are cut before further processing.
_MESSAGE_CHARS = 4_096
#: Elements of a page that summarise it, the best first, and elements without readable text.
_SUMMARIES = ("title", "h1")
_IGNORED = ("script", "style")


class DoubtfulError(WireError):
    """An object that may be an error or a mere status: an error only if nothing of the answer follows it."""


def excerpt(data: bytes) -> str:
    """Return the beginning of `data` in quotes, for an error message."""
    return repr(sanitize(data[:400].decode("utf-8", "replace"), 60))


def error_text(body: bytes) -> str:
    """Return the message inside an error body, "" if there is none.

    Supported shapes: `{"error": {"message": ...}}`, `{"error": "..."}` (Ollama nests JSON in it), `{"detail": ...}`
    (FastAPI, text or a list), `{"message": "..."}` (mistral.rs); these as the data of an event; HTML; plain text.
    """
    text = body[:_WINDOW].decode("utf-8", "replace").strip().removeprefix("\ufeff")
    for prefix in ("data:", "error:"):
        text = text.removeprefix(prefix).lstrip()
    message = _from_json(text) if text[:1] in ("{", "[", '"') else None
    if message is None:
        message = _from_html(text) if _MARKUP.match(text) or _HTML.search(text[:1000]) else text
    message = message[:_MESSAGE_CHARS]
    traceback = _TRACE.search(message)
    return sanitize(message[: traceback.start()] if traceback and traceback.start() else message)


def server_error(data: bytes) -> WireError:
    """Return the error for one that a server reported inside a 200 answer."""
    return WireError(f"the server reported an error: {error_text(data) or 'no reason given'}", "server")


def check_error(error: Any) -> None:
    """Raises WireError if `error`, the value of such a field, is an error. A struct of empty fields is none."""
    if _has_words(error):
        raise server_error(msgspec.json.encode({"error": error}))


def _has_words(error: Any, depth: int = 3) -> bool:
    """Whether the value of an `error` field says anything."""
    if isinstance(error, str):
        return error.strip().lower() not in ("", "null", "none")
    if isinstance(error, dict) and depth:
        return any(_has_words(value, depth - 1) for value in error.values())
    if isinstance(error, list) and depth:
        return any(_has_words(value, depth - 1) for value in error)
    return bool(error)


def no_answer(data: bytes, named: bool, wanted: str) -> None:
    """Raises the error for a JSON object without `wanted`, the field with the answer.

    It is a `DoubtfulError` unless the object says that it is an error. An event with a name may be anything.
    """
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        value = None
    if not isinstance(value, dict) or not _has_words(value):
        return
    kind = f"{value.get('object')} {value.get('type')}".lower()
    codes = [value.get(name) for name in ("code", "status", "status_code", "statusCode")]
    if "error" in kind or any(isinstance(code, int) and 400 <= code < 600 for code in codes):
        raise server_error(data)
    if named:
        return
    words = [value.get(name) for name in ("detail", "message", "msg", "errors")]
    if any(word and not isinstance(word, dict | bool) for word in words):
        raise DoubtfulError(server_error(data).message, "server")
    raise DoubtfulError(f"the answer has no {wanted!r}: {excerpt(data)}", hint=CHECK_PROTOCOL)


def _from_json(text: str, depth: int = 3) -> str | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    message = _message(value)
    if depth and message and message[:1] == "{":
        return _from_json(message, depth - 1) or message
    return message


def _message(value: Any, depth: int = 4) -> str | None:
    if isinstance(value, str):
        return value
    if depth and isinstance(value, list):
        parts = [s for v in value[:5] if (s := _message(v, depth - 1))]
        return "; ".join(parts) or None
    if depth and isinstance(value, dict):
        for key in ("error", "detail", "message", "msg", "errors", "error_message", "reason", "title", "type"):
            message = _message(value.get(key), depth - 1)
            if message:
                location = value.get("loc")
                if key == "msg" and isinstance(location, list):
                    # Names and numbers only: other values may be nested deeply.
                    path = ".".join(str(step) for step in location[:8] if isinstance(step, str | int))
                    return f"{path}: {message}"
                return message
    return None


def _from_html(page: str) -> str:
    """Return the title of a page, else its heading, else its text, without tags, scripts, styles and comments."""
    page = "".join(part.partition("<!--")[0] for part in page.split("-->"))
    last_tag = page.rfind("<")
    if last_tag > page.rfind(">"):
        page = page[:last_tag]  # a tag cut in two by the end of the window
    texts: dict[str, list[str]] = {element: [] for element in ("", *_SUMMARIES, *_IGNORED)}
    element = ""
    text, *rest = _TAG.split(page)
    texts[element].append(text)
    for closing, name, text in zip(rest[0::3], rest[1::3], rest[2::3], strict=True):
        if not element and not closing and name.lower() in texts:
            element = name.lower()
        elif closing and name.lower() == element:
            element = ""
        texts[element].append(text)
    for element in (*_SUMMARIES, ""):
        if words := " ".join(html.unescape(" ".join(texts[element])).split()):
            return words
    return ""
