"""A client that connects late to a long run receives all of it, in pieces and once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from llmtui.link.client import Client
from llmtui.link.server import HELLO_ITERATIONS, LinkServer
from llmtui.model import (
    AnyEvent,
    BackendState,
    Hello,
    Iteration,
    IterationDone,
    Machine,
    RunState,
)
from llmtui.runview.run import RunView
from tests import build

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
