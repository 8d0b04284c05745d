"""Workers of a real Dask scheduler, as processes: they measure together, and each may be killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psutil
import pytest

from llmtui.cluster import line, remote_worker
from llmtui.cluster.crew import ClusterCrew
from llmtui.load.messages import Pulse
from llmtui.model import Workers
from llmtui.text import Redactor
from tests.cluster.helpers import KEY, KEYS, Dask, gone, needs_dask, watched, with_key
from tests.cluster.records import OWN_ERROR_S
from tests.load.helpers import slice_for, truth, window

pytestmark = [needs_dask, pytest.mark.slow]


async def test_two_workers_send_a_turn_together_as_one_would(cluster: Dask) -> None:
    async with truth(ttft_ms=5, itl_ms=1) as url:
        async with watched(cluster) as of:
            done = await of.run_whole(slice_for(url, streams=4, requests=60, settle=4))
            assert done.error is None
            assert {sample.worker for sample in of.samples} == {1, 2}
            counted = sorted(sample.request for sample in of.samples if sample.share == "window")
            assert counted == list(range(5, 65)) and all(sample.ok for sample in of.samples)
            assert [(each.worker, each.requests > 0) for each in done.by_worker] == [(1, True), (2, True)]
            assert sum(each.requests for each in done.by_worker) == 60
            assert {each.own_error_s for each in done.by_worker} == {OWN_ERROR_S, None}
            for each in done.by_worker:
                assert 0 < (each.connect_s or 0) < 1 and 0.005 <= (each.ttft_s or 0) < 1
            unknown = next(each.name for each in done.by_worker if each.own_error_s is None)
            measuring = cluster.measuring()
            assert len(measuring) == 2
            done = await of.run_whole(slice_for(url, rate=50.0, requests=40))
            assert done.error is None
            low, high = window(done)
            assert high - low == pytest.approx(40 / 50.0, abs=0.01)
            late = [s.written_s - s.due_s for s in of.samples if s.due_s is not None and s.written_s is not None]
            assert min(late) >= 0.0
            assert [process.pid for process in cluster.measuring()] == [process.pid for process in measuring]
            assert of.notes[0].startswith("2 workers of tls://127.0.0.1:")
            names = ", ".join(each.name for each in done.by_worker)
            assert of.notes[1].startswith(f"2 workers ({names}) are on one machine")
            assert of.notes[2].startswith("a: a connection takes ")
            assert of.notes[3].startswith(f"the own error of {unknown} at this load is unknown") and len(of.notes) == 4
        await gone(measuring)


async def test_a_key_is_that_of_the_worker_and_one_that_lacks_it_is_named(
    cluster: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = "sk-ours-0123456789"
    monkeypatch.setenv(KEY, ours)
    async with echo() as (url, heard), watched(cluster, Redactor([ours])) as of:
        await of.run(with_key(slice_for(url, streams=2, requests=2), ours))
        assert {f"Bearer {key}" for key in KEYS} == set(heard)
        assert of.samples and not any(key in repr(of.samples) for key in KEYS)
        monkeypatch.setenv("CLUSTER_TEST_OTHER_KEY", ours)
        monkeypatch.delenv(KEY)
        done = await of.run(with_key(slice_for(url, streams=1, requests=1), ours))
        assert done.error is not None and done.error.kind == "missing"
        assert "the environment variable CLUSTER_TEST_OTHER_KEY is not set there" in done.error.message


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that refuses every request with the key in its words. Yields its URL, and the keys that it got."""
    heard: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            heard.extend(line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith("authoriz"))
            body = f"bad key {heard[-1]}".encode()
            writer.write(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


async def test_a_worker_that_is_killed_spoils_its_turn_and_the_run_goes_on_with_the_other(
    cluster: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with truth(ttft_ms=5, itl_ms=1) as url, watched(cluster) as of:
        measuring: list[psutil.Process] = []

        def kill(pulse: Pulse) -> None:
            if pulse.finished > 20 and not measuring:
                measuring.extend(psutil.Process(cluster.workers[0].pid).children())
                cluster.workers[0].kill()

        done = await of.run(slice_for(url, streams=4, requests=10**6), kill)
        assert done.error is not None and done.error.kind == "stopped" and " is lost: " in done.error.message
        assert len(of.samples) > 20
        await gone(measuring)
        assert of.notes[-1].endswith("; the run goes on with 1 of 2")
        done = await of.run_whole(slice_for(url, streams=4, requests=20))
        assert done.error is None and sum(sample.share == "window" for sample in of.samples) == 20
        assert [(each.worker, each.requests) for each in done.by_worker] == [(0, 20)]
        cluster.workers[1].kill()
        done = await of.run(slice_for(url, streams=4, requests=20))
        assert done.error is not None and done.error.kind == "missing"
        assert done.error.message.startswith(f"no worker of {cluster.address} is left: ")
    monkeypatch.setattr(line, "WORKERS_S", 0.5)
    async with watched(cluster) as of:
        failure = await of.crew.begin()
        assert failure is not None and failure.kind == "missing"
        said = f"the scheduler {cluster.address} has no workers after 0.5 s; start some: dask worker {cluster.address}"
        assert failure.message == said


async def test_the_measuring_processes_end_when_the_engine_is_gone(cluster: Dask) -> None:
    async with truth(ttft_ms=5, itl_ms=1) as url, watched(cluster) as of:
        begun = asyncio.Event()
        turn = asyncio.create_task(
            of.run(
                slice_for(url, streams=4, requests=10**6), lambda pulse: begun.set() if pulse.finished > 20 else None
            )
        )
        await begun.wait()
        measuring = cluster.measuring()
        assert of.crew._line is not None and len(measuring) == 2
        await of.crew._line.close()
        await gone(measuring)
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)


async def test_a_turn_that_is_cancelled_reports_what_was_cut_off(cluster: Dask) -> None:
    async with truth(ttft_ms=5, itl_ms=30) as url, watched(cluster) as of:
        begun = asyncio.Event()
        turn = asyncio.create_task(
            of.run(slice_for(url, streams=4, requests=10**6), lambda pulse: begun.set() if pulse.finished > 5 else None)
        )
        await begun.wait()
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        cut_off = [sample for sample in of.samples if not sample.ok]
        assert len(of.samples) - len(cut_off) > 5 and 1 <= len(cut_off) <= 4
        assert sum(each.requests for each in of.crew.halted.by_worker) > 5
        done = await of.run_whole(slice_for(url, streams=2, requests=4))
        assert done.error is None


async def test_nothing_goes_on_without_the_scheduler(cluster: Dask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_worker, "LOST_S", 3.0)
    async with truth(ttft_ms=5, itl_ms=1) as url, watched(cluster) as of:
        measuring: list[psutil.Process] = []

        def kill(pulse: Pulse) -> None:
            if pulse.finished > 20 and not measuring:
                measuring.extend(cluster.measuring())
                cluster.scheduler.kill()

        done = await of.run(slice_for(url, streams=4, requests=10**6), kill)
        assert done.error is not None and " is lost: " in done.error.message and len(measuring) == 2
        await gone(measuring)


@pytest.mark.parametrize("first", [None, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b"\0" * 64])
async def test_what_is_not_a_scheduler_is_named_as_such(first: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: llmtui waited for ever for what reads and says nothing, such as a web server."""
    monkeypatch.setattr(line, "CONNECT_S", 1.0)
    monkeypatch.setattr(line, "CALL_S", 1.0)
    held = asyncio.Event()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if first:
            writer.write(first)
        await held.wait()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        failure = await ClusterCrew(Workers(scheduler=f"tcp://127.0.0.1:{port}"), Redactor([]), lambda _: None).begin()
        held.set()
    assert failure is not None and failure.kind == "missing"
    assert failure.message == f"cannot reach the scheduler tcp://127.0.0.1:{port}: " + (
        "what listens there is not a scheduler of Dask; is it the port of its dashboard?"
        if first
        else "no answer for 1 s; is the address right, and is the port open for this machine?"
    )


async def test_a_scheduler_that_cannot_be_reached_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "CONNECT_S", 3.0)
    crew = ClusterCrew(Workers(scheduler="tcp://127.0.0.1:9"), Redactor([]), lambda _: None)
    failure = await crew.begin()
    done = await crew.run(slice_for("http://127.0.0.1:1", streams=1, requests=1), lambda _: None, lambda _: None)
    await crew.close()
    assert failure is not None and done.error is not None and failure.kind == "missing"
    said = "cannot reach the scheduler tcp://127.0.0.1:9: the connection is refused, so nothing listens there"
    assert failure.message == done.error.message == said
