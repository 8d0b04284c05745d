"""Plain sentences out of whatever a server says when something is wrong."""

from __future__ import annotations

import html
import re
from typing import Any

import msgspec

from llmtui.text import sanitize
from llmtui.wire.base import WireError

# None of these may look back or run ahead of itself: a body is the server's, and searching it must stay linear.
_HTML = re.compile(r"<(?:!doctype html|html|head|body|h1|title)\b", re.IGNORECASE)
_MARKUP = re.compile(r"<[!?a-zA-Z]")
_TAG = re.compile(r"<(/?)([!?a-zA-Z][^\s<>/]*)[^<>]*>")
_TRACE = re.compile(r'\s(?:Traceback \(most recent call last\)|File ")')
#: Bytes of a body that are looked at: enough for any sentence, little enough for any body.
_WINDOW = 256 * 1024
#: Of what was found this much is looked at further; a message holds far less.
_SENTENCE_CHARS = 4_096
#: Parts of a page that speak for the whole of it, the best first, and parts that say nothing to a person.
_SPOKEN = ("title", "h1")
_UNSPOKEN = ("script", "style")


def excerpt(data: bytes) -> str:
    """The beginning of `data` in quotes, for a message that says what was found instead of what was expected."""
    return repr(sanitize(data[:400].decode("utf-8", "replace"), 60))


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
        said = _from_html(text) if _MARKUP.match(text) or _HTML.search(text[:1000]) else text
    said = said[:_SENTENCE_CHARS]
    cut = _TRACE.search(said)
    return sanitize(said[: cut.start()] if cut and cut.start() else said)


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
                    # Names and numbers only: what else may stand there is nested, and deeply if the server likes.
                    place = ".".join(str(step) for step in where[:8] if isinstance(step, str | int))
                    return f"{place}: {said}"
                return said
    return None


def _from_html(page: str) -> str:
    """Its title, else its heading, else its words, without tags; scripts, styles and comments are left out."""
    page = "".join(part.partition("<!--")[0] for part in page.split("-->"))
    opened = page.rfind("<")
    if opened > page.rfind(">"):
        page = page[:opened]  # the window's end cut a tag in two
    said: dict[str, list[str]] = {place: [] for place in ("", *_SPOKEN, *_UNSPOKEN)}
    place = ""
    text, *rest = _TAG.split(page)
    said[place].append(text)
    for closing, name, text in zip(rest[0::3], rest[1::3], rest[2::3], strict=True):
        if not place and not closing and name.lower() in said:
            place = name.lower()
        elif closing and name.lower() == place:
            place = ""
        said[place].append(text)
    for spoken in (*_SPOKEN, ""):
        if words := " ".join(html.unescape(" ".join(said[spoken])).split()):
            return words
    return ""
