"""Many connections to `llmtui serve`: silent, slow and endless ones, and pages that stop reading. None block others."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiohttp import WSMsgType

from llmtui.cli.serve.connections import PATIENCE_S, Limits
from tests.bench.serve_crowd import fetch, measure
from tests.cli.served import DEADLINE_S, ENDLESS, Served, page_of, serving
from tests.hostile.raw_requests import HANDSHAKE, head, with_token

#: On a machine that runs other tests beside; a page that waits for the crowd waits over a minute. How soon it is on a
#: quiet one is measured by tests.bench.serve_crowd.
SERVED_S = 30.0


@pytest.fixture(scope="module")
def going(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run that goes on, served on this machine's loopback."""
    with serving(tmp_path_factory.mktemp("going"), ENDLESS) as served:
        yield served


@pytest.mark.slow
async def test_many_silent_connections_block_no_client(going: Served) -> None:
    result = await measure(going, 300, 2.0, 10, reconnect=False)
    assert result.failed == 0 and max(result.pages_s) < SERVED_S, result
    assert result.lines == []


@pytest.mark.slow
@pytest.mark.parametrize("files", [64, 1024])
async def test_many_connections_print_little_and_block_no_client(files: int, tmp_path: Path) -> None:
    """Until twice the time after which serve closes silent connections."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    with serving(tmp_path, ENDLESS, prepare=limit) as served:
        result = await measure(served, 300, 2 * PATIENCE_S, 20, reconnect=False)
        assert result.failed == 0 and max(result.pages_s) < SERVED_S, result
        assert len(result.lines) <= 3
        async with page_of(served) as page:
            await page.until(b"alpha")


@pytest.mark.slow
async def test_repeated_waves_of_connections_block_no_client(going: Served) -> None:
    result = await measure(going, 300, 2 * PATIENCE_S, 20, reconnect=True)
    assert result.failed == 0 and max(result.pages_s) < SERVED_S, result
    assert result.lines == []


@pytest.mark.slow
def test_open_pages_survive_many_connections(going: Served) -> None:
    async def watch() -> None:
        async with page_of(going) as page:
            await page.until(b"alpha")
            result = await measure(going, 300, 1.0, 3, reconnect=False)
            assert result.failed == 0
            await page.socket.send_json(["ping", "still here"])
            async with asyncio.timeout(DEADLINE_S):
                while (message := await page.socket.receive()).type is not WSMsgType.TEXT:
                    assert message.type is WSMsgType.BINARY
            assert message.json() == ["pong", "still here"]

    asyncio.run(watch())


def held_open(served: Served, parts: Iterator[bytes]) -> float:
    """For how long a connection stays that sends these parts, one after each answer, or every 0.2 s."""
    begun = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", served.port), timeout=0.2) as connection,
        contextlib.suppress(ConnectionError),
    ):
        for part in parts:
            assert time.monotonic() - begun < DEADLINE_S, "it is still open"
            connection.sendall(part)
            with contextlib.suppress(TimeoutError):
                if not connection.recv(65536):
                    break
        else:
            raise AssertionError("it is still open")
    return time.monotonic() - begun


@pytest.mark.slow
async def test_connections_without_a_token_are_closed_after_a_time_limit(going: Served) -> None:
    trickle = itertools.islice((bytes([byte]) for byte in head(going, "/" + "x" * 1000)), 300)
    body = itertools.islice(itertools.chain([head(going, "/", "Content-Length: 100000")], itertools.repeat(b"x")), 300)
    silence = itertools.repeat(b"", 300)
    refused = itertools.repeat(head(going, "/", "Connection: keep-alive"), 300)
    expect = itertools.repeat(head(going, "/", "Expect: nonsense", "Connection: keep-alive"))
    times = await asyncio.gather(
        *(asyncio.to_thread(held_open, going, parts) for parts in (trickle, silence, expect, body, refused))
    )
    for held in times:
        assert held < PATIENCE_S + 2.0
    for held in times[:2]:
        assert held > PATIENCE_S - 1.0
    for held in times[3:]:
        assert held < PATIENCE_S, "a refusal ends the connection"


@pytest.mark.slow
async def test_a_connection_with_the_token_stays_open(going: Served) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", going.port)
    for _ in range(2):
        writer.write(with_token(going))
        async with asyncio.timeout(DEADLINE_S):
            await reader.readuntil(b"</html>\n")
        result = await measure(going, 100, PATIENCE_S + 1.0, 1, reconnect=False)
        assert result.failed == 0
    writer.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of another process is set as only Linux can")
async def test_too_many_open_files_are_one_line_of_output(tmp_path: Path) -> None:
    with serving(tmp_path, ENDLESS) as served:
        process = psutil.Process(served.process.pid)
        before = resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (process.num_fds() + 2, before[1]))
        cpu = sum(process.cpu_times()[:2])
        with contextlib.ExitStack() as crowd:
            for _ in range(20):
                crowd.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            await asyncio.to_thread(served.until, "too many open files")
        assert sum(process.cpu_times()[:2]) - cpu < 3.0, "it does not spin"
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, before)
        assert (await fetch(served)).startswith(b"HTTP/1.1 200 ")
        assert served.err.count("too many open files") == 1 and "Traceback" not in served.err


def test_the_limits_fit_into_the_open_files() -> None:
    for free in (*range(-20, 400), 1000, 20_000, 2**20):
        limits = Limits.for_files(free)
        assert 0 < limits.waiting < limits.connections <= 256 and limits.waiting <= 64 and 0 < limits.pages <= 16
        if free >= 45:
            assert limits.connections + limits.batch + 3 * limits.pages < free


@pytest.mark.slow
async def test_pages_that_stop_reading_do_not_delay_the_exit(tmp_path: Path) -> None:
    with serving(tmp_path, ENDLESS) as served, contextlib.ExitStack() as stack:
        for _ in range(3):
            deaf = stack.enter_context(socket.socket())
            deaf.settimeout(DEADLINE_S)
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.connect(("127.0.0.1", served.port))
            deaf.sendall(with_token(served, "/ws?width=500&height=200", *HANDSHAKE))
            seen = 0
            while seen < 2000:
                # It draws. From now on nothing is read.
                data = await asyncio.to_thread(deaf.recv, 2000)
                assert data, "it was closed"
                seen += len(data)
        begun = time.monotonic()
        served.process.send_signal(signal.SIGINT)
        await asyncio.to_thread(served.end)
        assert time.monotonic() - begun < 12.0
    assert "Traceback" not in served.err
