"""The closed loop against real servers: as many requests under way as were asked for, whatever the server does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncIterator

import pytest

from tests.load.helpers import in_flight, kind_of, run_slice, share, slice_for, truth, window


@contextlib.asynccontextmanager
async def refusing(head: bytes) -> AsyncIterator[tuple[str, list[float]]]:
    """A server that answers each request with this head and no body. Yields its URL and when requests came, in s."""
    came: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while request := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: (\d+)", request, re.IGNORECASE)
                assert length is not None
                await reader.readexactly(int(length[1]))
                came.append(asyncio.get_running_loop().time())
                writer.write(b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", came
    finally:
        server.close()


@pytest.mark.slow
async def test_the_streams_asked_for_are_under_way_through_the_window() -> None:
    async with truth(ttft_ms=300, itl_ms=50) as url:
        samples, done = await run_slice(slice_for(url, streams=8, settle=8, requests=24, stagger_s=0.3))
    assert done.error is None and not done.halted
    assert [len(share(samples, name)) for name in ("settling", "window")] == [8, 24]
    assert [sample.request for sample in samples] == list(range(1, len(samples) + 1))
    assert all(sample.ok and sample.due_s is None for sample in samples)
    assert in_flight(samples, done) == pytest.approx(8, rel=0.02)  # tests.bench.open_loop holds the 0.5 %
    assert max(sample.in_flight or 0 for sample in samples) == 8


async def test_a_window_by_duration_ends_in_time_and_its_requests_are_waited_for() -> None:
    async with truth(ttft_ms=100, itl_ms=20) as url:
        samples, done = await run_slice(slice_for(url, streams=2, settle=2, duration_s=0.5))
    low, high = window(done)
    assert high - low == pytest.approx(0.5)
    counted = share(samples, "window")
    # They are counted by when they are issued. On a busy machine the last ones are written a little later.
    assert counted and all(low <= (sample.written_s or 0) < high + 0.25 for sample in counted)
    assert all(sample.ok for sample in samples)
    assert done.elapsed_s > high


async def test_a_turn_shorter_than_one_answer_has_its_first_requests() -> None:
    async with truth(ttft_ms=200, itl_ms=100) as url:
        samples, done = await run_slice(slice_for(url, streams=2, duration_s=0.05))
    assert [sample.share for sample in samples][:2] == ["window", "window"]
    assert all(sample.ok for sample in samples)
    assert window(done)[1] - window(done)[0] == pytest.approx(0.05)


async def test_a_server_that_refuses_gets_few_requests_and_the_turn_ends_with_its_reason() -> None:
    async with refusing(b"429 Too Many Requests") as (url, came):
        samples, done = await run_slice(slice_for(url, streams=3, requests=1000))
    assert 9 <= len(came) < 18
    assert done.error is not None and done.error.kind == "http"
    assert done.error.message == "every stream failed 3 times in a row: HTTP 429"
    assert done.error.hint.endswith("lower the level, or raise the server's limit")
    assert len(samples) == len(came) and all(sample.refused == 1 for sample in samples if sample.error is not None)


async def test_a_stream_waits_as_long_as_the_server_asks() -> None:
    async with refusing(b"503 Busy\r\nRetry-After: 0.4") as (url, came):
        _, done = await run_slice(slice_for(url, streams=1, requests=1000))
    # By itself it would wait 0.1 s and 0.2 s.
    gaps_s = [b - a for a, b in itertools.pairwise(came)]
    assert len(gaps_s) == 2 and all(0.39 <= gap_s < 5 for gap_s in gaps_s)
    assert done.error is not None and "HTTP 503" in done.error.message


async def test_a_wait_that_the_server_asks_for_ends_with_the_window() -> None:
    async with refusing(b"503 Busy\r\nRetry-After: 8") as (url, came):
        _, done = await run_slice(slice_for(url, streams=1, duration_s=0.3))
    assert len(came) == 1 and done.error is None
    assert done.elapsed_s < 7


async def test_a_server_that_dies_in_mid_turn_ends_it_and_what_was_finished_stays() -> None:
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(truth(own=True, ttft_ms=20, itl_ms=5))
        of = slice_for(url, streams=4, requests=100_000)
        turn = asyncio.create_task(run_slice(of, lambda pulse: died.set() if pulse.finished > 20 else None))
        died = asyncio.Event()
        await died.wait()
        await stack.aclose()
        samples, done = await turn
    assert done.error is not None and done.error.kind == "connect"
    assert done.error.hint == "start the server"
    failed = [sample for sample in samples if not sample.ok]
    assert 12 <= len(failed) <= 24
    assert len(samples) - len(failed) > 20


async def test_a_request_that_does_not_end_in_time_is_a_sample_with_its_age() -> None:
    async with truth(ttft_ms=20, itl_ms=5000) as url:
        samples, done = await run_slice(slice_for(url, streams=2, requests=2, timeout_s=0.5))
    counted = share(samples, "window")
    assert [kind_of(sample) for sample in counted] == ["timeout", "timeout"]
    assert all((sample.latency_s or 0) >= 0.5 for sample in counted)
    assert done.error is None


async def test_a_server_that_refuses_some_is_asked_again_and_the_turn_is_whole() -> None:
    async with truth(ttft_ms=100, itl_ms=0, slots=2, queue=0) as url:
        samples, done = await run_slice(slice_for(url, streams=4, requests=24))
    counted = share(samples, "window")
    refused = [sample for sample in counted if sample.refused]
    assert done.error is None and len(counted) == 24
    assert refused and {kind_of(sample) for sample in counted} == {"", "http"}
    # Two streams without a slot: each asks after 0.1, 0.2, 0.4 s and so on.
    assert len(refused) < 20 * done.elapsed_s + 4


@pytest.mark.slow
async def test_a_few_hundred_streams() -> None:
    async with truth(ttft_ms=400, itl_ms=200) as url:
        samples, done = await run_slice(slice_for(url, streams=300, settle=300, requests=300, stagger_s=1.0))
    assert done.error is None
    assert all(sample.ok for sample in samples)
    assert max(sample.in_flight or 0 for sample in samples) == 300
