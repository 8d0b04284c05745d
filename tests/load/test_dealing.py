"""A turn is dealt out by arithmetic: shares add up to the whole, and no request changes its number."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from llmtui.load.course import Course
from llmtui.load.dealing import Deal, deal_of, dealt, most_workers
from llmtui.load.merging import Pulses, merged
from llmtui.load.messages import Pulse, SliceDone
from llmtui.model import Failure, Level
from tests.load.helpers import slice_for


@pytest.mark.parametrize(("streams", "workers"), [(4, 2), (5, 2), (7, 3), (3, 3), (100, 7)])
def test_streams_and_request_numbers_are_dealt_whole_and_in_proportion(streams: int, workers: int) -> None:
    deals = [Deal(worker, workers, streams) for worker in range(workers)]
    own = [list(deal.own(streams)) for deal in deals]
    assert sorted(itertools.chain(*own)) == list(range(streams))
    numbers = []
    for deal in deals:
        number, mine = 0, []
        while (number := deal.after(number)) <= 10 * streams:
            mine.append(number)
        assert len(mine) == 10 * len(deal.own(streams))  # as many of the requests as of the streams
        numbers.append(mine)
    assert sorted(itertools.chain(*numbers)) == list(range(1, 10 * streams + 1))


@pytest.mark.parametrize(("settle", "requests"), [(0, 1), (3, 40), (8, 17), (5, 2)])
def test_the_shares_of_settling_and_window_add_up_to_those_of_one_worker(settle: int, requests: int) -> None:
    found: dict[str, list[int]] = {"settling": [], "window": [], "tail": []}
    for worker in range(3):
        course = Course(settle, requests, 0, Deal(worker, 3, 7))
        for at in range(100):
            assert course.more(at)  # it keeps the load up until all are done
            number, share = course.next(at)
            found[share].append(number)
            course.ended(share)
        course.release()
        assert not course.more(100.0)
    assert sorted(found["settling"]) == list(range(1, settle + 1))
    assert sorted(found["window"]) == list(range(settle + 1, settle + requests + 1))


def test_a_worker_reports_once_that_it_has_its_answers_and_goes_on_until_it_is_released() -> None:
    reports: list[str] = []
    course = Course(0, 4, 0, Deal(0, 2, 2), lambda: reports.append("over"))
    for at in range(2):
        assert course.more(at)
        course.next(at)
    assert course.more(2.0) and not reports  # two answers are missing
    course.ended("window")
    course.ended("window")
    course.ended("tail")
    assert reports == ["over"] and not course.over
    course.release()
    assert course.over


def test_only_the_first_worker_probes_and_each_says_who_it_is() -> None:
    of = slice_for("http://x", streams=5, requests=9)
    parts = dealt(msgspec.structs.replace(of, workers=2, probe=of.template))
    assert [part.base.worker for part in parts] == [1, 2]
    assert [part.probe is None for part in parts] == [False, True]
    assert [deal_of(part) for part in parts] == [Deal(0, 2, 5), Deal(1, 2, 5)]
    assert deal_of(of) == Deal()


def test_a_worker_without_a_stream_or_a_place_below_the_cap_is_not_needed() -> None:
    assert most_workers(Level(number=1, streams=3)) == 3
    assert most_workers(Level(number=1, rate=5.0, cap=2)) == 2
    assert most_workers(Level(number=1, rate=5.0)) > 1000


def test_what_workers_report_of_a_turn_is_one_report() -> None:
    one = SliceDone(window_from_s=1.0, window_to_s=3.0, elapsed_s=4.0, cpu_s=1.0, counted=30, late_from_s=2.5)
    two = SliceDone(window_from_s=2.0, window_to_s=4.0, elapsed_s=5.0, cpu_s=2.0, counted=10, late_from_s=2.0)
    done = merged([one, two], same_window=False)
    assert (done.window_from_s, done.window_to_s) == (1.25, 3.25)  # 30 requests weigh three times as much as 10
    assert done.windows == {1: (1.0, 3.0), 2: (2.0, 4.0)}
    assert (done.elapsed_s, done.cpu_s, done.busiest_cpu_s, done.late_from_s) == (5.0, 3.0, 2.0, 2.0)
    assert (done.counted, done.workers, done.error, done.halted) == (40, 2, None, False)
    by_schedule = merged([one, two], same_window=True)
    assert (by_schedule.window_from_s, by_schedule.window_to_s) == (1.0, 3.0)
    failure = Failure(kind="stopped", message="x")
    broken = merged([one, SliceDone(halted=True, error=failure)], same_window=False)
    assert (broken.window_from_s, broken.error, broken.halted) == (None, failure, True)


def test_pulses_add_up_and_keep_what_one_worker_reported() -> None:
    pulses = Pulses(2)
    pulses.add(Pulse(worker=1, share="window", elapsed_s=1.0, sent=5, in_flight=2))
    newest = Pulse(worker=2, share="settling", elapsed_s=1.1, sent=3, in_flight=1)
    both = pulses.add(newest)
    assert (both.sent, both.in_flight, both.elapsed_s, both.share, both.newest) == (8, 3, 1.1, "window", newest)
    pulses.add(Pulse(worker=1, share="tail", sent=6))
    assert pulses.add(Pulse(worker=2, share="tail", sent=6)).share == "tail"
