"""What is said of workers on one machine, and of another run on the machine of a worker."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from llmtui.cluster import task
from llmtui.cluster.host import Host
from llmtui.cluster.messages import Answer, Greet, decode_answer, encode
from llmtui.cluster.sharing import disturbed, together
from llmtui.load.marks import VARIABLE, Mark, marked_runs
from tests.cluster.helpers import Dask, dask, needs_dask, watched
from tests.load.helpers import slice_for, truth

needs_marks = pytest.mark.skipif(
    not Path("/proc/self/net/unix").exists(), reason="only Linux has names of sockets that no file stands for"
)


class On(NamedTuple):
    """A worker on a machine."""

    name: str
    boot: str
    cores: int = 4
    others: int = 0


def test_workers_on_one_machine_are_named_and_too_many_are_a_warning() -> None:
    assert together([On("a", "1"), On("b", "2"), On("c", ""), On("d", "")]) == [], (
        "workers on unknown machines are not taken to share one"
    )
    [note, warning] = together([On("a:1", "1"), On("b:1", "2", 1), On("a:2", "1"), On("b:2", "2", 1)])
    assert (note.text, note.level) == ("2 workers (a:1, a:2) are on one machine and share its 4 cores", "info")
    assert warning.text == (
        "2 workers (b:1, b:2) are on one machine, which has 1 core, so they wait for one another; start fewer of them "
        "there"
    )
    assert warning.level == "warning"


def test_another_run_is_named_with_the_workers_that_it_disturbs() -> None:
    assert disturbed([On("a", "1")]) is None
    note = disturbed([On("a", "1", others=1), On("b", "2"), On("c", "3", others=2)])
    assert note is not None and note.text == (
        "another run measures on the machines of a, c too: the two disturb each other"
    )


@needs_marks
def test_a_mark_is_seen_until_it_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = secrets.token_hex(4)
    mark, again = Mark(run), Mark(run)
    mark.set(False)
    assert run not in marked_runs()
    for each in (mark, mark, again):  # several workers of one run are one run
        each.set(True)
    assert run in marked_runs()
    mark.set(False)
    assert run in marked_runs()
    again.set(False)
    assert run not in marked_runs()
    monkeypatch.delenv(VARIABLE)
    lines = b"0: 2 0 0 2 1 7 @llmtui-measures/%s\n" * 3 % (b"abcdef01/00000001", b"../../etc/x", b"abcdef02/00000001 x")
    (tmp_path / "self/net").mkdir(parents=True)
    (tmp_path / "self/net/unix").write_bytes(b"Num Path\n" + lines)
    assert marked_runs(tmp_path) == {"abcdef01"}, "anybody can give a socket a name"
    assert marked_runs(tmp_path / "none") == set()


async def others_of(token: str) -> int:
    answer: Answer = decode_answer(await task.answer(token, encode(Greet())))
    return answer.others


async def test_only_what_measures_for_another_run_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    marked: set[str] = set()
    monkeypatch.setattr(task, "marked_runs", lambda: marked)
    ours, halted, idle, theirs = (Host("here", lambda: True, run=run) for run in ("a", "a", "b", "c"))
    monkeypatch.setattr(task, "_hosts", {"ours": ours, "halted": halted, "idle": idle, "theirs": theirs})
    try:
        halted._open = 1
        assert await others_of("ours") == 0, "neither what is left of this run, nor a run that waits"
        theirs._open = 1
        assert await others_of("ours") == 1
        marked |= {"a", "c", "d"}  # here, and by two other programs
        assert await others_of("ours") == 2
        theirs._open, theirs._measured_s = 0, 0.0
        assert await others_of("ours") == 2, "it is still marked"
    finally:
        for host in (ours, halted, idle, theirs):
            host._spool.close()


@needs_dask
@needs_marks
@pytest.mark.slow
async def test_a_run_by_another_scheduler_is_named_in_the_note_and_in_the_figures(
    cluster: Dask, tmp_path: Path
) -> None:
    async with dask(tmp_path, 1) as other, truth(ttft_ms=5, itl_ms=1) as url, watched(cluster) as ours:
        done = await ours.run_whole(slice_for(url, streams=2, requests=20))
        assert done.error is None
        async with watched(other) as theirs:
            begun = asyncio.Event()
            turn = asyncio.create_task(
                theirs.run(
                    slice_for(url, streams=2, requests=10**6),
                    lambda pulse: begun.set() if pulse.finished > 5 else None,
                )
            )
            await asyncio.wait_for(begun.wait(), 60)
            done = await ours.run_whole(slice_for(url, streams=2, requests=20))
            turn.cancel()
            await asyncio.gather(turn, return_exceptions=True)
        assert done.error is None and all(each.others >= 1 for each in done.by_worker)
        names = ", ".join(each.name for each in done.by_worker)
        said = f"another run measures on the machines of {names} too: the two disturb each other"
        assert said in ours.others


@needs_dask
@pytest.mark.slow
async def test_a_task_that_does_not_halt_is_ended_at_once_and_before_the_next(cluster: Dask) -> None:
    async with truth(ttft_ms=5, itl_ms=1) as url, watched(cluster) as of:
        begun = asyncio.Event()
        turn = asyncio.create_task(
            of.run(slice_for(url, streams=2, requests=10**6), lambda pulse: begun.set() if pulse.finished > 5 else None)
        )
        await asyncio.wait_for(begun.wait(), 60)
        measuring = cluster.measuring()
        for process in measuring:
            process.suspend()  # it cannot halt, and would go on later
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)
        _, alive = await asyncio.to_thread(psutil.wait_procs, measuring, 25)  # the engine is silent for 30 s
        assert len(measuring) == 2 and alive == [], "without another turn"
        done = await of.run_whole(slice_for(url, streams=2, requests=20))
        assert done.error is None, "else each waits for the only thread of its Dask worker"
