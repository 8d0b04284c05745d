"""One iteration over a real socket: its figures, and a specific failure for each fault of a server."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from llmtui.measure.answer import Answer
from llmtui.measure.figures import figures
from llmtui.measure.request import IterationError, ask
from llmtui.measure.transport import new_client
from llmtui.model import Backend, RunConfig
from llmtui.wire import dialect_for
from tests.scripted import CLOSE, FINISH, HANG, RESET, SSE_HEAD, Step, chunk, scripted, token

CONFIG = RunConfig(max_tokens=8)


async def measure(
    url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0, on_tokens: Callable[[int], None] | None = None
) -> Answer:
    backend = Backend(name="a", url=url, model="m")
    dialect = dialect_for(backend)
    client = new_client(url, connect_timeout_s=connect_timeout_s)
    request = dialect.request(backend, CONFIG, "hi", "m")
    try:
        return await ask(client, request, dialect, timeout_s=timeout_s, on_tokens=on_tokens)
    finally:
        await client.aclose()


async def failure(*script: Step, timeout_s: float = 5.0) -> str:
    async with scripted(script) as server:
        with pytest.raises(IterationError) as caught:
            await measure(server.url, timeout_s=timeout_s)
    return f"{caught.value.failure.kind}: {caught.value.failure.message}"


async def test_arrival_times_are_the_kernels_not_those_of_the_read() -> None:
    """The loop sleeps while the second token arrives; with the kernel's timestamp its gap is still right."""
    if sys.platform != "linux":
        pytest.skip("only Linux stamps arrivals")
    go = threading.Event()
    sent_ns: list[int] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            request = b""
            while not request.endswith(b"}"):
                request += connection.recv(65536)
            sent_ns.append(time.monotonic_ns())
            connection.sendall(SSE_HEAD + token("a"))
            go.wait()
            sent_ns.append(time.monotonic_ns())
            connection.sendall(token("b"))
            connection.sendall(FINISH)

    def first_token(count: int) -> None:
        if count == 1:
            go.set()
            time.sleep(0.3)

    with listener:
        thread = threading.Thread(target=serve)
        thread.start()
        answer = await measure(f"http://127.0.0.1:{listener.getsockname()[1]}", on_tokens=first_token)
        thread.join()
    assert answer.stamp == "kernel"
    shown_ms = (answer.arrivals_ns[1] - answer.arrivals_ns[0]) / 1e6
    true_ms = (sent_ns[1] - sent_ns[0]) / 1e6
    assert abs(shown_ms - true_ms) < 100, "the gap excludes the 300 ms of sleep"


async def test_figures() -> None:
    answer = Answer(
        arrivals_ns=[100_000_000, 110_000_000, 125_000_000, 140_000_000],
        arrival_tokens=[1, 1, 1, 1],
        arrival_bytes=[2, 2, 2, 2],
        first_output_ns=110_000_000,
        finish_reason="length",
        output_tokens=4,
        token_source="usage",
        end_ns=150_000_000,
    )
    numbers = figures(answer)
    assert numbers.latency_s == 0.140
    assert numbers.ttft_s == 0.100
    assert numbers.ttfo_s == 0.110
    assert numbers.itl_s == 0.015
    assert numbers.tpot_s == pytest.approx(0.040 / 3)
    assert numbers.tokens_per_s == pytest.approx(75.0)
    assert numbers.token_source == "usage"


def test_rate_excludes_an_end_token_counted_by_usage() -> None:
    answer = Answer(
        arrivals_ns=[1_000_000_000, 2_000_000_000, 3_000_000_000, 4_000_000_000],
        arrival_tokens=[1, 1, 1, 1],
        arrival_bytes=[1, 1, 1, 1],
        finish_reason="stop",
        output_tokens=5,
        token_source="usage",
    )
    numbers = figures(answer)
    assert numbers.output_tokens == 5
    assert numbers.tokens_per_s == 1.0


def test_tokens_per_event_are_estimated_from_the_text_length() -> None:
    answer = Answer(
        arrivals_ns=[0, 1_000_000_000, 1_500_000_000, 2_000_000_000],
        arrival_tokens=[1, 1, 1, 1],
        arrival_bytes=[10, 10, 10, 10],
        finish_reason="length",
        output_tokens=16,
        token_source="usage",
    )
    assert figures(answer).tokens_per_s == 6.0


def test_single_arrival_has_no_rate() -> None:
    answer = Answer(arrivals_ns=[5_000_000], arrival_tokens=[3], arrival_bytes=[3], finish_reason="stop")
    numbers = figures(answer)
    assert (numbers.latency_s, numbers.ttft_s, numbers.itl_s, numbers.tokens_per_s) == (0.005, 0.005, None, None)
    assert (numbers.output_tokens, numbers.token_source) == (3, "arrivals")


async def test_events_of_one_segment_are_one_arrival() -> None:
    async with scripted([SSE_HEAD + token("a") + token("b") + FINISH, CLOSE]) as server:
        answer = await measure(server.url)
    assert answer.arrival_tokens == [2]
    assert answer.text == "ab"


async def test_split_token_arrives_with_its_second_half() -> None:
    half = asyncio.Event()
    event = token("é")
    cut = event.index("é".encode()) + 1
    async with scripted([SSE_HEAD, token("x"), event[:cut], half, event[cut:], FINISH, CLOSE]) as server:
        # The second half is sent only once the first token has been read.
        answer = await measure(server.url, on_tokens=lambda _: half.set())
    assert answer.text == "xé"
    assert len(answer.arrivals_ns) == 2


async def test_connect_time_is_reported_only_for_a_new_connection() -> None:
    body = token("a") + FINISH
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    script = [reply + chunk(body) + b"0\r\n\r\n"]
    async with scripted(script) as server:
        backend = Backend(name="a", url=server.url, model="m")
        dialect = dialect_for(backend)
        client = new_client(server.url, connect_timeout_s=2.0)
        request = dialect.request(backend, CONFIG, "hi", "m")
        first = await ask(client, request, dialect, timeout_s=5)
        second = await ask(client, request, dialect, timeout_s=5)
        await client.aclose()
    assert first.connect_ns is not None and first.connect_ns > 0
    assert second.connect_ns is None


async def test_answer_without_streaming_has_only_a_latency() -> None:
    body = b'{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}],"usage":{"completion_tokens":2}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with scripted([head, body]) as server:
        numbers = figures(await measure(server.url))
    assert numbers.latency_s > 0
    assert numbers.ttft_s is None and numbers.tokens_per_s is None
    assert numbers.output_tokens == 2


def plain_reply(status: bytes, body: bytes, *headers: bytes) -> bytes:
    head = b"".join(h + b"\r\n" for h in (b"Content-Length: %d" % len(body), *headers))
    return b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\n" + body


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([SSE_HEAD, token("a"), CLOSE], "protocol: the answer is incomplete: no finish reason after 1 token"),
        ([SSE_HEAD, CLOSE], "protocol: the answer is empty: it has no body"),
        ([SSE_HEAD, FINISH, CLOSE], "protocol: the model reached max_tokens, but the server sent no text"),
        ([CLOSE], "closed the connection without an answer"),
        ([SSE_HEAD, token("a"), token("b"), RESET], "protocol: connection lost after"),
        (
            [
                SSE_HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked"),
                chunk(token("a")),
                b"ff\r\ndat",
                CLOSE,
            ],
            "protocol: connection lost after 1 token",
        ),
        ([b"SSH-2.0-OpenSSH_9\r\n\r\n", CLOSE], "speaks SSH, not HTTP"),
        ([SSE_HEAD, token("a"), b"data: {not json\n\n", CLOSE], "protocol: "),
        ([SSE_HEAD, token("a"), b'data: {"error":{"message":"boom"}}\n\ndata: [DONE]\n\n', CLOSE], "server: "),
        ([plain_reply(b"401 No", b'{"error":{"message":"bad key"}}')], "http: HTTP 401: bad key"),
        ([plain_reply(b"404 No", b'{"error":"model \\"m\\" not found"}')], 'http: HTTP 404: model "m" not found'),
        ([plain_reply(b"500 No", b"<html><title>Oops</title></html>")], "http: HTTP 500: Oops"),
        ([plain_reply(b"307 Go", b"", b"Location: /other")], "http: HTTP 307: redirected to /other"),
    ],
)
async def test_failures(script: Sequence[Step], message: str) -> None:
    assert message in await failure(*script)


async def test_timeout_reports_the_tokens_received() -> None:
    message = await failure(SSE_HEAD, token("a"), HANG, timeout_s=0.2)
    assert message == "timeout: not finished within 0.2 s (after 1 token)"
    message = await failure(HANG, timeout_s=0.2)
    assert message == "timeout: not finished within 0.2 s (before the first token)"


async def test_endless_line_fails() -> None:
    message = await failure(SSE_HEAD, b"data: ", *([b"x" * 1_000_000] * 9), HANG)
    assert message.startswith("protocol: ")


async def test_refused_connection_names_the_address() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(IterationError) as caught:
        await measure(f"http://127.0.0.1:{port}")
    assert caught.value.failure.kind == "connect"
    assert caught.value.failure.message == f"nothing answers at 127.0.0.1:{port}"


async def test_tls_handshake_timeout() -> None:
    async with scripted([CLOSE]) as server:
        with pytest.raises(IterationError) as caught:
            await measure(server.url.replace("http:", "https:"), connect_timeout_s=0.2)
    assert caught.value.failure.message == "connected, but the TLS handshake timed out"


async def test_proxies_from_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with scripted([SSE_HEAD, token("a"), FINISH, CLOSE]) as server:
        assert (await measure(server.url)).text == "a"
