"""Helpers of the dialects: URLs, headers, and values from untrusted JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from llmtui.model import Backend
from llmtui.wire.base import Request


def tidy(url: str) -> str:
    """Return `url` with single slashes in its path, and none at its end."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path="/".join(["", *filter(None, parts.path.split("/"))])))


def path_of(url: str) -> str:
    """Return the path of `url` without a trailing slash."""
    return urlsplit(url).path.rstrip("/")


def join(url: str, path: str) -> str:
    """Append `path` to the path of `url`, and keep the query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))


def strip(url: str, *suffixes: str) -> str:
    """Remove a trailing slash and the first of `suffixes` that the path of `url` ends with."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    for suffix in suffixes:
        if path.endswith(suffix):
            path = path[: -len(suffix)].rstrip("/")
            break
    return urlunsplit(parts._replace(path=path))


def origin(url: str) -> str:
    """Return scheme, host and port of `url`."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, "", "", ""))


def host_and_port(url: str) -> tuple[str, int]:
    """Return host and port of `url` for a socket; "" without a host. Raises ValueError for an invalid port."""
    parts = urlsplit(url)
    # The % before the zone id of an address is %25 in a URL (RFC 6874).
    host = (parts.hostname or "").replace("%25", "%", 1)
    return host, parts.port or (443 if parts.scheme == "https" else 80)


def headers(backend: Backend, content: bool = True) -> dict[str, str]:
    """Return content type, bearer token and the backend's own headers, which replace ours (case-insensitively)."""
    defaults = {"Content-Type": "application/json"} if content else {}
    if backend.api_key:
        defaults["Authorization"] = f"Bearer {backend.api_key}"
    own = {name.lower() for name in backend.headers}
    return {name: value for name, value in defaults.items() if name.lower() not in own} | backend.headers


def get(backend: Backend, url: str) -> Request:
    """Return a GET request with the backend's headers."""
    return Request(method="GET", url=url, headers=headers(backend, content=False), body=b"")


def messages(prompt: str, system: str = "") -> list[dict[str, str]]:
    """Return the messages of a chat: the system message, if there is one, and the user's."""
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": prompt}]


def without(fields: dict[str, Any], omit: Iterable[str]) -> dict[str, Any]:
    """Return `fields` without those in `omit`."""
    return {name: value for name, value in fields.items() if name not in omit}


def post(backend: Backend, url: str, body: Any, max_tokens: Any = None) -> Request:
    """Return a POST request of `body` as JSON, with the backend's headers. `max_tokens` is the limit in `body`."""
    limit = count(max_tokens) or None
    return Request(method="POST", url=url, headers=headers(backend), body=msgspec.json.encode(body), max_tokens=limit)


def as_json(body: bytes) -> Any:
    """Parse JSON; return None for anything else."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def as_dict(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; return an empty one for anything else."""
    value = as_json(body)
    return value if isinstance(value, dict) else {}


def string(value: Any) -> str:
    """Return `value` if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """Return `value` if it is a valid count of tokens, perhaps as digits in a string, else None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        return None
    return int(value)


def seconds(value: Any, unit: float = 1.0) -> float | None:
    """Convert a duration in units of `unit` seconds to seconds; return None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
        return None
    return round(value * unit, 12)
