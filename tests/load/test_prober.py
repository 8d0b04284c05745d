"""The probe against a real server: short requests beside the load, in none of its figures."""

from __future__ import annotations

import itertools
import random
import statistics

import msgspec

from llmtui.load.messages import Pulse, Slice
from llmtui.load.prompts import Template
from llmtui.model import Failure, Level, Turn
from llmtui.stats.turn_figures import TurnFigures
from tests import build
from tests.load.helpers import in_flight, run_slice, share, slice_for, truth, window


def probed(of: Slice, rate: float) -> Slice:
    body = msgspec.json.encode({**msgspec.json.decode(of.template.body), "max_tokens": 1})
    return msgspec.structs.replace(of, probe_rate=rate, probe=Template(body=body))


async def test_probes_are_beside_the_load_and_count_in_none_of_its_figures() -> None:
    pulses: list[Pulse] = []
    async with truth(ttft_ms=30, itl_ms=5) as url:
        of = probed(slice_for(url, streams=3, settle=3, requests=40, tokens=8), 20.0)
        samples, done = await run_slice(of, pulses.append)
    probes = share(samples, "probe")
    load = [sample for sample in samples if sample.share != "probe"]
    assert done.error is None and len(probes) >= 4
    assert all(probe.ok and probe.output_tokens == 1 and probe.request == 0 for probe in probes)
    assert [sample.request for sample in load] == list(range(1, len(load) + 1))
    assert len(share(samples, "window")) == 40 and max(sample.in_flight or 0 for sample in load) == 3
    assert max(pulse.in_flight for pulse in pulses) <= 3
    # A busy machine needs longer from an answer to the next request; probes would make more than three.
    assert 1.5 < in_flight(load, done) < 3.01
    figures = TurnFigures(of.level)
    for pulse in pulses:
        figures.pulse(pulse.elapsed_s, pulse.in_flight)
    figures.add(samples)
    turn = Turn(run="r", backend="a", attempt=1, phase="measured", round=1, level=1, seq=1, started_utc="",
                **figures.figures(done.window_from_s, done.window_to_s))  # fmt: skip
    assert (turn.requests, turn.finished, turn.settled, turn.output_tokens) == (40, 40, 3, 8)
    assert (turn.probes, turn.probes_failed) == (len(probes), 0)
    assert turn.percentiles["probe"].n == len(probes) and 0.02 < (turn.probe_s or 0) < 2
    without = TurnFigures(of.level)
    for pulse in pulses:
        without.pulse(pulse.elapsed_s, pulse.in_flight)
    without.add(load)
    assert {**figures.figures(done.window_from_s, done.window_to_s), "probe_s": None} | {
        "probes": 0, "probes_failed": 0, "percentiles": {}, "buckets": {}
    } == {**without.figures(done.window_from_s, done.window_to_s), "percentiles": {}, "buckets": {}} | {
        "probes": 0, "probes_failed": 0
    }  # fmt: skip


async def test_probes_feel_the_queue_that_the_load_makes() -> None:
    async with truth(ttft_ms=20, itl_ms=10, slots=1) as url:
        samples, _ = await run_slice(probed(slice_for(url, streams=4, settle=4, requests=24, tokens=6), 10.0))
        alone, _ = await run_slice(probed(slice_for(url, streams=1, settle=1, requests=2, tokens=60), 10.0))
    waits = sorted(sample.ttft_s or 0.0 for sample in share(samples, "probe"))
    assert waits and waits[len(waits) // 2] > 0.15
    assert share(alone, "probe")


async def test_probes_that_are_refused_fail_and_do_not_end_the_turn() -> None:
    async with truth(ttft_ms=30, itl_ms=5, slots=2, queue=0) as url:
        samples, done = await run_slice(probed(slice_for(url, streams=2, settle=2, requests=30, tokens=8), 30.0))
    assert done.error is None
    refused = [sample for sample in share(samples, "probe") if sample.refused]
    assert refused and all(sample.error is not None for sample in refused)


async def test_all_backends_of_a_round_are_probed_at_the_same_times() -> None:
    draw = random.Random("seed/probe")
    dues = list(itertools.accumulate(draw.expovariate(15.0) for _ in range(60)))
    async with truth(ttft_ms=20, itl_ms=5) as url:
        of = probed(slice_for(url, rate=40.0, arrival="constant", requests=60, tokens=4), 15.0)
        for _ in range(2):
            samples, done = await run_slice(of)
            sent = [sample.written_s or 0.0 for sample in share(samples, "probe")]
            late = [at - due for at, due in zip(sent, (due for due in dues if due >= window(done)[0]), strict=False)]
            # A busy machine sends some late. None is early, as probes with other gaps would be.
            assert len(late) > 10 and min(late) >= 0.0 and statistics.median(late) < 1.0


def test_a_probe_that_the_end_of_the_turn_cut_off_says_nothing_of_the_server() -> None:
    failures = [Failure(kind="stopped", message=""), Failure(kind="timeout", message="")]
    figures = TurnFigures(Level(number=1, streams=1))
    base = build.iteration("a", 1, share="probe")
    figures.add([msgspec.structs.replace(base, error=failure) for failure in failures])
    of = figures.figures(0.0, 1.0)
    assert (of["probes"], of["probes_failed"]) == (1, 1)
