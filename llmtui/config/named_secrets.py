"""Finds the keys in a configured backend that stand outside `api_key` and `headers`, by the names beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmtui.text import looks_like_key

#: Names of secrets: api_key, --hf-token, X-Access-Token, OPENAI_API_KEY.
SECRET_NAME = re.compile(
    r"(?:.*[^a-z0-9])?(?:api|access|auth|secret)?"
    r"(?:key|token|secret|password|passwd|passphrase|pwd|pass|auth|authorization|bearer|cookie|credentials?"
    r"|sig|signature)",
    re.IGNORECASE,
)
#: Environment variables that hold secrets: API_KEY_2, MYTOKEN. Not KEY_FILE, MAX_TOKENS or AUTHOR.
_SECRET_VARIABLE = re.compile(
    r"(?:.*(?:KEY|TOKEN(?!IZ|S)|SECRET|PASS(?!ES|IVE|AGE)|PWD|CREDENTIAL|AUTH(?!OR)|BEARER|COOKIE|SIGNATURE))"
    r"(?!.*(?:FILE|PATH|DIR)$).*",
    re.IGNORECASE,
)
#: Values that may be secrets: not paths, special tokens such as <|end_of_text|>, or short words.
_SECRET_VALUE = re.compile(r"[^\s<{/.~][^\s<>]{7,}")
#: The password in an address such as postgres://user:password@host.
_PASSWORD = re.compile(r"//[^/\s:@]*:([^/\s@]+)@")


def is_secret_variable(name: str, value: str) -> bool:
    """Whether an environment variable holds a secret, by its name or by the form of its value."""
    return _SECRET_VARIABLE.fullmatch(name) is not None or looks_like_key(value)


def secret_env(entry: Mapping[str, Any]) -> list[str]:
    """Return the values in `env` of a configured backend that are secrets, by the names of their variables."""
    env = entry.get("env")
    pairs = env.items() if isinstance(env, dict) else ()
    return [value for name, value in pairs if isinstance(value, str) and value and is_secret_variable(name, value)]


def named_secrets(value: Any, name: str = "") -> list[str]:
    """Return the texts in a configured backend whose names suggest secrets.

    Names are keys of tables, parameters of a URL, and in lists (`launch`) and command lines `--name value` and
    `name=value`. The password in an address is a secret too.
    """
    if isinstance(value, dict):
        return [secret for key, inner in value.items() for secret in named_secrets(inner, key)]
    if isinstance(value, list):
        named = zip(value, ["", *value], strict=False)
        return [secret for inner, before in named for secret in named_secrets(inner, _flag(before))]
    if not isinstance(value, str):
        return []
    if SECRET_NAME.fullmatch(name):
        return [value] if _SECRET_VALUE.fullmatch(value) else []
    words = value.split()
    if len(words) > 1:
        return named_secrets([word.strip("\"'") for word in words])
    pairs = [pair.partition("=") for pair in re.split(r"[?&#]", value)] if "=" in value else []
    inside = [secret for key, _, inner in pairs for secret in named_secrets(inner.strip("\"'"), key if inner else "")]
    return [*inside, *_PASSWORD.findall(value)]


def _flag(word: Any) -> str:
    return word if isinstance(word, str) and word.startswith("-") and "=" not in word else ""
