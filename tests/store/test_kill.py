"""Runs a writer to a history and kills it at random moments: what it reported as saved can always be read."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from llmtui.store import schema
from llmtui.store.open import open_store
from tests.store.killed import ITERATIONS, UPGRADE_STEPS, batches, forked, saved
from tests.store.runs import MACHINE, iteration, plan

#: A save takes less than this, so kills land before, during and after it.
WITHIN_S = 0.002


def killed(chance: random.Random, most_lines: int, *arguments: str) -> list[str]:
    """Start a process, kill it a moment after a random number of lines. Returns all lines that it printed."""
    pid, printed = forked(*arguments)
    with printed:
        try:
            lines = [printed.readline() for _ in range(chance.randint(0, most_lines))]
            # time.sleep is not precise enough.
            until = time.perf_counter() + chance.uniform(0, WITHIN_S)
            while time.perf_counter() < until:
                pass
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        lines += printed.readlines()
    return [line.strip() for line in lines if line.endswith("\n")]


def kill_writers(folder: Path, times: int, seed: int) -> None:
    """Kill `times` writers to one history, and check the file after each."""
    chance = random.Random(seed)
    file = folder / "history.db"
    cut_short = 0
    for number in range(times):
        run = f"{number:08x}"
        lines = killed(chance, 40, "write", str(file), run)
        reported = [int(line) for line in lines if line.isdecimal()]
        store, notes = open_store(file)
        with store:
            assert notes == [], "the file was not readable"
            # A writer killed early has not recorded its run yet.
            begun = [row.run for row in store.runs() if row.run == run]
            assert begun or not reported
            if begun:
                assert store.mark_dead() == [run]
                stored = store.load(run).iterations
                assert stored == [saved(run, n) for n in range(1, len(stored) + 1)]
                # One more may have been saved than was reported, never one less.
                assert len(reported) <= len(stored) <= len(reported) + 1
                cut_short += len(stored) < ITERATIONS
    # Most writers were killed before their end.
    assert cut_short > times / 2
    store, _ = open_store(file)
    with store:
        assert {row.state for row in store.runs(times)} == {"died"}
        assert store._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert [f.name for f in folder.iterdir()] == ["history.db"]


@pytest.mark.slow
def test_what_was_saved_survives_60_kills(tmp_path: Path) -> None:
    kill_writers(tmp_path, 60, seed=int(os.environ.get("LLMTUI_TEST_SEED", "2")))


@pytest.mark.slow
def test_turns_that_were_reported_survive_12_kills_with_all_their_requests(tmp_path: Path) -> None:
    """Of the turn under way some batches may be there: it is partial."""
    chance = random.Random(4)
    file, partial = tmp_path / "history.db", 0
    for number in range(12):
        run = f"{number:08x}"
        reported = [int(line) for line in killed(chance, 90, "load", str(file), run) if line.isdecimal()]
        store, _ = open_store(file)
        with store:
            if not store.mark_dead():
                assert not reported
                continue
            turns = store.load(run).turns
            whole = [each.seq for each in turns if each.state == "whole"]
            assert whole[: len(reported)] == reported and len(whole) <= len(reported) + 1
            assert [each.state for each in turns] in (["whole"] * len(whole), [*["whole"] * len(whole), "partial"])
            for each in turns:
                read = [(s.request, s.arrivals_ns, s.text) for batch in store.requests(each) for s in batch]
                every = [(s.request, s.arrivals_ns, s.text) for batch in batches(each.seq) for s in batch]
                assert read == every[: len(read)] and len(read) % 20 == 0
                assert each.state == "partial" or read == every
                partial += each.state == "partial" and bool(read)
    assert partial, "every kill came between two turns"


@pytest.mark.slow
def test_a_killed_upgrade_leaves_the_old_or_the_new_schema(tmp_path: Path) -> None:
    """And a copy with its final name is complete."""
    chance = random.Random(3)
    original = tmp_path / "original.db"
    texts = ["x" * 5000] * 30
    store, _ = open_store(original)
    with store:
        store.begin(plan(), MACHINE)
        for number, text in enumerate(texts, start=1):
            store.save_iteration(iteration(number=number, text=text))
    before = contents(original)[0]
    versions: list[int] = []
    for number in range(12):
        file = tmp_path / str(number) / "history.db"
        file.parent.mkdir()
        shutil.copy(original, file)
        lines = killed(chance, UPGRADE_STEPS + 2, "upgrade", str(file))
        version, now = contents(file)
        after = before + UPGRADE_STEPS
        assert version == after if "up" in lines else version in (before, after)
        assert now == [text + "!" * (version - before) for text in texts]
        for copy in file.parent.glob(f"history.db.v{before}-*"):
            assert contents(copy) == (before, texts)
        versions.append(version)
        if version == before:
            open_store(file)[0].close()
    assert len(set(versions)) == 2, "every kill came too early, or every kill too late"


def contents(file: Path) -> tuple[int, list[str]]:
    """The schema's version and the texts, read without `open_store`."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        texts = [row[0] for row in connection.execute("SELECT text FROM iterations ORDER BY iteration")]
        return schema.version(connection), texts
