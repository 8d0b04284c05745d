"""The figures of a turn: by hand, by brute force, and in bounded memory."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

import msgspec
import pytest

from llmtui.model import Iteration, Level, Percentiles, Slo, Turn
from llmtui.stats.buckets import Buckets
from llmtui.stats.turn_edges import Edges
from llmtui.stats.turn_figures import TurnFigures
from tests.stats.turns import CLOSED, OPEN, closed_turn, failed, sample, within


def figures(samples: list[Iteration], from_s: float | None, to_s: float | None, level: Level = CLOSED) -> Turn:
    """The turn of these samples; its figures must be fields of a turn."""
    made = TurnFigures(level)
    made.add(samples)
    bare = Turn(run="r", backend="a", attempt=1, phase="measured", round=1, level=1, seq=1, started_utc="")
    return msgspec.structs.replace(bare, **made.figures(from_s, to_s))


def test_by_hand() -> None:
    """Two streams, and a window from 10 to 20 s. Most answers have four tokens, one a second from 1 s on."""
    four = [1.0, 2.0, 3.0, 4.0]
    samples = [
        sample(1, "settling", 5.0, four),  # ends before the window
        sample(2, "settling", 7.0, four),  # arrivals at 8, 9, 10, 11: two tokens in the window, 1 s of it
        sample(3, "window", 10.0, four),
        failed(5, "window", 15.0, "timeout", 2.0),
        sample(4, "window", 11.0, [2.0, 4.0, 6.0, 8.0], [2, 1, 1, 2]),  # 13, 15, 17, 19
        failed(7, "window", 18.0, "http", 0.5, refused=1),
        sample(6, "window", 17.0, four),  # 18, 19, 20, 21: two tokens in the window, 3 s of it
        sample(8, "tail", 20.0, four),
    ]
    turn = figures(samples, 10.0, 20.0, Level(number=1, streams=2))
    assert (turn.window_from_s, turn.window_s, turn.settled) == (10.0, 10.0, 2)
    assert (turn.requests, turn.finished, turn.timed_out, turn.refused, turn.failed, turn.unfinished) == (
        5,
        3,
        1,
        1,
        0,
        0,
    )
    assert turn.failure_share == pytest.approx(0.4)
    assert turn.requests_per_s == 3 / 10, "ends of good answers at 11, 14 and 19"
    assert turn.delivered_rate == 5 / 10
    assert turn.output_tokens_per_s == (2 + 4 + 6 + 2) / 10 and turn.stream_tokens_per_s == 0.7
    assert turn.in_flight == pytest.approx((1 + 4 + 8 + 2 + 0.5 + 3) / 10)
    assert (turn.latency_s, turn.ttft_s, turn.ttfo_s) == (4.0, 1.0, 1.0)
    assert (turn.tpot_s, turn.tokens_per_s) == (1.0, 1.0), "3/3, 6/4 and 3/3 s per token"
    assert turn.itl_s == 1.0, "the gaps 1 1 1, 2 2 2 and 1 1 1"
    assert turn.output_tokens == 4
    assert (turn.late_s, turn.waiting_s, turn.scheduled_latency_s, turn.backlog) == (None, None, None, [])
    assert turn.percentiles["itl"] == Percentiles(n=9, p50=1.0)


def test_a_window_far_shorter_than_an_answer_has_no_rates() -> None:
    """Three requests sent at one moment: an answer that happens to end in it would count as 1,000 a second."""
    samples = [sample(1, "settling", 6.0, [1.0, 4.0005]), *(sample(n, "window", 10.0, [1.0, 4.0]) for n in (2, 3, 4))]
    short, long = (figures(samples, 10.0, end, Level(number=1, streams=3)) for end in (10.001, 12.5))
    assert short.short and not long.short
    assert short.window_s == pytest.approx(0.001) and short.latency_s == 4.0
    rates = ("requests_per_s", "output_tokens_per_s", "stream_tokens_per_s", "delivered_rate")
    assert [getattr(short, name) for name in rates] == [None] * 4
    assert None not in [getattr(long, name) for name in rates]


def test_itl_is_the_median_of_all_gaps() -> None:
    """One long answer with short gaps has as many gaps as it has: not one vote."""
    long = sample(1, "window", 0.0, [0.1 + k * 0.01 for k in range(100)])
    short = [sample(k, "window", k, [0.1 + j * 0.5 for j in range(4)]) for k in (2, 3)]
    assert figures([long, *short], 0.0, 10.0).itl_s == pytest.approx(0.01)


def test_open_loop() -> None:
    """Due, waiting for the cap, late, and what follows from them."""
    answers = [
        sample(1, "window", 1.0005, [0.1, 0.2], due_s=1.0, waited_s=0.0, in_flight=1),
        sample(2, "window", 2.25, [0.1, 0.3], due_s=2.0, waited_s=0.2, in_flight=2),
        failed(3, "window", 3.01, "timeout", 5.0, due_s=3.0, waited_s=0.0, in_flight=3),
    ]
    turn = figures(answers, 1.0, 4.0, OPEN)
    assert turn.late_s == pytest.approx(0.01) and turn.late_p99_s == pytest.approx(0.05)
    assert turn.waiting_s == 0.0 and turn.percentiles["waiting"].n == 3
    assert turn.scheduled_latency_s == pytest.approx((0.2005 + 0.55) / 2)
    assert turn.scheduled_ttft_s == pytest.approx((0.1005 + 0.35) / 2)
    assert turn.latency_s == pytest.approx(0.25), "not from when it was due"
    assert turn.in_flight_most == 3 and turn.stream_tokens_per_s is None
    assert turn.backlog == [1, 2 + 10, 2 + 10] and not turn.beyond_capacity, "0.2 s at 50 requests/s wait for the cap"


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("failures", [0.0, 0.3])
def test_window_by_brute_force(seed: int, failures: float) -> None:
    samples, from_s, to_s = closed_turn(seed, failures=failures)
    ended, tokens, busy = within(samples, from_s, to_s)
    turn = figures(samples, from_s, to_s)
    window = [s for s in samples if s.share == "window"]
    length = to_s - from_s
    assert turn.requests_per_s == ended / length
    assert turn.output_tokens_per_s == pytest.approx(tokens / length)
    assert turn.in_flight == pytest.approx(busy / length)
    assert turn.in_flight == pytest.approx(8), "eight streams are never idle here"
    assert turn.delivered_rate == len(window) / length and turn.requests == 80
    good = [s for s in window if s.ok]
    gaps = [b - a for s in good for a, b in itertools.pairwise(s.arrivals_ns)]
    assert turn.itl_s == pytest.approx(statistics.median(gaps) / 1e9)
    for name in ("latency", "ttft", "tpot"):
        values = sorted(getattr(s, f"{name}_s") for s in good)
        assert getattr(turn, f"{name}_s") == pytest.approx(statistics.median(values))
        assert Buckets.decoded(turn.buckets[name]).quantile(0.5) == pytest.approx(statistics.median(values), rel=0.01)


def test_few_answers_are_kept() -> None:
    samples, from_s, to_s = closed_turn(3, streams=16, window=5000, settle=2000)
    edges, most = Edges(), 0
    for one in samples:
        edges.add(one)
        most = max(most, edges.kept)
    assert most < 100
    assert edges.totals(from_s, to_s)[1:] == pytest.approx(within(samples, from_s, to_s)[1:])


def test_tokens_that_are_not_counted_or_not_sent() -> None:
    uncounted = sample(1, "window", 0.0, [1.0, 2.0], [1, 2], output_tokens=None)
    hidden = sample(2, "window", 0.0, [1.0, 2.0], [1, 2], output_tokens=103, hidden_tokens=100)
    whole = sample(3, "window", 0.0, [2.0], output_tokens=30, arrivals_ns=[], arrival_tokens=[])
    late = sample(4, "window", 0.0, [20.0], output_tokens=30, arrivals_ns=[], arrival_tokens=[])
    assert figures([uncounted, hidden, whole, late], 0.0, 10.0).output_tokens_per_s == pytest.approx((3 + 3 + 30) / 10)
    made = TurnFigures(CLOSED)
    made.add([uncounted, hidden, whole, late])
    assert made.hidden_share == pytest.approx(100 / 163), "of those that are counted"


def test_server_that_loads_its_model_meanwhile() -> None:
    fast = [sample(k, "window", k / 10, [0.1, 0.2]) for k in range(1, 4)]
    slow = sample(4, "window", 0.4, [5.0, 5.1], server_load_s=4.9)
    turn = figures([*fast, slow], 0.0, 1.0)
    assert turn.loaded == 1 and turn.finished == 4 and turn.percentiles["latency"].n == 3
    assert turn.ttft_s == pytest.approx(0.1)


@pytest.mark.parametrize("window", [(None, None), (1.0, None), (1.0, 1.0)])
def test_without_a_window(window: tuple[Any, Any]) -> None:
    turn = figures([sample(1, "settling", 0.0, [1.0, 2.0])], *window)
    assert (turn.settled, turn.requests, turn.window_s, turn.requests_per_s) == (1, 0, None, None)
    assert figures([], 1.0, 2.0).output_tokens_per_s == 0.0


def test_nothing_but_failures() -> None:
    turn = figures([failed(1, "window", 0.0, "http", None), failed(2, "window", 0.0, "stopped", 3.0)], 0.0, 2.0)
    assert (turn.failed, turn.unfinished, turn.latency_s, turn.tokens_per_s) == (1, 1, None, None)
    assert turn.error is not None and turn.in_flight == 1.0 and turn.failure_share == 1.0


def test_values_that_cannot_be_true() -> None:
    odd = [
        sample(k, "window", 0.0, [1.0, 2.0], latency_s=v) for k, v in enumerate((float("nan"), float("inf"), -1.0), 1)
    ]
    turn = figures([*odd, sample(4, "window", 0.0, [1.0, 2.0])], 0.0, 10.0)
    assert turn.latency_s == 2.0 and turn.percentiles["latency"].n == 1
    assert turn.in_flight == 0.2


def test_most_under_way_of_several_workers() -> None:
    samples = [sample(k, "window", k, [0.1], worker=k % 2, in_flight=k) for k in range(1, 6)]
    assert figures(samples, 0.0, 10.0).in_flight_most == 5 + 4


def test_peaks_of_workers_at_different_moments_are_not_added_up() -> None:
    """Worker 1 has its peak at 2 s, worker 2 at 8 s, and each has one request under way while the other is busy."""
    counts = {1: [(1.0, 1), (2.0, 9), (3.0, 1), (8.0, 1)], 2: [(1.0, 1), (2.0, 1), (8.0, 7), (9.0, 1)]}
    samples = [
        sample(10 * worker + k, "window", at_s, [0.1], worker=worker, in_flight=count, due_s=at_s)
        for worker, each in counts.items()
        for k, (at_s, count) in enumerate(each)
    ]
    before = sample(1, "settling", 0.5, [0.1], worker=2, in_flight=30, due_s=0.5)
    made = TurnFigures(OPEN, workers=2)
    made.add([before, *samples])
    of = made.figures(1.0, 10.0, {1: (1.0, 10.0), 2: (1.0, 10.0)})
    assert of["in_flight_most"] == 9 + 1 and of["backlog"] == [30, 30, 30]


@pytest.mark.parametrize("lengths_s", [(2.0, 2.0), (2.0, 3.0)])
def test_all_rates_of_several_workers_are_of_their_own_windows(lengths_s: tuple[float, float]) -> None:
    """Four streams each, whose answers take 100 ms: 80 starts a second, and eight requests under way."""
    made = TurnFigures(CLOSED, Slo(latency_s=1.0), workers=2)
    for worker, length_s in enumerate(lengths_s, 1):
        starts = [(k / 10, stream) for k in range(round(10 * length_s) + 3) for stream in range(4)]
        made.add(
            sample(n, "window" if at < length_s else "tail", at, [0.05, 0.1], worker=worker, talk=stream + 1)
            for n, (at, stream) in enumerate(starts, 1)
        )
    windows = {worker: (0.0, length_s) for worker, length_s in enumerate(lengths_s, 1)}
    of = made.figures(0.0, sum(lengths_s) / 2, windows)
    assert of["delivered_rate"] == pytest.approx(80.0)
    assert of["goodput_per_s"] == pytest.approx(80.0), "all kept the objective: no more and no less than were sent"
    assert of["in_flight"] + of["thinking"] == pytest.approx(8.0)


def test_turn_as_sample_has_what_a_sample_has() -> None:
    turn = figures([sample(1, "window", 0.0, [1.0, 2.0, 3.0, 4.0], hidden_tokens=0)], 0.0, 4.0)
    one = msgspec.structs.replace(turn, state="whole").as_sample
    assert one.ok and (one.latency_s, one.ttft_s, one.output_tokens, one.requests_per_s) == (4.0, 1.0, 4, 0.0)
