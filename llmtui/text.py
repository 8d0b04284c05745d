"""Text from servers, made safe to print: terminal escapes are removed (`sanitize`) and secrets replaced (`redact`)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

#: An escape sequence: OSC/DCS/SOS/PM/APC up to their end (or the end of the text), CSI, or two characters.
_ESCAPES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
_SPACES = re.compile(r"\s+")
#: Cc controls, Cf format (bidi, zero width, joiners), Cs lone surrogates (not encodable), Co private, Cn unassigned.
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
#: More combining marks than this on one letter would be drawn over the neighbouring rows.
_MAX_MARKS = 2
HIDDEN = "***"
#: A truncated secret is replaced too if at least this many of its characters are left.
_PREFIX_CHARS = 8


def _printable(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    characters: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in _DROPPED:
            continue
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MAX_MARKS:
            characters.append(" " if category == "Zs" else character)
    return "".join(characters)


def sanitize(text: str, limit: int = 300) -> str:
    """Return `text` on one line, without escape sequences, controls or bidi overrides, at most `limit` characters."""
    # Truncate first: that bounds the work on a huge text.
    text = _ESCAPES.sub("", text[: limit * 8])
    text = _SPACES.sub(" ", _printable(_SPACES.sub(" ", text))).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def sanitize_lines(text: str, limit: int = 20_000) -> list[str]:
    """Return `text` as printable lines with tabs as spaces, at most `limit` characters in all."""
    truncated = len(text) > limit
    text = _ESCAPES.sub("", text[:limit])
    lines = [_printable(line.replace("\t", "    ")).rstrip() for line in text.splitlines()]
    return [*lines, "…"] if truncated else lines


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with `secrets` (the longest first) replaced by stars.

    Also replaces a secret with control characters in between, which would be invisible on a screen, and one whose end
    was truncated.
    """
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
        if not text.isprintable() and secret in (bare := "\n".join(sanitize_lines(text, len(text)))):
            text = bare.replace(secret, HIDDEN)
        start = text.find(secret[:_PREFIX_CHARS]) if len(secret) > _PREFIX_CHARS else -1
        while start >= 0:
            end = start
            while text[end : end + 1] == secret[end - start : end - start + 1] != "":
                end += 1
            if text[end : end + 1] in ("", "…"):
                text = text[:start] + HIDDEN + text[end:]
            start = text.find(secret[:_PREFIX_CHARS], start + 1)
    return text


def redact_data(value: Any, secrets: Iterable[str]) -> Any:
    """Return `value` (JSON-like data) with every secret in its strings replaced, except in keys.

    A lone surrogate, which cannot be encoded in UTF-8, becomes a question mark.
    """
    if isinstance(value, str):
        value = redact(value, secrets)
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [redact_data(v, secrets) for v in value]
    if isinstance(value, dict):
        return {k: redact_data(v, secrets) for k, v in value.items()}
    return value
