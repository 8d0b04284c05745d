"""A client that comes late to a long run is told all of it, in pieces, and nothing twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from llmtui.link.client import Client
from llmtui.link.server import HELLO_ITERATIONS, LinkServer
from llmtui.model import (
    AnyEvent,
    Backend,
    BackendState,
    Hello,
    Iteration,
    IterationDone,
    Machine,
    Plan,
    RunConfig,
    RunState,
)
from llmtui.runview.run import RunView

PLAN = Plan(run="r", created_utc="", config=RunConfig(), backends=[Backend(name="a")])


def iteration(number: int) -> Iteration:
    return Iteration(
        run="r", backend="a", attempt=1, iteration=number, phase="measured", started_utc="", latency_s=number / 8,
        # Longer than what is read at a time.
        text="x" * (200_000 if number == 2 else 20),
    )  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, HELLO_ITERATIONS, HELLO_ITERATIONS + 1, 3 * HELLO_ITERATIONS + 7])
async def test_a_late_client_is_told_the_whole_past_and_then_the_present(tmp_path: Path, count: int) -> None:
    past = [iteration(n) for n in range(count)]
    states = [BackendState(name="a")]

    def hello() -> Hello:
        return Hello(plan=PLAN, machine=Machine(), run=RunState(), backends=states, iterations=list(past))

    came = asyncio.Event()
    link = LinkServer(tmp_path / "s", hello, lambda command: None, lambda there: came.set())
    await link.open()
    run_view = RunView(PLAN)
    longest = 0
    try:
        async with await Client.connect(tmp_path / "s") as client:
            await came.wait()
            # Told while the past is still under way.
            link.emit(IterationDone(iteration=iteration(count)))
            told: list[AnyEvent] = []
            async for event in client.events():
                told.append(event)
                longest = max(longest, len(getattr(event, "iterations", ())))
                run_view.apply(event)
                if isinstance(event, IterationDone):
                    break
    finally:
        await link.close()
    assert isinstance(told[0], Hello)
    assert longest <= HELLO_ITERATIONS
    assert run_view.backends["a"].iterations == [*past, iteration(count)]
