"""A line that is open again brings only what is new, whatever the versions at its ends, and nothing twice."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from pathlib import Path

import msgspec
import pytest

from llmtui.link.bridge import only_new
from llmtui.link.line_messages import Join, Joined
from llmtui.link.remote import RemoteLink
from llmtui.link.since import Received, pieces, rest_of
from llmtui.link.ssh import Line
from llmtui.model import Earlier, Failure, Hello, IterationDone, RunState, Since, TurnDone
from llmtui.runview.run import RunView
from llmtui.ui.views.log import RunLog
from tests import build
from tests.link.stand_ins import LongRun, machine_of
from tests.store.turns import load_plan, turn

encode = msgspec.json.encode


def hello_of(iterations: int, turns: int) -> Hello:
    return Hello(
        plan=load_plan(1, 8),
        machine=build.machine(),
        run=RunState(),
        backends=[build.state("a"), build.state("b")],
        iterations=[build.iteration("ab"[n % 2], n + 1, phase="warmup") for n in range(iterations)],
        turns=[turn(seq) for seq in range(1, turns + 1)],
    )


@pytest.mark.parametrize("seed", range(20))
def test_what_is_left_out_is_what_was_received(seed: int) -> None:
    chance = random.Random(seed)
    whole = hello_of(chance.randrange(200), chance.randrange(200))
    now = msgspec.structs.replace(whole, iterations=[*whole.iterations, build.iteration("a", 999)])
    received, run_view = Received(), RunView(whole.plan)
    events = list(pieces(rest_of(whole, None)))
    for event in events[: chance.randrange(len(events) + 1)]:
        received.add(event)
        run_view.apply(event)
    again = list(pieces(rest_of(now, received.since)))
    for event in again:
        received.add(event)
        run_view.apply(event)
    straight = build.run_view(whole.plan, *pieces(now))
    for name, view in straight.backends.items():
        assert run_view.backends[name].iterations == view.iterations
        assert run_view.backends[name].turns == view.turns
        assert run_view.backends[name].summary == view.summary
    assert received.since == Since(
        iterations=len(now.iterations),
        turns=len(now.turns),
        iteration="1 measured 999 0 2026-11-22T12:16:39Z a",
        turn=received.since.turn if received.since is not None else "",
    )


def test_other_results_than_those_that_were_received_are_sent_whole() -> None:
    received = Received()
    received.add(hello_of(3, 2))
    have = received.since
    assert have is not None
    assert rest_of(hello_of(3, 2), have).skipped == 5
    other = hello_of(3, 2)
    other.iterations[2] = build.iteration("a", 77)
    for hello in (other, hello_of(2, 2), hello_of(3, 1)):
        assert rest_of(hello, have) == msgspec.structs.replace(hello, skipped=0)
    assert rest_of(other, Since(iterations=-1, iteration=have.iteration)).skipped == 0


@pytest.mark.slow
async def test_a_reconnect_to_a_long_run_takes_few_bytes(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_path))
    run, machine = LongRun("1a2b3c4d", 5_000), machine_of(short_path, monkeypatch)
    arrived: list[int] = [0]
    plain_read = Line.read

    async def counted(line: Line) -> bytes:
        data = await plain_read(line)
        arrived[-1] += len(data)
        return data

    monkeypatch.setattr(Line, "read", counted)
    async with run.listening():
        line = await asyncio.to_thread(Line.open, machine)
        joined = await asyncio.to_thread(line.ask, Join(run=run.plan.run))
        assert isinstance(joined, Joined)
        link, run_view, hellos = RemoteLink(line, joined.run, ""), RunView(run.plan), 0

        def down(reason: str) -> None:
            if reason and len(arrived) == 1:
                arrived.append(0)
                run.go_on(3)

        link.on_line = down
        async for event in link.events():
            run_view.apply(event)
            hellos += isinstance(event, Hello)
            total = sum(len(view.iterations) for view in run_view.backends.values())
            if total == 5_000 and run_view.backlog is None and hellos == 1:
                line.end()
            if total == 5_003:
                break
        await link.close()
        await asyncio.to_thread(link.end, 0.0)
    assert hellos == 2
    whole, again = arrived
    assert whole > 5_000 * 100
    assert again < 10_000, f"{again} bytes after {whole}"
    for number, name in enumerate("ab"):
        assert run_view.backends[name].iterations == run.iterations[number::2]


@pytest.mark.parametrize("knows", [True, False])
def test_an_older_engine_sends_everything(knows: bool) -> None:
    whole = hello_of(3, 0) if not knows else rest_of(hello_of(3, 0), None)
    received = Received()
    received.add(whole)
    have = received.since
    assert have is not None
    near, far = socket.socketpair()
    asked: list[bytes] = []

    def engine() -> None:
        far.sendall(encode(whole) + b"\n" + encode(Earlier(iterations=[])) + b"\n")
        if knows:
            asked.append(far.recv(4096))
            far.sendall(encode(IterationDone(iteration=whole.iterations[0])) + b"\n")
            far.sendall(encode(rest_of(hello_of(4, 0), have)) + b"\n")

    thread = threading.Thread(target=engine)
    thread.start()
    try:
        near.settimeout(20)
        first = msgspec.json.decode(only_new(near, have).split(b"\n")[0], type=Hello)
        thread.join(20)
    finally:
        near.close()
        far.close()
    if knows:
        assert msgspec.json.decode(asked[0], type=Since) == have
        assert (first.skipped, len(first.iterations)) == (3, 1)
    else:
        assert (first.skipped, len(first.iterations)) == (None, 3)


def test_a_line_to_an_older_version_starts_the_run_from_the_beginning() -> None:
    # It does not know `have`, and the hello of its engine does not say what it skipped.
    asked = encode(Join(run="1a2b3c4d", again=True, have=Since(iterations=5)))

    class OlderJoin(msgspec.Struct, tag="join", tag_field="line"):
        run: str | None = None
        again: bool = False

    assert msgspec.json.decode(asked, type=OlderJoin).run == "1a2b3c4d"
    whole = hello_of(5, 0)
    run_view = build.run_view(whole.plan, whole, whole)
    assert sum(len(view.iterations) for view in run_view.backends.values()) == 5


def test_the_log_has_every_failure_once_after_a_reconnect() -> None:
    failed = [
        build.iteration("a", number, None, error=Failure(kind="timeout", message=f"failure {number}"))
        for number in (1, 2, 3)
    ]
    whole = msgspec.structs.replace(hello_of(0, 0), iterations=failed[:1])
    log, run_view, received = RunLog(), RunView(whole.plan), Received()

    def take(event: Hello | IterationDone) -> None:
        received.add(event)
        log.record(event, run_view)
        run_view.apply(event)
        if isinstance(event, Hello):
            log.recall(event, run_view)
            log.merge()

    take(whole)
    take(IterationDone(iteration=failed[1]))
    take(rest_of(msgspec.structs.replace(whole, iterations=failed), received.since))
    text = " ".join(entry.text for entry in log.entries)
    assert [text.count(f"failure {number}") for number in (1, 2, 3)] == [1, 1, 1]


def test_a_turn_that_ended_while_the_line_was_down_is_new() -> None:
    received = Received()
    received.add(hello_of(2, 3))
    received.add(TurnDone(turn=turn(4)))
    rest = rest_of(hello_of(2, 6), received.since)
    assert (rest.skipped, [one.seq for one in rest.turns], rest.iterations) == (6, [5, 6], [])
