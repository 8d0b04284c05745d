"""Plain sentences out of whatever a server says when something is wrong."""

from __future__ import annotations

import html
import re
from typing import Any

import msgspec

from llmtui.plain import plain
from llmtui.wire.base import WireError

_HTML = re.compile(r"<(?:!doctype html|html|head|body|h1|title)\b", re.IGNORECASE)
_TITLE = re.compile(r"<(title|h1)\b[^>]*>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_TRACE = re.compile(r'\s+(?:Traceback \(most recent call last\)|File ")')
#: Bytes of a body that are looked at: enough for any sentence, little enough for any body.
_WINDOW = 256 * 1024


def excerpt(data: bytes) -> str:
    """The beginning of `data` in quotes, for a message that says what was found instead of what was expected."""
    return repr(plain(data[:400].decode("utf-8", "replace"), 60))


def error_text(body: bytes) -> str:
    """The plain sentence inside an error body, "" when there is none.

    Known shapes: `{"error": {"message": ...}}`, `{"error": "..."}` (Ollama nests JSON in it), `{"detail": ...}`
    (FastAPI, text or a list), `{"message": "..."}` (mistral.rs); these as the data of an event; HTML; plain text.
    """
    text = body[:_WINDOW].decode("utf-8", "replace").strip().removeprefix("\ufeff")
    for prefix in ("data:", "error:"):
        text = text.removeprefix(prefix).lstrip()
    said = _from_json(text) if text[:1] in ("{", "[", '"') else None
    if said is None:
        said = _from_html(text) if _HTML.search(text[:1000]) else text
    cut = _TRACE.search(said)
    return plain(said[: cut.start()] if cut and cut.start() else said)


def server_error(data: bytes) -> WireError:
    """The error that a server reported inside an answer that began well."""
    return WireError(f"the server broke off with an error: {error_text(data) or 'no reason given'}", "server")


def _from_json(text: str, depth: int = 3) -> str | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    said = _sentence(value)
    if depth and said and said[:1] == "{":
        return _from_json(said, depth - 1) or said
    return said


def _sentence(value: Any, depth: int = 4) -> str | None:
    if isinstance(value, str):
        return value
    if depth and isinstance(value, list):
        parts = [s for v in value[:5] if (s := _sentence(v, depth - 1))]
        return "; ".join(parts) or None
    if depth and isinstance(value, dict):
        for key in ("error", "detail", "message", "msg", "errors", "error_message", "reason", "title", "type"):
            said = _sentence(value.get(key), depth - 1)
            if said:
                where = value.get("loc")
                if key == "msg" and isinstance(where, list):
                    return f"{'.'.join(str(w) for w in where[:8])}: {said}"
                return said
    return None


def _from_html(text: str) -> str:
    found = {m[1].lower(): html.unescape(_TAG.sub(" ", m[2])).strip() for m in _TITLE.finditer(text)}
    return found.get("title") or found.get("h1") or html.unescape(_TAG.sub(" ", text))
