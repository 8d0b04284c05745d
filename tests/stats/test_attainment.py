"""The share of requests that keep the objectives: its interval holds the truth, and few turns decide nothing."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from llmtui.model import Load, Slo
from llmtui.runview.run import RunView
from llmtui.stats.attainment import AttainmentDifference, attainment, attainment_differences, keeps
from llmtui.stats.rounds import Rounds
from tests.loads import CLOSED, OPEN, raced, turn


def test_mean_and_interval_by_hand() -> None:
    """Student's t of 3 degrees of freedom is 3.1824; the standard deviation of the four is 0.0129."""
    mean, low, high = attainment([0.90, 0.92, 0.91, 0.93])
    assert mean == pytest.approx(0.915)
    assert (low, high) == pytest.approx((0.8945, 0.9355), abs=1e-4)


def test_interval_stays_a_share() -> None:
    assert attainment([0.9, 1.0, 1.0])[2] == 1.0 and attainment([0.1, 0.0, 0.0])[1] == 0.0


def test_equal_shares_of_few_requests_are_not_certain() -> None:
    """Of a server that keeps 90%, two turns of 10 requests keep all of them one time in eight."""
    assert attainment([1.0, 1.0]) == (1.0, 1.0, 1.0), "how many requests is not known"
    assert attainment([1.0, 1.0], requests=20)[1] == pytest.approx(20 / (20 + 1.959964**2))
    assert keeps([1.0, 1.0], 0.95, requests=20) == "undecided"
    assert keeps([1.0, 1.0], 0.95, requests=80) == "yes"


def test_one_turn_has_the_interval_of_its_requests() -> None:
    assert attainment([0.5]) == (0.5, 0.0, 1.0)
    assert keeps([1.0], 0.95) == "undecided" and keeps([0.2], 0.95, requests=40) == "no"


def test_answers() -> None:
    assert keeps([0.99, 0.98, 0.99, 0.98], 0.95) == "yes"
    assert keeps([0.80, 0.82, 0.81, 0.79], 0.95) == "no"
    assert keeps([0.90, 0.99, 0.95, 0.97], 0.95) == "undecided"
    assert keeps([], 0.95) == "undecided"


def test_all_requests_can_only_be_refuted() -> None:
    assert keeps([1.0] * 50, 1.0, requests=5000) == "undecided"
    assert keeps([1.0, 0.99], 1.0, requests=200) == "no"


def test_without_shares() -> None:
    with pytest.raises(ValueError, match="at least one turn"):
        attainment([])


def test_shares_that_differ_more_than_those_of_independent_requests_count_as_fewer() -> None:
    steady, wandering = attainment([0.9] * 6, 240), attainment([0.8, 1.0] * 3, 240)
    assert steady[0] == wandering[0] == pytest.approx(0.9)
    assert wandering[1] < 0.75 < 0.85 < steady[1] and steady[2] < wandering[2] < 1.0


@pytest.mark.parametrize(("turns", "wander"), [(6, 0.0), (6, 0.05), (10, 0.02)])
def test_interval_holds_the_truth(turns: int, wander: float) -> None:
    """1,000 runs of turns of 40 requests, of a server whose share differs from turn to turn."""
    rng, truth, held = random.Random(7), 0.9, 0
    for _ in range(1000):
        shares = []
        for _ in range(turns):
            share = truth + rng.uniform(-wander, wander)
            shares.append(sum(rng.random() < share for _ in range(40)) / 40)
        _, low, high = attainment(shares, requests=40 * turns)
        held += low <= truth <= high
    assert held >= 930


def judged_view(kept: Mapping[str, Sequence[int]], load: Load = CLOSED, **config: Any) -> RunView:
    """A finished run with objectives, in which this number of 40 requests of a backend kept them, round by round."""

    def fields(name: str) -> Any:
        def of(number: int, level: int) -> dict[str, Any]:
            good = kept[name][number % len(kept[name])]
            missed = 40 - good
            return {
                "kept": good,
                "missed": missed,
                "objectives": {"ttft": [good, missed, 0]},
                "goodput_per_s": good / 5,
            }

        return of

    view = raced(dict.fromkeys(kept, 1.0), load=load, fields={name: fields(name) for name in kept}, **config)
    view.plan = msgspec.structs.replace(view.plan, slo=Slo(ttft_s=0.2))
    return view


@pytest.mark.parametrize("load", [CLOSED, OPEN], ids=("closed", "open"))
def test_backends_are_compared_by_differences_of_shares(load: Load) -> None:
    """Also where a share is 0 or 1, and also in an open loop, whose rate is given."""
    view = judged_view({"a": [40, 39, 40, 38, 40, 39, 40], "b": [0, 20, 22, 18, 21, 19, 17]}, load)
    at = view.load_at()
    (sentence,) = [text for text in view.verdict().sentences if "keeps the objectives" in text]
    assert at is not None and sentence.startswith(f"at {at.title}: a keeps the objectives in 48.8 points")
    assert " points more of the requests than b (9" in sentence and "(95%" not in sentence, (
        "at the level of a metric that does not count"
    )


def test_no_difference_of_shares_is_said_at_the_end() -> None:
    view = judged_view({"a": [40, 39, 40], "b": [39, 40, 40]})
    assert "at 8 streams: no clear difference between a and b in attainment (10 rounds)" in view.verdict().sentences


def rounds_of(name: str, place: int, kept: Sequence[int]) -> Rounds:
    """Turns of a backend at this place of each round, in which this number of 40 requests kept the objectives."""
    turns = [turn(name, n, seq=2 * n + place, kept=good, missed=40 - good) for n, good in enumerate(kept, 1)]
    return Rounds(one.as_sample for one in turns)


def test_few_rounds_show_nothing() -> None:
    of = {name: rounds_of(name, k, [kept] * 5) for k, (name, kept) in enumerate({"a": 40, "b": 0}.items())}
    (found,) = attainment_differences(of, lambda one, two: True, 0.95)
    assert not found.shown and found.rounds == 5 and found.estimate == 1.0
    assert found.sentence == (
        "a kept the objectives in 100 points more of the requests than b, but 5 rounds are too few to show it; 6 can"
    )
    assert attainment_differences(of, lambda one, two: False, 0.95) == []


@pytest.mark.parametrize(("names", "level"), [("ab", 0.95), ("ab", 0.995), ("abcd", 0.95)])
def test_as_many_rounds_as_are_said_to_be_needed_show_a_difference(names: str, level: float) -> None:
    """Regression: 100% and 0% in 6 rounds at one of three levels were said to be no clear difference."""

    def first(rounds: int) -> AttainmentDifference:
        of = {name: rounds_of(name, k, [40 - 10 * k] * rounds) for k, name in enumerate(names)}
        return attainment_differences(of, lambda one, two: True, level)[0]

    needed = first(3).needed
    assert first(needed).shown and not first(needed - 1).shown and "too few" in first(needed - 1).sentence
    of = {name: rounds_of(name, k, [40] * 3) for k, name in enumerate(names)}
    assert "no clear difference" in attainment_differences(of, lambda one, two: True, level)[0].sentence


def test_equal_servers_are_rarely_told_apart() -> None:
    """Signed ranks of 10 rounds err in at most 5% of runs, also when most shares are 1."""
    rng, shown = random.Random(5), 0
    for _ in range(400):
        of = {}
        for k, name in enumerate("ab"):
            of[name] = rounds_of(name, k, [sum(rng.random() < 0.97 for _ in range(40)) for _ in range(10)])
        shown += attainment_differences(of, lambda one, two: True, 0.95)[0].shown
    assert shown <= 28


def test_a_backend_without_good_requests_is_named_beside_those_that_are_compared() -> None:
    """Regression: its goodput of 0 was called "nothing to compare", and with a third backend "no result"."""
    line = judged_view({"a": [40, 39], "b": [0, 0]}, metric="goodput").verdict().line
    assert line == "at 8 streams: nothing to compare by good requests/s: b has 0 in 10 of 10 turns"
    line = judged_view({"a": [40, 39], "b": [0, 1], "c": [20, 21]}, metric="goodput").verdict().line
    assert line.startswith("at 8 streams a gives 1.9") and ", b has 0 in 5 of 10 turns" in line
    assert "no result" not in line


def test_goodput_may_be_the_metric_that_counts() -> None:
    view = judged_view({"a": [40, 39, 40, 38], "b": [20, 21, 22, 18]}, metric="goodput")
    verdict = view.verdict()
    assert verdict.counting == "goodput" and verdict.fastest == "a"
    assert "a gives 1.9" in verdict.line and "times the good requests/s of b" in verdict.line
