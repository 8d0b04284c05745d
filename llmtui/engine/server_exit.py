"""Why a request failed whose launched server is gone."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from llmtui.model import Failure
from llmtui.servers.launcher import ManagedServer

#: How long a server may take to exit after it closed or refused a connection.
EXIT_NOTICE_S = 1.0


async def with_exit(failure: Failure, server: ManagedServer | None) -> Failure:
    """Return the `failure` of a request, with the reason in its hint if the server that llmtui launched is gone."""
    if server is None or failure.kind not in ("connect", "protocol"):
        return failure
    # A server that dies closes its connections a moment before its exit is noticed.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(EXIT_NOTICE_S):
            await server.exited.wait()
    if server.exited.is_set():
        return msgspec.structs.replace(failure, hint=f"{server.exit_failure()}; see its log")
    if failure.kind == "connect":
        return msgspec.structs.replace(failure, hint="see the server's log; a rerun starts it again")
    return failure
