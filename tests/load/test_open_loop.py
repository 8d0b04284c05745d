"""The open loop against real servers: every request is sent when it is due, or when the cap allows it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket

import pytest

from llmtui.load.arrivals import due_times
from llmtui.load.open_loop import AHEAD_S
from tests.load.helpers import kind_of, run_slice, share, slice_for, truth, window


async def test_requests_are_sent_when_they_are_due_and_none_is_skipped() -> None:
    async with truth(ttft_ms=30, itl_ms=5) as url:
        of = slice_for(url, rate=50.0, settle=5, requests=50)
        samples, done = await run_slice(of)
    assert done.error is None and all(sample.ok for sample in samples)
    assert [sample.request for sample in samples] == list(range(1, len(samples) + 1))
    dues = list(itertools.islice(due_times(of.level, of.seed, 5, 50), len(samples)))
    assert [sample.due_s for sample in samples] == dues
    assert all((sample.written_s or 0) >= due for sample, due in zip(samples, dues, strict=True))
    assert [len(share(samples, name)) for name in ("settling", "window")] == [5, 50]
    assert all(sample.waited_s == 0.0 for sample in samples)
    low, high = window(done)
    assert (high - low) == pytest.approx(1.0, abs=0.1)


async def test_a_turn_ends_though_requests_after_its_window_still_wait_for_their_time() -> None:
    gap_s = AHEAD_S / 3
    async with truth(ttft_ms=2, itl_ms=0) as url:
        samples, done = await run_slice(slice_for(url, rate=1 / gap_s, arrival="constant", requests=30))
    assert done.error is None and all(sample.ok for sample in samples)
    assert all((sample.written_s or 0) >= (sample.due_s or 0) for sample in samples)


async def test_a_connection_that_ends_while_its_request_waits_is_replaced() -> None:
    """As with llama.cpp, whose connections end after each answer."""
    answers = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            length = re.search(rb"content-length: (\d+)", await reader.readuntil(b"\r\n\r\n"), re.IGNORECASE)
            assert length is not None
            await reader.readexactly(int(length[1]))
            answers += 1
            body = b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}'
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await asyncio.sleep(0.002)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        samples, done = await run_slice(slice_for(url, rate=300.0, requests=60))
    finally:
        server.close()
    assert done.error is None
    # On a busy machine the server closes late, and some requests are written before. Of connections that were not
    # replaced nearly all would be lost.
    lost = [str(sample.error) for sample in samples if not sample.ok]
    assert len(lost) <= 40 and all("closed without an answer" in error for error in lost)
    assert answers == len(samples) - len(lost) and len(samples) >= 60


async def test_two_backends_of_a_round_get_their_requests_at_the_same_times() -> None:
    async with truth(ttft_ms=5, itl_ms=1) as one, truth(ttft_ms=50, itl_ms=1) as other:
        (first, _), (second, _) = [
            await run_slice(slice_for(url, rate=100.0, requests=20, seed="7/r/measured/2/1")) for url in (one, other)
        ]
    assert [s.due_s for s in share(first, "window")] == [s.due_s for s in share(second, "window")]


async def test_what_waits_for_the_cap_is_client_queue_and_not_latency() -> None:
    async with truth(ttft_ms=100, itl_ms=1) as url:
        of = slice_for(url, rate=40.0, arrival="constant", cap=2, requests=20)
        samples, done = await run_slice(of)
    assert max(sample.in_flight or 0 for sample in samples) == 2
    # Two at a time take about 0.1 s: of 40 a second that are due, 20 are sent, and the others wait ever longer.
    waits = [sample.waited_s or 0.0 for sample in share(samples, "window")]
    assert waits[0] == waits[1] == 0.0
    assert waits[-1] > 0.2
    # Of two at a time all latencies together fill at most twice the time from the first request to the last answer.
    spans = [(sample.written_s or 0.0, (sample.written_s or 0.0) + (sample.latency_s or 0.0)) for sample in samples]
    whole_s = max(end for _, end in spans) - min(begin for begin, _ in spans)
    assert sum(end - begin for begin, end in spans) <= 2 * whole_s + 0.01
    for sample in samples:
        assert sample.due_s is not None and sample.written_s is not None and sample.waited_s is not None
        assert sample.due_s + sample.waited_s <= sample.written_s
    assert done.late_from_s is None


async def test_a_window_by_duration_ends_in_time_though_the_cap_is_full() -> None:
    async with truth(ttft_ms=400, itl_ms=1) as url:
        samples, done = await run_slice(slice_for(url, rate=100.0, cap=1, duration_s=0.2))
    low, high = window(done)
    assert high - low == pytest.approx(0.2)
    assert len(share(samples, "window")) == 1
    assert done.elapsed_s < 6, "the twenty that were due take 8 s"


async def test_a_turn_ends_with_its_last_answer_and_not_with_the_next_due_time() -> None:
    async with truth(ttft_ms=20, itl_ms=1) as url:
        began = asyncio.get_running_loop().time()
        samples, _ = await run_slice(slice_for(url, rate=0.02, duration_s=0.3))
    assert len(samples) == 1 and samples[0].ok
    assert asyncio.get_running_loop().time() - began < 10


@pytest.mark.slow
async def test_a_rate_that_no_client_can_hold_ends_and_says_since_when() -> None:
    async with truth(ttft_ms=1, itl_ms=1) as url:
        samples, done = await run_slice(slice_for(url, rate=50_000.0, requests=400))
    assert len(share(samples, "window")) == 400
    assert done.late_from_s is not None and 0 <= done.late_from_s < 400 / 50_000
    late = [(s.written_s or 0) - (s.due_s or 0) for s in share(samples, "window")]
    assert late[-1] > 0.002


@pytest.mark.slow
async def test_a_rate_beyond_the_capacity_of_the_server_ends_and_shows_the_queue_as_latency() -> None:
    async with truth(ttft_ms=40, itl_ms=10, slots=1) as url:
        samples, done = await run_slice(slice_for(url, rate=40.0, arrival="constant", requests=20, timeout_s=8.0))
    counted = share(samples, "window")
    assert done.error is None and all(sample.ok for sample in counted)
    assert (counted[-1].latency_s or 0) > 10 * (counted[0].latency_s or 1)
    assert all((sample.waited_s or 0) == 0 for sample in counted)
    assert {kind_of(sample) for sample in samples} <= {"", "timeout"}
    assert window(done)[1] - window(done)[0] == pytest.approx(0.5, abs=0.1)
    assert done.elapsed_s < 20


async def test_a_server_that_does_not_answer_ends_the_turn_with_its_reason() -> None:
    # Bound, so that no other program takes the port, and not listening.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        samples, done = await run_slice(slice_for(url, rate=200.0, requests=100_000))
    assert done.error is not None and done.error.kind == "connect"
    assert "requests in a row failed: nothing answers" in done.error.message
    assert 10 <= len(samples) < 100
