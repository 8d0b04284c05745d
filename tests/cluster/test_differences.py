"""A worker whose TTFT differs from that of the others is named, and equal ones are not."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from llmtui.cluster.differences import IN_A_ROW, Differences
from llmtui.text import Redactor
from tests.cluster.helpers import KEY, KEYS, Dask, needs_dask, watched, with_key
from tests.load.helpers import slice_for, truth

#: Turns in which a difference of 0.3 s has to be found.
MOST_TURNS = 12


def turn(draw: random.Random, **more_s: float) -> dict[str, list[float]]:
    """The TTFTs of 30 requests of each worker, which are 20 ms with a noise of 2 ms and this much more."""
    return {name: [0.02 + draw.gauss(0, 0.002) + more for _ in range(30)] for name, more in more_s.items()}


def test_equal_workers_are_named_in_few_runs() -> None:
    draw = random.Random(1)
    named = 0
    for _ in range(200):
        differences = Differences()
        named += any(differences.add("a 1", turn(draw, one=0.0, two=0.0, three=0.0)) for _ in range(10))
    assert named <= 4


@pytest.mark.parametrize(
    ("more_s", "named"),
    [
        ({"one": 0.0, "two": 0.005}, "worker two: TTFT p50 2"),
        ({"one": 0.0, "two": 0.0, "three": 0.005}, "worker three: TTFT p50 2"),
        ({"one": 0.0, "two": 0.0, "three": -0.005}, "worker three: TTFT p50 1"),
        ({"one": 0.0, "two": 0.0, "three": 0.0, "four": 0.005}, "worker four: TTFT p50 2"),
    ],
)
def test_a_worker_that_differs_is_named_once_after_three_turns(more_s: dict[str, float], named: str) -> None:
    draw = random.Random(2)
    differences = Differences()
    said = [differences.add("a 1", turn(draw, **more_s)) for _ in range(IN_A_ROW + 2)]
    assert said[: IN_A_ROW - 1] == [[], []] and said[IN_A_ROW:] == [[], []]
    assert len(said[IN_A_ROW - 1]) == 1
    assert said[IN_A_ROW - 1][0].startswith(named) and said[IN_A_ROW - 1][0].endswith(", in 3 turns in a row")


def test_a_difference_within_the_own_errors_or_not_in_a_row_is_not_named() -> None:
    draw = random.Random(3)
    within, broken = Differences(), Differences()
    for number in range(9):
        slow = turn(draw, one=0.0, two=0.005)
        assert within.add("a 1", slow, {"one": 0.004, "two": 0.004}) == []
        assert broken.add("a 1", turn(draw, one=0.0, two=0.0) if number % 3 == 2 else slow) == []
    assert Differences().add("a 1", {"one": [0.1] * 5, "two": []}) == []


@needs_dask
@pytest.mark.slow
async def test_a_worker_with_a_slow_way_to_the_server_is_named_and_equal_ones_are_not(
    cluster: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = "sk-ours-0123456789"
    monkeypatch.setenv(KEY, ours)
    server = truth(ttft_ms=20, itl_ms=10)
    async with server as url, relay(url, KEYS[1]) as (reachable, delay_s), watched(cluster, Redactor([ours])) as of:

        async def turn(number: int) -> tuple[list[str], str]:
            """Take a turn. Return what was said of differences so far, and the name of the slower worker."""
            done = await of.run_whole(
                with_key(slice_for(reachable, streams=4, requests=24, tokens=8, seed=str(number)), ours)
            )
            assert done.error is None
            slowest = max(done.by_worker, key=lambda each: each.ttft_s or 0.0)
            return [note for note in of.notes if "in 3 turns in a row" in note], slowest.name

        for number in range(IN_A_ROW):
            assert (await turn(number))[0] == []
        delay_s[0] = 0.3
        for number in range(MOST_TURNS):  # on a busy machine a turn may be without enough values
            named, slowest = await turn(number)
            if named:
                break
        assert len(named) == 1 and named[0].startswith(f"a, 4 streams: worker {slowest}: TTFT p50 ")


@contextlib.asynccontextmanager
async def relay(url: str, key: str) -> AsyncIterator[tuple[str, list[float]]]:
    """Pass on connections. Yields the URL, and by how much a request with this key is late (s), which may be set."""
    to = urlsplit(url)
    delay_s = [0.0]

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if key.encode() in data:
                    await asyncio.sleep(delay_s[0])
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(to.hostname, to.port)
        await asyncio.gather(copy(reader, forth), copy(back, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", delay_s
