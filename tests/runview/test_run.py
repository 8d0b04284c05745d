"""The run view updated event by event equals one computed from scratch, and stays small."""

from __future__ import annotations

import math
import statistics
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtui.export.csv import iterations_csv, results_csv
from llmtui.export.json import run_json
from llmtui.model import (
    Earlier,
    Failure,
    Hello,
    Iteration,
    IterationDone,
    Machine,
    RunState,
)
from llmtui.runview.run import RunView
from llmtui.runview.samples import CHUNK, Samples
from llmtui.stats.course import Course
from llmtui.stats.metrics import CHARTED, METRICS
from llmtui.stats.running import Running
from llmtui.stats.sorted_values import Sample
from llmtui.stats.summary import P95_FROM, box, spread
from tests import build
from tests.build import iteration
from tests.examples import examples
from tests.stats.batch_summary import batch_summary

PLAN = build.plan("a")
seconds = st.none() | st.floats(0, 1e6) | st.sampled_from([1.0, 1.5, 0.0, -1.0, math.inf, math.nan])


iterations = st.lists(
    st.builds(
        iteration,
        st.just("a"),
        st.integers(1, 9),
        seconds,
        attempt=st.integers(1, 3),
        phase=st.sampled_from(["warmup", "measured", "measured"]),
        ttft_s=seconds,
        itl_s=seconds,
        tokens_per_s=seconds,
        output_tokens=st.none() | st.integers(0, 70),
        prompt_tokens=st.none() | st.integers(0, 3),
        foreign_cpu=st.none() | st.floats(0, 1),
        error=st.none() | st.none() | st.just(Failure(kind="timeout", message="late")),
        text=st.sampled_from(["", "Hi"]),
        arrivals_ns=st.lists(st.integers(0, 9), max_size=2),
    ),
    max_size=60,
)


@settings(max_examples=examples(60), deadline=None)
@given(iterations, st.lists(st.integers(1, 3), min_size=61, max_size=61))
def test_incremental_figures_equal_batch_figures(events: list[Iteration], attempts: list[int]) -> None:
    run_view = RunView(PLAN)
    backend_view = run_view.backends["a"]
    applied: list[Iteration] = []
    # Attempts only ever go up.
    for number, event in zip(sorted(attempts), events, strict=False):
        run_view.apply(build.changed("a", state="waiting", attempt=number))
        if event.attempt > number:
            continue
        run_view.apply(IterationDone(iteration=event))
        applied.append(event)
        current = [i for i in applied if i.attempt == number]
        measured = [i for i in current if i.phase == "measured"]
        assert backend_view.summary == batch_summary(current)
        assert (backend_view.finished, backend_view.last) == (len(measured), current[-1] if current else None)
        earlier = [i for i in applied if i.phase == "measured" and i.attempt < number]
        previous = max((i.attempt for i in [i for i in earlier if i.ok] or earlier), default=None)
        assert backend_view.previous_attempt == previous
        before = batch_summary(i for i in applied if i.attempt == previous) if earlier else None
        assert backend_view.previous == before
        for metric in CHARTED:
            expected = [(n, v) for n, i in enumerate(measured) if (v := METRICS[metric].value(i)) is not None]
            assert list(backend_view.figures.points(metric)) == expected
    assert backend_view.iterations == applied
    late = RunView(PLAN)
    late.apply(
        Hello(plan=PLAN, machine=Machine(), run=RunState(), backends=[backend_view.state], iterations=applied[:5])
    )
    late.apply(Earlier(iterations=applied[5:]))
    assert (late.backends["a"].summary, late.backends["a"].previous) == (backend_view.summary, backend_view.previous)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=80))
def test_spread_agrees_with_statistics(values: list[float]) -> None:
    it = spread(values)
    assert it is not None and it.stddev is not None
    twentieths = statistics.quantiles(values, n=20, method="inclusive")
    assert it.mean == math.fsum(values) / len(values)
    assert it.median == pytest.approx(statistics.median(values), rel=1e-12, abs=1e-12)
    assert it.p95 == (pytest.approx(twentieths[18], rel=1e-9, abs=1e-9) if len(values) >= P95_FROM else None)
    assert it.stddev == pytest.approx(statistics.stdev(values), rel=1e-12)


def test_sorted_values_stay_sorted() -> None:
    values = [math.sin(n) * 10 ** (n % 5) for n in range(5000)]
    sample = Sample()
    for n, value in enumerate(values):
        sample.add(value)
        if n % 97 == 0:
            assert len(sample.ordered) == n + 1
    assert list(sample.ordered) == sorted(values)
    assert sample.spread() == spread(values)


def test_course_contains_extremes_and_stays_small() -> None:
    course = Course(limit=64)
    values = [1.0 + (n * 7919 % 101) / 1000 for n in range(20_000)]
    values[777], values[15_001] = 50.0, -3.0
    for n, value in enumerate(values):
        if n % 3:
            course.add(n, value)
    points = course.points
    assert len(points) <= 128
    assert {(777, 50.0), (15_001, -3.0)} <= set(points) | {(777, 50.0)}
    assert all(values[n] == v and n % 3 for n, v in points)
    assert [n for n, _ in points] == sorted({n for n, _ in points})


def test_box_follows_tukey() -> None:
    it = box([1.0, 2.0, 3.0, 4.0, 5.0, 20.0])
    assert (it.q1, it.median, it.q3) == (2.25, 3.5, 4.75)
    assert (it.low, it.high, it.below, it.above) == (1.0, 5.0, (), (20.0,))
    alone = box([2.0])
    assert (alone.low, alone.q1, alone.high, alone.above) == (2.0, 2.0, 2.0, ())
    many = box([*[1.0 + n / 1e6 for n in range(10_000)], *[5.0 + n for n in range(1000)]])
    assert (len(many.above), many.above[0], many.above[-1]) == (40, 5.0, 1004.0)


# --- Memory ---


@pytest.mark.parametrize("keep", [None, 0, 3, 400])
def test_samples_drop_old_answers_only(keep: int | None) -> None:
    originals = [
        iteration(
            "a",
            n,
            n / 7 if n % 5 else None,
            text=f"answer {n}",
            arrivals_ns=[n],
            arrival_tokens=[1],
            error=None if n % 5 else Failure(kind="http", message=f"HTTP {n}", hint="x"),
        )
        for n in range(2 * CHUNK + 10)
    ]
    samples = Samples(keep)
    for i in originals:
        samples.append(i)
    first = 0 if keep is None else max(0, len(originals) - keep)
    wanted = [i if n >= first else iteration("a", n, i.latency_s, error=i.error) for n, i in enumerate(originals)]
    assert list(samples) == wanted
    assert (samples[0], samples[-1], samples[CHUNK], samples[CHUNK - 3 : CHUNK + 3]) == (
        wanted[0],
        wanted[-1],
        wanted[CHUNK],
        wanted[CHUNK - 3 : CHUNK + 3],
    )
    assert [samples.whole(n) for n in (0, len(originals) - 1)] == [first == 0, keep != 0]
    with pytest.raises(IndexError):
        samples[len(originals)]


def test_exports_contain_every_iteration() -> None:
    originals = [
        iteration("a", n, 1 + n / 1000, text="Hi", arrivals_ns=[5, 9], arrival_tokens=[1, 1]) for n in range(600)
    ]
    whole, lean = RunView(PLAN), RunView(PLAN, keep=10)
    for run_view in (whole, lean):
        for i in originals:
            run_view.apply(IterationDone(iteration=i))
    assert iterations_csv(lean) == iterations_csv(whole)
    assert results_csv(lean) == results_csv(whole)
    assert iterations_csv(lean).count("\n") == 601
    assert run_json(whole).count('"Hi"') == 600


@pytest.mark.slow
def test_memory_per_iteration() -> None:
    def memory_of(count: int) -> int:
        tracemalloc.start()
        run_view = RunView(PLAN, keep=20)
        for n in range(count):
            figures = {"ttft_s": (145_000_000 + n * 104_729 % 9_999_991) / 1e9, "output_tokens": 64}
            answer = {"text": "answer " * 40, "arrivals_ns": list(range(64)), "arrival_tokens": [1] * 64}
            run_view.apply(
                IterationDone(iteration=iteration("a", n, (921_000_000 + n * 7919) / 1e9, **figures, **answer))
            )
        _ = run_view.backends["a"].summary
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size

    small = memory_of(1000)
    # Some 76 of these bytes are for the comparison with other backends: the newest 20,000 have them.
    assert (memory_of(5000) - small) / 4000 < 136


def test_summary_is_cached() -> None:
    running = Running(iteration("a", n, 1.0) for n in range(3))
    assert running.summary is running.summary
    running.add(iteration("a", 4, 2.0))
    assert running.summary.n == 4
