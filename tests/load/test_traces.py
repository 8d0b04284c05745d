"""A trace against a real server: each request is sent at its time, scaled, and the turn ends with the trace."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from llmtui.config.traces import send_times, with_trace
from llmtui.load.messages import Slice
from llmtui.model import Load
from tests.load.helpers import run_slice, share, slice_for, truth, window


def slice_of_trace(url: str, folder: Path, **load: float) -> Slice:
    random.seed(3)
    at, lines = 0.0, []
    for _ in range(40):
        lines.append(f'{{"timestamp": {at:.0f}}}\n')
        at += random.expovariate(1 / 60)
    path = folder / "day.jsonl"
    path.write_text("".join(lines))
    of = with_trace(Load(trace=str(path), **load))  # type: ignore[arg-type]
    turn = of.trace_turn
    assert turn is not None
    base = slice_for(url, requests=turn.requests, duration_s=turn.window_s, settle=turn.settle)
    return msgspec.structs.replace(base, level=of.levels[0], trace=turn)


async def test_requests_are_sent_at_the_times_of_the_trace_and_the_turn_ends_with_it(tmp_path: Path) -> None:
    async with truth(ttft_ms=20, itl_ms=2) as url:
        of = slice_of_trace(url, tmp_path, time_scale=2.0)
        samples, done = await run_slice(of)
    assert done.error is None and all(sample.ok for sample in samples)
    assert [s.due_s for s in samples] == [at / 2 for at in send_times(of.level.trace)]
    assert [len(share(samples, name)) for name in ("settling", "window", "tail")] == [5, 35, 0]
    low, high = window(done)
    assert 35 / (high - low) == pytest.approx(of.level.rate, rel=0.01)


async def test_after_the_first_part_the_trace_goes_on_until_its_answers_have_ended(tmp_path: Path) -> None:
    async with truth(ttft_ms=200, itl_ms=2) as url:
        samples, done = await run_slice(slice_of_trace(url, tmp_path, requests=14))
    assert done.error is None
    assert [len(share(samples, name)) for name in ("settling", "window")] == [2, 14]
    assert share(samples, "tail")


async def test_a_trace_that_changed_since_the_run_began_is_not_sent(tmp_path: Path) -> None:
    of = slice_of_trace("http://127.0.0.1:9", tmp_path)
    (tmp_path / "day.jsonl").write_text('{"timestamp": 1}\n{"timestamp": 2}\n')
    samples, done = await run_slice(of)
    assert not samples and done.error is not None
    assert (done.error.kind, "has changed since this run began" in done.error.message) == ("missing", True)
