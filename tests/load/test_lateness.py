"""Since when a client could not hold a rate."""

from __future__ import annotations

from llmtui.load.lateness import LATE_IN_A_ROW, LATE_S, Lateness


def of(*late_s: float, ttft_s: float | None = None) -> float | None:
    """Add requests that are due one after the other, in s, and return since when they are late."""
    lateness = Lateness()
    for due_s, each in enumerate(late_s):
        lateness.add(float(due_s), each, ttft_s)
    return lateness.from_s()


def test_a_client_is_late_from_the_first_of_the_requests_that_were_all_late() -> None:
    late = [0.003] * LATE_IN_A_ROW
    assert of(0.0, 0.001, *late) == 2.0
    assert of(*late, 0.001) is None
    assert of(*late, 0.001, *late) == LATE_IN_A_ROW + 1
    assert of(*late[1:]) is None


def test_late_is_more_than_two_milliseconds_and_a_hundredth_of_the_ttft() -> None:
    late = [LATE_S + 0.001] * LATE_IN_A_ROW
    assert of(*late, ttft_s=0.1) == 0.0
    assert of(*late, ttft_s=0.5) is None


def test_requests_may_end_in_any_order() -> None:
    lateness = Lateness()
    for due_s in (5.0, 1.0, *range(6, 20)):
        lateness.add(due_s, 0.5, None)
    lateness.add(4.0, 0.0, None)
    assert lateness.from_s() == 5.0


def test_memory_stays_small_while_single_requests_are_late() -> None:
    lateness = Lateness()
    for number in range(50_000):
        lateness.add(float(number), 0.5 if number % 2 else 0.0, None)
    assert len(lateness._late) < 10_000
    assert lateness.from_s() is None
