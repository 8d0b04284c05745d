"""SIGTERM or SIGKILL to any process of a run: no process is left, no iteration is lost, and it is reported."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import pytest

from llmtui.store.open import open_store
from tests.bench.kills import BOUND_S, WHICH, Trial, gone, key, kills, write_config
from tests.leftovers import command_line

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("which", "monitor", "words", "status", "state"),
    [
        ("monitor", True, rb"run \w{8} goes on; to reopen it: llmtui attach", 0, "done"),
        ("monitor", False, rb"llmtui: interrupted; stopping the servers", 130, "stopped"),
        ("engine", False, rb"llmtui: the engine ended before the run was complete", 1, "stopped"),
        ("engine", True, rb"llmtui: the engine has exited; the run was not done", 1, "stopped"),
        ("guard", False, rb"llmtui: (one|two): .*the server ended", 1, "done"),
        ("server", False, rb"llmtui: (one|two): .*the server ended: killed by signal 15 \(SIGTERM\)", 1, "done"),
    ],
)
async def test_sigterm(which: str, monitor: bool, words: bytes, status: int, state: str, short_path: Path) -> None:
    write_config(short_path)
    trial = Trial(short_path, with_monitor=monitor)
    listener = asyncio.create_task(trial.listen())
    try:
        async with asyncio.timeout(BOUND_S):
            async with trial.count:
                await trial.count.wait_for(lambda: len(trial.received) >= 3)
            (await trial.victim(which)).send_signal(signal.SIGTERM)
            await listener
            if which == "engine" and monitor:
                # Before that, `q` leaves a run that was stopped, and the monitor does not know why.
                await trial.shown(b"the engine has exited")
            await trial.leave()
        left = [command_line(p) for p in await asyncio.to_thread(gone, trial.processes())]
    finally:
        listener.cancel()
        trial.close()
    assert left == []
    store, notes = open_store(trial.store)
    with store:
        assert notes == []
        assert store.mark_dead() == []
        run = store.load(trial.run)
    assert run.state == state
    stored = {key(i): i for i in run.iterations}
    assert {name: stored.get(name) for name in trial.received} == trial.received
    assert re.search(words, trial.output), trial.output[-2000:]
    assert trial.status == status


def test_sigkill_loses_nothing(short_path: Path) -> None:
    for outcome in kills(2 * len(WHICH), WHICH, seed=7, folder=short_path):
        assert (outcome.lost, outcome.left, outcome.readable, outcome.problem) == (0, [], True, ""), outcome
