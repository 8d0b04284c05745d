"""Faulty servers: each gives a specific failure within the timeout, with bounded memory, and no sample."""

from __future__ import annotations

import socket
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Sequence

import pytest

from llmtui.measure import request as request_module
from llmtui.measure.answer import MAX_TEXT_CHARS
from llmtui.measure.clock import STEP_NS, Offset, sample_offset
from llmtui.measure.failures import redirect_failure
from llmtui.measure.request import EARLY_ANSWER
from llmtui.measure.stamped_socket import StampedSocket
from tests.measure.helpers import CHUNKED, failure_of, failure_text, measured, on_thread, read_request, script_failure
from tests.scripted import CLOSE, FINISH, HALF_CLOSE, HANG, RESET, SSE_HEAD, Step, chunk, scripted, token

BROKE = "protocol: connection lost before the first token"
GZIP_HEAD = SSE_HEAD.replace(b"Connection", b"Content-Encoding: gzip\r\nConnection")


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([RESET], BROKE),
        ([SSE_HEAD[:20], RESET], BROKE),
        ([SSE_HEAD[:20], CLOSE], f"{BROKE}: closed in the middle of the headers"),
        ([HALF_CLOSE, HANG], "closed the connection without an answer"),
        ([SSE_HEAD, token("a"), HALF_CLOSE, HANG], "protocol: the answer is incomplete: no finish reason after 1"),
        ([CHUNKED, chunk(token("a")), HALF_CLOSE, HANG], "protocol: connection lost after 1 token"),
        ([SSE_HEAD, CLOSE], "protocol: the answer is empty: it has no body"),
        ([CHUNKED + b"0\r\n\r\n"], "protocol: the answer is empty: it has no body"),
        ([b"HTTP/1.1 204 No\r\n\r\n"], "protocol: the answer is empty: HTTP 204"),
        (
            [SSE_HEAD.replace(b"Connection: close", b"Content-Length: 999"), token("a"), CLOSE],
            "protocol: connection lost after 1",
        ),
        (
            [SSE_HEAD, token("a"), b"data: {not json\n\n", token("b"), FINISH, CLOSE],
            "protocol: cannot parse the answer",
        ),
        ([CHUNKED, chunk(token("a")), b"zz\r\n", HANG], "protocol: connection lost after 1 token: invalid HTTP"),
        ([CHUNKED + chunk(token("a")) + b"zz\r\n", HANG], "protocol: connection lost after 1 token: invalid HTTP"),
        ([b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", HANG], BROKE),
        ([b"HTTP/1.1 200 OK\r\n", b"X-More: yes\r\n" * 300, HANG], f"{BROKE}: invalid HTTP (more than 200"),
        ([b"HTTP/1.1 200 OK\r\nX: ", b"a" * 300_000, HANG], f"{BROKE}: invalid HTTP (more than 65536 byt"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" * 9000, HANG], f"{BROKE}: invalid HTTP (more than 65536 bytes"),
        ([CHUNKED, chunk(token("a")), b"0\r\n", b"T: x\r\n" * 50_000, HANG], "protocol: connection lost after 1"),
        (
            [b"HTTP/1.1 302 Go\r\nLocation: http://h:port/\r\nContent-Length: 0\r\n\r\n"],
            "http: HTTP 302: redirected to an invalid address",
        ),
        ([GZIP_HEAD, b"this is not gzip", CLOSE], "protocol: cannot decompress the answer"),
    ],
)
async def test_failure_messages(script: Sequence[Step], expected: str) -> None:
    assert expected in await script_failure(*script)


@pytest.mark.parametrize(
    "script", [[HANG], [SSE_HEAD[:20], HANG], [SSE_HEAD, HANG], [CHUNKED, b"5", HANG], [CHUNKED, b"5\r\ndat", HANG]]
)
async def test_silent_server_times_out(script: Sequence[Step]) -> None:
    assert await script_failure(*script, timeout_s=0.1) == "timeout: not finished within 0.1 s (before the first token)"


async def test_one_byte_at_a_time() -> None:
    whole = CHUNKED + chunk(token("é") + token("b")) + chunk(FINISH) + b"0\r\n\r\n"
    async with scripted([whole[n : n + 1] for n in range(len(whole))]) as server:
        assert (await measured(server.url)).text == "éb"


async def test_interim_answer_is_skipped() -> None:
    async with scripted([b"HTTP/1.1 100 Continue\r\n\r\n", SSE_HEAD, token("a"), FINISH, CLOSE]) as server:
        assert (await measured(server.url)).text == "a"


@pytest.mark.parametrize(
    ("location", "to", "address"),
    [
        ("/v1/chat/completions/", "/v1/chat/completions/", "{requested}/v1/chat/completions/"),
        ("{requested}/elsewhere?key=1#2", "/elsewhere", "{requested}/elsewhere"),
        ("{other}/v1/chat/completions", "{other}", ""),
        ("//{other_host}/x", "{other}", ""),
        ("http://user:pw@{other_host}/x", "{other}", ""),
        ("https://{other_host}/x", "https://{other_host}", ""),
        ("http://\u202eevil\u2066.example/a", "", ""),
        ("http://b\u00fccher.example/\u202ea", "http://xn--bcher-kva.example", ""),
        ("gopher://{other_host}/", "", ""),
        ("http://h:port/", "", ""),
        (f"http://{'h' * 5000}/", "http://hhh", ""),
    ],
    ids=[f"location{n}" for n in range(11)],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize("status", [301, 307])
async def test_redirect_is_reported_and_not_followed(
    status: int, host: str, location: str, to: str, address: str
) -> None:
    if host != "127.0.0.1" and sys.platform != "linux":
        pytest.skip("only Linux has all of 127.0.0.0/8")
    with socket.create_server((host, 0)) as other:
        other.setblocking(False)
        places = {"other_host": f"{host}:{other.getsockname()[1]}"}
        places["other"] = f"http://{places['other_host']}"
        async with scripted([]) as server:
            places["requested"] = server.url
            for name, place in places.items():
                location, to, address = (text.replace(f"{{{name}}}", place) for text in (location, to, address))
            script = f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
            server.by_path = {b"POST": [[script]]}
            failure = await failure_of(server.url)
            assert len(server.requests) == 1
        with pytest.raises(BlockingIOError):
            other.accept()
    assert failure.kind == "http"
    assert all(c.isprintable() for c in str(failure)) and len(str(failure)) < 500
    assert "pw" not in str(failure) and "key" not in str(failure)
    if to:
        assert failure.message.startswith(f"HTTP {status}: redirected to {to}")
        suggested = f"; if that is your server, set url to {address}" if address else "; check url"
        assert failure.hint == f"redirects are not followed{suggested}", "another server's address is not suggested"
    else:
        assert failure.message == f"HTTP {status}: redirected to an invalid address"


@pytest.mark.parametrize(
    ("requested", "to", "suggested"),
    [
        ("http://h/v1", "https://h/v1", True),
        ("http://h/v1", "https://g/v1", False),
        ("http://h:8080/v1", "https://h/v1", False),
        ("https://h/v1", "http://h/v1", False),
    ],
)
def test_redirect_hint_suggests_only_https_of_the_same_host(requested: str, to: str, suggested: bool) -> None:
    assert ("set url to" in redirect_failure(301, "POST", requested, to).hint) is suggested


async def test_endless_error_body_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_module, "ERROR_BODY_S", 0.05)
    assert await script_failure(b"HTTP/1.1 500 X\r\n\r\n<p>Out of luck</p>", HANG) == "http: HTTP 500: Out of luck"


async def test_gzip_is_decoded_incrementally() -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(token("a")) + packer.flush(zlib.Z_SYNC_FLUSH)
    second = packer.compress(token("b") + FINISH) + packer.flush()
    async with scripted([GZIP_HEAD, first, second, CLOSE]) as server:
        answer = await measured(server.url)
    assert answer.text == "ab"
    assert sum(answer.arrival_tokens) == 2 and answer.arrivals_ns[0] > 0


async def test_50_mb_line_takes_little_memory() -> None:
    block = b"x" * 1_000_000
    tracemalloc.start()
    try:
        message = await script_failure(CHUNKED, *([chunk(b"data: ")] + [chunk(block)] * 50), HANG)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert message.startswith("protocol: a line of the answer is longer than")
    # The splitter's 2 MB (twice, while it grows), the 2 MB block made above, the pipe.
    assert peak < 60_000_000 - 50_000_000 + 16_000_000


async def test_endless_answer_is_cut_off() -> None:
    comment = b": " + b"x" * 1_000_000 + b"\n\n"
    message = await script_failure(SSE_HEAD, token("a"), *([comment] * 70), HANG, timeout_s=30)
    assert message == "protocol: the answer is longer than 64 MB"


async def test_only_the_beginning_of_a_long_answer_is_stored() -> None:
    async with scripted([SSE_HEAD, *([token("x" * 10_000)] * 20), FINISH, CLOSE]) as server:
        answer = await measured(server.url)
    assert len(answer.text) == MAX_TEXT_CHARS
    assert sum(answer.arrival_bytes) == 200_000


async def test_answer_before_the_request_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    send = StampedSocket.send

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(CHUNKED + chunk(token("a") + FINISH) + b"0\r\n\r\n")
            answered.set()
            read_request(connection)
            connection.recv(1)  # wait for the client to close: a FIN merged with the data would replace its timestamp

    def send_late(self: StampedSocket, data: memoryview | bytes) -> int:
        answered.wait(5)
        return send(self, data)

    monkeypatch.setattr(StampedSocket, "send", send_late)
    with on_thread(serve) as url:
        assert await failure_text(url) == f"protocol: {EARLY_ANSWER}"


async def test_answer_before_the_request_is_complete_fails() -> None:
    """The server sends its whole answer while the prompt, larger than the socket buffers, is still being sent."""
    done = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(CHUNKED + chunk(token("a") + FINISH) + b"0\r\n\r\n")
            done.wait(10)

    with on_thread(serve) as url:
        message = await failure_text(url, "p" * 32_000_000)
        done.set()
    assert message == f"protocol: {EARLY_ANSWER}"


async def test_clock_step_fails_the_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    def stepped() -> Offset:
        now = sample_offset()
        return Offset(offset_ns=now.offset_ns + 10 * STEP_NS, width_ns=now.width_ns)

    monkeypatch.setattr(request_module, "sample_offset", stepped)
    message = await script_failure(SSE_HEAD, token("a"), FINISH, CLOSE)
    assert message == "stopped: the system clock was set during this iteration, so its times are wrong"


@pytest.mark.parametrize("fault", [b"data: {\n\n", b'data: {"error":{"message":"boom"}}\n\n'])
async def test_failure_closes_the_connection(fault: bytes) -> None:
    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.settimeout(10)
        with connection:
            read_request(connection)
            connection.sendall(CHUNKED + chunk(fault))
            ends.append(connection.recv(1000))

    ends: list[bytes] = []
    with on_thread(serve) as url:
        await failure_text(url)
    assert ends == [b""]
