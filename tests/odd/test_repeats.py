"""A request whose pooled connection ends is sent again only if the server cannot have read it."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

import pytest

from llmtui.measure.request import IterationError
from llmtui.measure.transport import CROSSING_S, StampedTransport, new_client
from tests.measure.helpers import send_through
from tests.odd.running import config_for, run
from tests.odd.server import Reply, Request, odd

#: Far later than a FIN that crosses the request.
LATE_S = 4 * CROSSING_S


class Ends:
    """Answers the first chat, and ends the connection of the second `after_s` after its request, without a byte."""

    def __init__(self, after_s: float, reset: bool = False) -> None:
        self.after_s = after_s
        self.reset = reset
        self.chats = 0

    def __call__(self, reply: Reply, request: Request) -> None:
        self.chats += 1
        if self.chats != 2:
            reply.head()
            reply.stream(2)
            reply.finish(2)
            return
        time.sleep(self.after_s)
        if self.reset:
            reply.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reply.sock.close()
        else:
            reply.sock.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
async def test_a_request_that_crosses_the_end_of_its_connection_is_sent_again(reset: bool) -> None:
    """vLLM and others on uvicorn end idle connections after 5 s: llm-d-benchmark #1675, NeMo-Gym #1555."""
    server_ends = Ends(0.0, reset)
    with odd(server_ends, keep_alive=True) as server:
        async with new_client(server.url, connect_timeout_s=2.0) as client:
            await send_through(client, server.url)
            again = await send_through(client, server.url)
    assert again.connect_ns is not None and server_ends.chats == 3


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
async def test_a_request_that_the_server_failed_on_is_an_error(reset: bool) -> None:
    """halogen-flash-server #25: requests that were accepted and produced no tokens, on connections that then ended."""
    server_ends = Ends(LATE_S, reset)
    with odd(server_ends, keep_alive=True) as server:
        async with new_client(server.url, connect_timeout_s=2.0) as client:
            await send_through(client, server.url)
            with pytest.raises(IterationError) as caught:
                await send_through(client, server.url)
            assert server_ends.chats == 2, "nothing is computed twice"
            assert (await send_through(client, server.url)).connect_ns is not None
    failure = caught.value.failure
    assert failure.kind == "protocol"
    assert "connection lost before the first token: closed without an answer 0.2 s after the request" in failure.message
    assert "https" not in failure.hint


async def test_a_connection_that_ended_before_the_write_is_replaced() -> None:
    """The end arrived unnoticed: the connection was usable when it was checked."""
    with odd(keep_alive=True) as server:
        async with new_client(server.url, connect_timeout_s=2.0) as client:
            await send_through(client, server.url)
            transport = client._transport
            assert isinstance(transport, StampedTransport)
            ((pooled,),) = transport._idle.values()
            pooled._watch(False)
            pooled.usable = lambda keepalive_s: True  # type: ignore[method-assign]
            pooled.sock._sock.shutdown(socket.SHUT_RDWR)
            assert (await send_through(client, server.url)).connect_ns is not None


@pytest.mark.slow
def test_a_run_shows_the_crash_of_one_request(tmp_path: Path) -> None:
    with odd(Ends(LATE_S), keep_alive=True) as server:
        outcome = run(tmp_path, config_for(server.url, iterations=4))
    assert outcome.code == 1
    assert [row["error"] is not None for row in outcome.iterations] == [False, True, False, False]
    assert sum(request.method == "POST" for request in server.requests) == 4
