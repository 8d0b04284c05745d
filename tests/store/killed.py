"""Processes to be killed. They are forked, as most of the time of a new one is its imports."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
import time
import traceback
from typing import TextIO

import msgspec

from llmtui.engine.recorder import Recorder
from llmtui.model import Iteration
from llmtui.store import schema
from llmtui.store.open import open_store
from tests.store.runs import MACHINE, iteration, plan
from tests.store.turns import load_plan, requests, turn

ITERATIONS = 400
#: Batches of a turn.
BATCHES = 6
UPGRADE_STEPS = 20


def saved(run: str, number: int) -> Iteration:
    """Iteration `number`, now and then large enough for several database pages."""
    arrivals = [150_000_000 + 12_345_678 * n for n in range(64)]
    text = f"{number} " * (20 + 3000 * (number % 7 == 0))
    return iteration(run, number=number, arrivals_ns=arrivals, arrival_tokens=[1] * 64, text=text)


def write(file: str, run: str) -> None:
    """Save iterations. Print "." before each, and its number once it is saved."""
    print("o", flush=True)
    store, notes = open_store(file)
    assert not notes, notes
    store.begin(plan(run, iterations=ITERATIONS), MACHINE)
    for number in range(1, ITERATIONS + 1):
        print(".", flush=True)
        store.save_iteration(saved(run, number))
        print(number, flush=True)


def batches(seq: int) -> list[list[Iteration]]:
    """The requests of a turn, as a worker reports them."""
    samples = requests(random.Random(seq), BATCHES * 20, 8, turn=seq, iteration=seq)
    return [samples[start : start + 20] for start in range(0, len(samples), 20)]


async def record(file: str, run: str) -> None:
    """Record turns as the engine does. Print "." before each batch, and the number of each turn that is on disk."""
    print("o", flush=True)
    recorder = Recorder(load_plan(1, 8, run=run), lambda _: None)
    recorder.begin(file, MACHINE)
    for seq in range(1, 200):
        recorder.save_turn(turn(seq, run=run, round=seq, state="running"))
        for batch in batches(seq):
            print(".", flush=True)
            recorder.save_requests([msgspec.structs.replace(sample, run=run) for sample in batch])
            await asyncio.sleep(0.004)  # as batches come: the thread writes in the middle of a turn
        recorder.save_turn(turn(seq, run=run, round=seq))
        await recorder.written()
        print(seq, flush=True)


def upgrade(file: str) -> None:
    """Open the history with a schema that has many further steps."""

    def step(connection: sqlite3.Connection) -> None:
        connection.execute(f"ALTER TABLE runs ADD COLUMN later_{schema.version(connection)} TEXT")
        connection.execute("UPDATE iterations SET text = text || '!'")
        print(".", flush=True)

    schema.STEPS += [step] * UPGRADE_STEPS
    print("o", flush=True)
    open_store(file)
    print("up", flush=True)


def forked(kind: str, *arguments: str) -> tuple[int, TextIO]:
    """Start a process that runs "write", "load" or "upgrade". Return its PID, and what it prints."""
    reading, writing = os.pipe()
    parent = os.getpid()
    if pid := os.fork():
        os.close(writing)
        return pid, open(reading, encoding="ascii")
    try:
        os.close(reading)
        sys.stdout = open(writing, "w", encoding="ascii")  # noqa: SIM115
        if kind == "load":
            asyncio.run(record(*arguments))
        elif kind == "write":
            write(*arguments)
        else:
            upgrade(*arguments)
        while os.getppid() == parent:  # else the test was killed
            time.sleep(0.1)
    except BaseException:
        traceback.print_exc()
    os._exit(1)
