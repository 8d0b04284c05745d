"""What the dialects share: URLs, headers, and values out of JSON that may hold anything."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from llmtui.model import Backend
from llmtui.wire.base import Request


def path_of(url: str) -> str:
    """The path of `url`, without a slash at its end."""
    return urlsplit(url).path.rstrip("/")


def join(url: str, path: str) -> str:
    """`url` with `path` after its own path; a query stays where it was."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))


def strip(url: str, *tails: str) -> str:
    """`url` without the first of `tails` that its path ends in, and without a slash at the end of the path."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    for tail in tails:
        if path.endswith(tail):
            path = path[: -len(tail)].rstrip("/")
            break
    return urlunsplit(parts._replace(path=path))


def origin(url: str) -> str:
    """Scheme, host and port of `url`."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, "", "", ""))


def host_and_port(url: str) -> tuple[str, int]:
    """Host and port that `url` leads to, as sockets want them; "" for no host. Raises ValueError for a broken port."""
    parts = urlsplit(url)
    # In a URL the % before the zone id of an address is written %25 (RFC 6874).
    host = (parts.hostname or "").replace("%25", "%", 1)
    return host, parts.port or (443 if parts.scheme == "https" else 80)


def headers(backend: Backend, content: bool = True) -> dict[str, str]:
    """Content type, bearer token and the backend's own headers, which win over ours whatever their case."""
    out = {"Content-Type": "application/json"} if content else {}
    if backend.api_key:
        out["Authorization"] = f"Bearer {backend.api_key}"
    own = {name.lower() for name in backend.headers}
    return {name: value for name, value in out.items() if name.lower() not in own} | backend.headers


def get(backend: Backend, url: str) -> Request:
    """A GET with the backend's headers."""
    return Request(method="GET", url=url, headers=headers(backend, content=False), body=b"")


def post(backend: Backend, url: str, body: Any, max_tokens: Any = None) -> Request:
    """A POST of `body` as JSON with the backend's headers. `max_tokens` is the limit in it, as the config wrote it."""
    limit = count(max_tokens) or None
    return Request(method="POST", url=url, headers=headers(backend), body=msgspec.json.encode(body), max_tokens=limit)


def as_dict(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; an empty one when it is anything else."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def string(value: Any) -> str:
    """`value` when it is a string, "" otherwise."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """`value` as a count of tokens; None for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        return None
    return int(value)


def seconds(value: Any, unit: float = 1.0) -> float | None:
    """`value`, told in units of `unit` seconds, as seconds; None for anything that is no duration."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e18:
        return None
    return round(value * unit, 12)
