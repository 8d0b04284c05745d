"""Which of some addresses have a server that listens. Light: the first frame of the monitor waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

CONNECT_S = 0.4
_PORTS = {"http": 80, "https": 443}


async def listening(urls: Sequence[str]) -> list[str]:
    """Return those of `urls` that accept a connection within `CONNECT_S` seconds. All are tried at the same time."""
    accepted = await asyncio.gather(*map(_accepts, urls))
    return [url for url, accepts in zip(urls, accepted, strict=True) if accepts]


async def _accepts(url: str) -> bool:
    try:
        parts = urlsplit(url)
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or _PORTS.get(parts.scheme, 80))
    except (OSError, TimeoutError, ValueError):
        return False  # also for an invalid address
    writer.close()
    return True
