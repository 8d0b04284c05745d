"""Searches in a real engine: which levels get turns, what is found, and the commands of a client meanwhile."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmtui.model import Backend, More, Pause, Plan, Rerun, Resume, Search, Slo, Stop, TurnDone
from llmtui.runview.run import RunView
from llmtui.runview.search import found_of, search_sentences, search_text
from llmtui.text.format import plural
from tests.engine.helpers import (
    Followed,
    assert_gone,
    ended,
    engine_for,
    from_history,
    jobs_of,
    load_of,
    notes_of,
    process_tree,
    started,
    truth_backend,
)

ROOT = Path(__file__).parents[2]
#: A long gap between tokens, and a TTFT that is a small part of an answer: no slot is idle for long.
SLOTS_2 = ["--itl-ms", "8", "--slots", "2"]
SLOTS_4 = ["--itl-ms", "8", "--slots", "4"]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history of each test is its own."""
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "history.db"))


def search_of(*backends: Backend, kind: Search = "knee", until: int = 8, slo: Slo | None = None, **config: Any) -> Plan:
    """A search whose probes have 3 rounds."""
    plan = load_of(*backends, concurrency=[1, until], **({"iterations": 3, "warmup": 1, "max_tokens": 8} | config))
    load = msgspec.structs.replace(plan.load, search=kind)
    return msgspec.structs.replace(plan, load=load, slo=slo or Slo())


def probed(run: Followed, name: str = "") -> list[int]:
    """The levels that had measured turns, in their order. Up to 8 streams a level's number is that of its streams."""
    return list(dict.fromkeys(job[2] for job in jobs_of(run, name) if job[0] == "measured"))


@pytest.mark.slow
async def test_backends_share_the_levels_that_they_want_and_each_finds_its_knee() -> None:
    plan = search_of(truth_backend("two", arguments=SLOTS_2), truth_backend("four", arguments=SLOTS_4))
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        assert {name: view.state.state for name, view in run_view.backends.items()} == {"two": "done", "four": "done"}
        for name, slots in (("two", 2), ("four", 4)):
            levels = probed(run, name)
            assert levels[:3] == [1, 2, 4] and len(levels) <= plan.load.most_levels
            jobs = [job[:3] for job in jobs_of(run, name)]
            # A warm-up turn comes before the rounds of each level.
            assert [job for job in jobs if job[2] == 2] == [("warmup", 1, 2), *(("measured", n, 2) for n in (1, 2, 3))]
            knee = found_of(run_view, name).knee
            assert knee is not None and knee.low <= slots <= knee.high, knee
            assert search_text(run_view, name) == f"knee {knee.streams} ({knee.low} to {knee.high})"
        turns = [e.turn for e in run.events if isinstance(e, TurnDone) and e.turn.phase == "measured"]
        shared = [turn for turn in turns if turn.level in (1, 2, 4)]
        pairs = list(zip(shared[::2], shared[1::2], strict=True))
        assert all({one.backend, two.backend} == {"two", "four"} and one.round == two.round for one, two in pairs)
        assert (run_view.run.finished, run_view.run.at_most) == (run_view.run.total, False)
        assert run_view.notes[0].text.startswith(
            "search for the knee from 1 to 8 streams: at most 8 probes of 3 rounds of"
        )
        assert search_sentences(run_view) == search_sentences(from_history(plan))
        assert not run_view.failed
        await run.client.send(More(within=0.01, metric="output_tokens_per_s", most=10))
        await run.until(lambda _: any("a search gets no more rounds" in note for note in notes_of(run)))


@pytest.mark.slow
async def test_the_most_streams_that_keep_an_objective() -> None:
    # An answer takes 61 ms. From 3 streams on a request waits for the rest of one.
    plan = search_of(
        truth_backend("a", arguments=SLOTS_2), kind="slo", until=8, slo=Slo(ttft_s=0.03, share=0.5), iterations=4
    )
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        most = found_of(run_view, "a").most
        # On a busy machine some requests are late at 2 streams too, which then stay undecided.
        assert most is not None and most.answers[1] == "yes" and most.answers.get(2) != "no", most
        assert most.kept in (1, 2, 3) and most.missed != 2, most
        assert search_sentences(run_view)[0].startswith(f"a keeps the objectives up to {plural(most.kept, 'stream')} (")


@pytest.mark.slow
async def test_a_level_at_which_the_server_fails_ends_the_search_there() -> None:
    words = [sys.executable, "-m", "tests.engine.frail", "--port", "{port}", "--most", "3", "--then", "exit"]
    command = f"cd {shlex.quote(str(ROOT))} && exec {shlex.join(words)}"
    plan = search_of(Backend(name="frail", launch=["sh", "-c", command], model="m"))
    async with engine_for(plan) as run:
        run_view = await run.until_done()
        # 3 is the largest candidate that is left, and its server is another one.
        assert [job[2] for job in jobs_of(run) if job[0] == "warmup"][:4] == [1, 2, 4, 3]
        found = found_of(run_view, "frail")
        assert run_view.backends["frail"].state.state == "done"
        assert found.knee is not None and found.knee.failed_at == 4
        assert search_sentences(run_view)[0].endswith("; the server failed at 4 streams")


@pytest.mark.slow
async def test_a_rerun_searches_again_from_the_start_and_a_stop_ends_it() -> None:
    plan = search_of(truth_backend("a", arguments=["--slots", "1"]), truth_backend("b", arguments=["--slots", "1"]))
    async with engine_for(plan) as run:
        await run.until(lambda _: 2 in probed(run, "a"))
        await run.client.send(Pause())
        await run.until(lambda view: view.run.phase == "paused")
        await run.client.send(Rerun(backend="a"))
        await run.client.send(Stop(backend="b"))
        await run.client.send(Resume())
        await run.until(lambda view: view.backends["a"].state.attempt == 2)
        run_view = await run.until_done()
        second = [e.turn for e in run.events if isinstance(e, TurnDone) and e.turn.attempt == 2]
        levels = list(dict.fromkeys(turn.level for turn in second if turn.phase == "measured"))
        assert levels[:2] == [1, 2]
        assert run_view.backends["b"].state.state == "stopped"
        assert found_of(run_view, "a").over and found_of(run_view, "a").knee is not None


@pytest.mark.slow
async def test_a_resumed_search_goes_on_at_its_probe() -> None:
    plan = search_of(truth_backend("a", arguments=SLOTS_2), on_disconnect="finish")
    run = await started(plan, resume=False)
    await run.until(lambda _: ("measured", 1, 2, "whole") in jobs_of(run))
    tree = process_tree(run.engine.pid)
    os.kill(run.engine.pid, signal.SIGKILL)
    await run.client.close()
    assert_gone(tree)
    again = await started(plan, resume=True)
    try:
        run_view: RunView = await again.until_done()
        await ended(again)
    finally:
        again.engine.kill()
        run.engine.kill()
    assert probed(again)[0] == 2 and 1 not in probed(again), "the first level is not measured again"
    knee = found_of(run_view, "a").knee
    assert knee is not None and knee.low <= 2 <= knee.high
