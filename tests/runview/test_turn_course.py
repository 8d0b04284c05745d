"""The course of a turn: seconds from ticks, whole or late, short or long."""

from __future__ import annotations

import random

from llmtui.model import Tick, TurnDone
from llmtui.runview.turn_course import MOST_COLUMNS, TurnCourse
from tests import build, loads


def tick(elapsed_s: float, **fields: object) -> Tick:
    usual: dict[str, object] = {"backend": "a", "phase": "measured", "round": 1, "level": 2, "share": "window"}
    return Tick(elapsed_s=elapsed_s, **(usual | fields))  # type: ignore[arg-type]


def course_of(ticks: list[Tick]) -> TurnCourse:
    course = TurnCourse(ticks[0])
    for each in ticks[1:]:
        assert course.takes(each)
        course.add(each)
    return course


def test_a_column_has_what_came_in_its_second() -> None:
    counts = [(0.4, 20, 1), (0.9, 45, 1), (1.4, 70, 2), (2.4, 170, 3), (3.1, 240, 5)]
    course = course_of([tick(at, tokens=n, finished=done, in_flight=4) for at, n, done in counts])
    assert [round(column.arrivals_per_s, 6) for column in course.columns] == [50.0, 80.0, 100.0]
    assert [column.finished for column in course.columns] == [1, 1, 1], "an answer counts where it was first reported"
    assert {column.in_flight for column in course.columns} == {4.0}


def test_refused_requests_are_apart_from_those_that_failed() -> None:
    course = course_of(
        [tick(0.5), tick(0.9, failed=3, refused=2), tick(1.5, failed=5, refused=3), tick(2.0, failed=5, refused=3)]
    )
    assert [(column.refused, column.failed) for column in course.columns] == [(2, 1), (1, 1)]


def test_columns_change_once_a_second_only() -> None:
    course = course_of([tick(0.0), tick(1.0)])
    before = course.columns
    for part in (1.25, 1.5, 1.75):
        course.add(tick(part, tokens=100))
        assert course.columns is before
    course.add(tick(2.0, tokens=100))
    assert len(course.columns) == 2 and course.columns[0] == before[0]


def test_a_monitor_that_connects_late_has_the_whole_seconds_that_follow() -> None:
    course = course_of([tick(7.3 + n / 4, tokens=1000 + 50 * n, finished=n) for n in range(12)])
    assert course.first == 8
    assert [round(column.arrivals_per_s, 6) for column in course.columns] == [200.0, 200.0]


def test_a_long_turn_has_longer_columns_and_loses_nothing() -> None:
    rng = random.Random(3)
    tokens = finished = 0
    ticks = []
    for n in range(4 * 3000 + 1):
        tokens += rng.randrange(100)
        finished += rng.randrange(2)
        ticks.append(tick(n / 4, tokens=tokens, finished=finished, in_flight=8))
    course = course_of(ticks)
    assert course.size == 8 and len(course.columns) <= MOST_COLUMNS
    assert abs(sum(column.arrivals_per_s for column in course.columns) * course.size - tokens) <= 100
    # The last tick begins a column that is not complete.
    assert abs(sum(column.finished for column in course.columns) - finished) <= 1
    late = course_of(ticks[4 * 101 :])
    assert late.size == 8 and late.first == 102 // 8
    assert late.columns[5:] == course.columns[5 + late.first :]


def test_what_a_turn_gives_so_far_is_of_its_window() -> None:
    ticks = [tick(n / 4, share="settling", tokens=25 * n) for n in range(9)]
    ticks += [tick(2.25 + n / 4, tokens=1000 + 50 * n, finished=10 + n) for n in range(9)]
    course = course_of(ticks[:9])
    assert course.so_far is None
    course = course_of(ticks)
    assert course.so_far is not None and course.so_far.seconds == 2
    assert course.so_far.arrivals_per_s == 200.0 and course.so_far.requests_per_s == 4.0
    course.add(tick(5.0, share="tail", tokens=9000))
    assert course.so_far.arrivals_per_s == 200.0, "the tail is in no figure"
    course.end()
    assert course.so_far is None and not course.takes(tick(6.0))


def test_the_last_column_counts_if_it_is_half_there() -> None:
    for end, columns in ((2.3, 2), (2.75, 3)):
        course = course_of([tick(0.0), tick(1.0, tokens=100), tick(2.0, tokens=200), tick(end, tokens=260)])
        course.end()
        assert len(course.columns) == columns
    assert round(course.columns[-1].arrivals_per_s, 6) == 80.0


def test_a_view_keeps_the_newest_turn_until_the_next_one_begins() -> None:
    view = build.run_view(loads.plan("a", "b"))
    assert view.course is None
    for at in (0.0, 1.0, 2.0):
        view.apply(tick(at))
    view.apply(TurnDone(turn=loads.turn("b", 1, 2)))
    assert view.course is not None and view.course.running, "another backend's turn"
    view.apply(TurnDone(turn=loads.turn("a", 1, 2)))
    assert not view.course.running and len(view.course.columns) == 2
    view.apply(tick(0.25, backend="b"))
    assert view.course.backend == "b" and view.course.columns == ()
    # The same turn is taken again.
    view.apply(tick(3.0, backend="b"))
    view.apply(tick(0.5, backend="b"))
    assert view.course.columns == ()
