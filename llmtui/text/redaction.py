"""Secrets in text from outside: keys and header values are replaced by stars."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

from llmtui.text.ordinary import is_ordinary
from llmtui.text.sanitizing import sanitize_lines

HIDDEN = "***"
#: A truncated secret is replaced too if at least this many of its characters are left.
_PREFIX_CHARS = 8
#: What follows a truncated secret, besides the end of the text.
_CUT_MARKS = ("…", "...", "*", "\n")


class Redactor:
    """Replaces secrets in a text by stars: call it. `clear` is text that is shown anyway.

    It also replaces a secret as it is written in a URL, in JSON, in HTML, in Python, or in one case; one with invisible
    characters in between; and one whose end was truncated, unless what is left is an ordinary word or a part of
    `clear`.
    """

    def __init__(self, secrets: Iterable[str], clear: str = "") -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        # One secret may contain another.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._clear = clear

    def __bool__(self) -> bool:
        return bool(self._forms)

    def __call__(self, text: str) -> str:
        """Return `text` without secrets."""
        if not self._forms or not text:
            return text
        if not text.replace("\n", "").isprintable():
            bare = "\n".join(sanitize_lines(text, len(text)))
            if (clean := self._replace(bare)) != bare:
                return clean
        return self._replace(text)

    def data(self, value: Any) -> Any:
        """Return `value` (JSON-like data) without secrets and lone surrogates in its strings, except in keys."""
        if isinstance(value, str):
            return encodable(self(value))
        if isinstance(value, list):
            return [self.data(v) for v in value]
        if isinstance(value, dict):
            return {k: self.data(v) for k, v in value.items()}
        return value

    def _replace(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, HIDDEN)
            if len(form) > _PREFIX_CHARS:
                text = self._without_truncated(text, form)
        return text

    def _without_truncated(self, text: str, secret: str) -> str:
        """Return `text` without the beginnings of `secret` at which something was cut off. Linear in its length."""
        prefix = secret[:_PREFIX_CHARS]
        parts: list[str] = []
        done = 0
        start = text.find(prefix)
        while start >= 0:
            end = start + _PREFIX_CHARS
            while end < len(text) and end - start < len(secret) and text[end] == secret[end - start]:
                end += 1
            if (end == len(text) or text.startswith(_CUT_MARKS, end)) and not self._is_shown(text[start:end]):
                parts += [text[done:start], HIDDEN]
                done = end
            start = text.find(prefix, max(start + 1, done))
        return "".join([*parts, text[done:]]) if parts else text

    def _is_shown(self, part: str) -> bool:
        return is_ordinary(part) or part in self._clear


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return `text` without `secrets`."""
    return Redactor(secrets)(text)


def encodable(text: str) -> str:
    """Return `text` with each lone surrogate, which cannot be encoded in UTF-8, as a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _forms(secret: str) -> set[str]:
    """Return `secret` as it may be written: see `Redactor`."""
    plain = secret.encode("utf-8", "replace")
    quoted = {quote(plain, safe=""), quote(plain), quote_plus(plain)}
    return {
        secret,
        secret.lower(),
        secret.upper(),
        *quoted,
        *(re.sub("%..", lambda code: code[0].lower(), form) for form in quoted),
        json.dumps(secret)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/"),
        html.escape(secret),
        repr(secret)[1:-1],
    }
