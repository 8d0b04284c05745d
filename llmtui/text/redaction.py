"""Secrets in text from outside: keys and header values are replaced by stars."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmtui.text.sanitizing import sanitize_lines

HIDDEN = "***"
#: A truncated secret is replaced too if at least this many of its characters are left.
_PREFIX_CHARS = 8


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
