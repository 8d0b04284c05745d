"""Untimed requests: health, models, version. Their answers are limited in size and time."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from typing import NamedTuple

import httpx

from llmtui.measure.content import read_body
from llmtui.measure.failures import connection_lost
from llmtui.model import Failure
from llmtui.wire.base import WireError

#: How many large answers one event loop reads at the same time.
LARGE_AT_ONCE = 4
_semaphores: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = weakref.WeakKeyDictionary()


class Reply(NamedTuple):
    """An answer with lower-case header names and the decoded body. `whole` is false if the body exceeded the limit.

    `status` is 0 if the answer was not HTTP, or its body could not be decoded. `failure` is set if there was no HTTP at
    all.
    """

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""
    whole: bool = True
    #: The target of a redirect, "" for none.
    location: str = ""
    failure: Failure | None = None


def _large_answers() -> asyncio.Semaphore:
    """Return the semaphore for reading large answers: those of many servers together must not fill the memory."""
    loop = asyncio.get_running_loop()
    return _semaphores.setdefault(loop, asyncio.Semaphore(LARGE_AT_ONCE))


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
    """Send a request, and read at most `limit_bytes` of the answer within `timeout_s` in total.

    Raises TimeoutError, httpx.ConnectError, httpx.ConnectTimeout, and httpx.InvalidURL or UnicodeEncodeError for a
    request that cannot be sent. Later errors return a reply with status 0.
    """
    answered = False
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.stream(method, url, content=content or None, headers=dict(headers or {})) as response,
        ):
            answered = True
            body = bytearray()
            whole = await read_body(response, limit_bytes, body, _large_answers())
            return Reply(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                body=bytes(body),
                whole=whole,
                location=response.extensions.get("llmtui.location", ""),
            )
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise
    except (httpx.HTTPError, WireError) as error:
        return Reply(0, failure=None if answered else connection_lost(0, error, url))
