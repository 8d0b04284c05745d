"""A question outside the timed requests (health, models, version). Its answer is bounded in size and time."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from typing import NamedTuple

import httpx

from llmtui.measure.content import read_body
from llmtui.wire.base import WireError

#: Large answers that are read at the same time, in one event loop.
LARGE_AT_ONCE = 4
_gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = weakref.WeakKeyDictionary()


class Reply(NamedTuple):
    """An answer: header names in lower case, the body unpacked. `whole` is false where the body was cut at the limit.

    `status` is 0 where there was no answer that is HTTP, or none whose body can be read.
    """

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""
    whole: bool = True
    #: Where a redirect leads, "" for none.
    location: str = ""


def _large() -> asyncio.Semaphore:
    """What large answers are read under: many servers are asked at once, and together they must not fill the memory."""
    loop = asyncio.get_running_loop()
    return _gates.setdefault(loop, asyncio.Semaphore(LARGE_AT_ONCE))


async def fetch(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
    limit_bytes: int,
    timeout_s: float,
) -> Reply:
    """Ask, and read at most `limit_bytes` of the answer within `timeout_s` in all.

    Raises TimeoutError, httpx.ConnectError and ConnectTimeout, and httpx.InvalidURL or UnicodeEncodeError for what
    cannot be asked. What breaks off later is a reply of status 0.
    """
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.stream(method, url, content=content or None, headers=dict(headers or {})) as response,
        ):
            body = bytearray()
            whole = await read_body(response, limit_bytes, body, _large())
            return Reply(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=bytes(body),
                whole=whole,
                location=response.extensions.get("llmtui.location", ""),
            )
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise
    except (httpx.HTTPError, WireError):
        return Reply(0)
