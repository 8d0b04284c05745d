"""Which requests of a turn are in its window, and when it is over."""

from __future__ import annotations

from llmtui.load.course import Course


def sends(course: Course, at_s: float) -> str:
    assert course.more(at_s)
    return course.next(at_s)[1]


def bounds(course: Course) -> list[float | None]:
    return [course.window_from_s, course.window_to_s]


def test_the_window_follows_the_settling_and_lasts_until_the_first_request_that_does_not_count() -> None:
    course = Course(settle=2, requests=2, duration_s=0)
    assert [sends(course, at_s) for at_s in (0.0, 0.1, 0.2, 0.3)] == ["settling", "settling", "window", "window"]
    assert bounds(course) == [0.2, None]
    assert sends(course, 0.4) == "tail"
    assert bounds(course) == [0.2, 0.4]


def test_the_tail_lasts_until_the_last_answer_of_the_window() -> None:
    course = Course(settle=0, requests=2, duration_s=0)
    assert [sends(course, at_s) for at_s in (0.0, 0.1, 0.2)] == ["window", "window", "tail"]
    course.ended("window")
    course.ended("tail")
    assert not course.over and sends(course, 0.5) == "tail"
    course.ended("window")
    assert course.over and not course.more(0.6)
    assert course.window_to_s == 0.2


def test_a_window_by_duration_has_exactly_that_length() -> None:
    course = Course(settle=1, requests=0, duration_s=2.0)
    assert [sends(course, at_s) for at_s in (0.0, 1.0, 2.9)] == ["settling", "window", "window"]
    assert course.due_to_end_s == 3.0
    assert sends(course, 3.7) == "tail"
    assert [*bounds(course), course.due_to_end_s] == [1.0, 3.0, None]


def test_the_end_of_a_window_by_duration_needs_no_request() -> None:
    course = Course(settle=0, requests=0, duration_s=2.0)
    assert sends(course, 0.0) == "window"
    course.ended("window")
    assert course.tick(1.9)
    assert not course.tick(2.1)
    assert course.window_to_s == 2.0


def test_asking_for_the_time_does_not_end_a_window_by_number() -> None:
    course = Course(settle=0, requests=1, duration_s=0)
    assert sends(course, 0.0) == "window"
    course.ended("window")
    assert course.tick(5.0) and course.window_to_s is None


def test_a_halted_turn_sends_nothing_more_and_keeps_its_window() -> None:
    course = Course(settle=0, requests=10, duration_s=0)
    sends(course, 0.0)
    course.halt(0.7)
    assert course.over and not course.more(0.8)
    assert course.window_to_s == 0.7
