"""A client that connects late to a long run receives all of it, in pieces and once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtui.link.client import Client
from llmtui.link.server import LinkServer
from llmtui.link.since import HELLO_ITERATIONS
from llmtui.model import (
    AnyEvent,
    BackendState,
    Hello,
    Iteration,
    IterationDone,
    Machine,
    Note,
    RequestBatch,
    Requests,
    RunState,
    TurnDone,
)
from llmtui.runview.run import RunView
from llmtui.store.errors import StoreError
from tests import build
from tests.store.turns import load_plan, requests, turn

PLAN = build.plan("a")


def iteration(number: int) -> Iteration:
    # Longer than one read.
    text = "x" * (200_000 if number == 2 else 20)
    return build.iteration("a", number, number / 8, text=text)


@pytest.mark.parametrize("count", [0, 1, HELLO_ITERATIONS, HELLO_ITERATIONS + 1, 3 * HELLO_ITERATIONS + 7])
async def test_late_client_receives_earlier_iterations_first(tmp_path: Path, count: int) -> None:
    past = [iteration(n) for n in range(count)]
    states = [BackendState(name="a")]

    def hello() -> Hello:
        return Hello(plan=PLAN, machine=Machine(), run=RunState(), backends=states, iterations=list(past))

    connected = asyncio.Event()
    link = LinkServer(tmp_path / "s", hello, lambda command: None, lambda watched: connected.set())
    await link.open()
    run_view = RunView(PLAN)
    longest = 0
    try:
        async with await Client.connect(tmp_path / "s") as client:
            await connected.wait()
            # Emitted while earlier iterations are still being sent.
            link.emit(IterationDone(iteration=iteration(count)))
            events: list[AnyEvent] = []
            async for event in client.events():
                events.append(event)
                longest = max(longest, len(getattr(event, "iterations", ())))
                run_view.apply(event)
                if isinstance(event, IterationDone):
                    break
    finally:
        await link.close()
    assert isinstance(events[0], Hello)
    assert longest <= HELLO_ITERATIONS
    assert run_view.backends["a"].iterations == [*past, iteration(count)]


@pytest.mark.parametrize("count", [1, HELLO_ITERATIONS + 1, 3 * HELLO_ITERATIONS + 7])
async def test_late_client_receives_all_turns_in_pieces(tmp_path: Path, count: int) -> None:
    plan = load_plan(1, 8)
    past = [turn(seq) for seq in range(1, count + 1)]
    states = [BackendState(name="a")]

    def hello() -> Hello:
        return Hello(plan=plan, machine=Machine(), run=RunState(), backends=states, turns=list(past))

    connected = asyncio.Event()
    link = LinkServer(tmp_path / "s", hello, lambda command: None, lambda watched: connected.set())
    await link.open()
    run_view = RunView(plan)
    longest = 0
    try:
        async with await Client.connect(tmp_path / "s") as client:
            await connected.wait()
            link.emit(TurnDone(turn=turn(count + 1)))
            async for event in client.events():
                longest = max(longest, len(getattr(event, "turns", ())))
                run_view.apply(event)
                if isinstance(event, TurnDone):
                    break
    finally:
        await link.close()
    assert [each.seq for each in run_view.backends["a"].turns] == list(range(1, count + 2))
    assert longest == min(count, HELLO_ITERATIONS)


async def test_requests_of_a_turn_go_to_the_client_that_asked(tmp_path: Path) -> None:
    """As fast as it reads, in messages of bounded length."""
    samples = requests(random.Random(1), 3_000, 64)
    read = 0

    def of_turn(command: Requests) -> Iterator[tuple[int, list[Iteration]]]:
        nonlocal read
        if command.place is not None:
            yield 3_000, samples[command.place : command.place + 1]
            return
        for start in range(0, len(samples) if command.turn == 1 else 0, 500):
            read += 1
            yield 3_000, samples[start : start + 500]
        if command.turn == 3:
            raise StoreError("the history is locked")

    def hello() -> Hello:
        return Hello(plan=load_plan(), machine=Machine(), run=RunState(), backends=[BackendState(name="a")])

    link = LinkServer(tmp_path / "s", hello, lambda command: None, lambda watched: None, of_turn)
    await link.open()
    try:
        async with await Client.connect(tmp_path / "s") as client, await Client.connect(tmp_path / "s") as other:
            events = client.events()
            assert isinstance(await anext(events), Hello)
            await client.send(Requests(backend="a", turn=1))
            got: list[Iteration] = []
            single: list[Iteration] = []
            while isinstance(batch := await anext(events), RequestBatch) and (
                not batch.last or batch.place is not None
            ):
                if batch.place is not None:
                    single += batch.samples
                    continue
                assert len(batch.samples) <= 64 and batch.total == 3_000
                if not got:
                    assert read <= 3, "the engine reads ahead of the client"
                    await client.send(Requests(backend="a", turn=1, place=7))
                got += batch.samples
            assert got == samples and read == 6, "another request did not end the answer"
            assert single == samples[7:8]
            await client.send(Requests(backend="a", turn=2))
            assert await anext(events) == RequestBatch(backend="a", turn=2, last=True)
            await client.send(Requests(backend="a", turn=3))
            assert await anext(events) == RequestBatch(backend="a", turn=3, last=True, problem="the history is locked")
            link.emit(Note(text="to all"))
            others = other.events()
            assert [type(await anext(others)) for _ in range(2)] == [Hello, Note]
    finally:
        await link.close()
