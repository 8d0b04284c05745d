"""How two runs compare in their knees, the levels within the objectives, and the attainments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmtui.model import Load, Slo
from llmtui.runview.found_changes import found_change
from llmtui.runview.run import RunView
from tests import loads
from tests.runview.searched import KNEE, SLO, keeping, searched, throughput

OBJECTIVE = Slo(ttft_s=0.2, share=0.9)
AB = ("A", "B")


def knee_at(slots: int) -> RunView:
    probed = {4: [1, 2, 3, 4, 8], 6: [1, 2, 4, 5, 6, 8, 16], 1000: [1, 2, 4, 8, 16]}[slots]
    return searched(KNEE, {"a": probed}, {"a": throughput(slots, KNEE)})


def sentences(one: RunView, two: RunView, names: tuple[str, str] = AB) -> list[str]:
    change = found_change([one], [two], ("a", "a"), names)
    return change.sentences if change is not None else []


def test_knees_differ_if_their_intervals_do_not_overlap() -> None:
    assert sentences(knee_at(4), knee_at(6)) == [
        "a: the knee of A is at 4 streams (95%: 4 to 4), that of B at 6 streams (95%: 6 to 6): that of B is at more "
        "streams"
    ]
    assert sentences(knee_at(4), knee_at(4))[0].endswith(": no difference shown")
    change = found_change([knee_at(1000)], [knee_at(6)], ("a", "a"), AB)
    assert change is not None and change.knee is not None
    assert (change.knee.a.low, change.knee.a.high, change.knee.shown) == (9, None, "fewer"), "a bound has no upper end"
    assert "the knee of A is at 9 streams or more, that of B" in change.sentences[0]


def test_the_most_streams_and_the_attainments_of_two_searches() -> None:
    one = searched(SLO, {"a": [1, 2, 4, 8, 6, 7]}, {"a": keeping(6)}, OBJECTIVE)
    two = searched(SLO, {"a": [1, 2, 4, 3]}, {"a": keeping(2)}, OBJECTIVE)
    assert sentences(one, two)[0] == (
        "a: the objectives: A keeps them up to 6 streams (misses them at 7), B keeps them up to 2 streams (misses them "
        "at 3): A keeps them at more streams"
    )
    assert sentences(one, two)[1:] == [
        "a: attainment at 4 streams: A 100% (95%: 98.4% to 100%), B 25.0% (95%: 19.9% to 30.8%): A keeps the "
        "objectives in more of its requests",
        "a: attainment at 1 stream and 2 streams: no difference shown",
    ]
    assert sentences(one, one)[0].endswith("no difference shown")
    other = msgspec.structs.replace(two.plan, slo=Slo(ttft_s=0.3, share=0.9))
    two.plan = other
    assert sentences(one, two) == [], "different objectives are not compared"


def test_an_undecided_level_leaves_the_difference_open() -> None:
    def few(_: int, level: int) -> Mapping[str, Any]:
        return {"kept": 10 if level <= 4 else 0, "missed": 0 if level <= 4 else 10}

    slo = Slo(ttft_s=0.2)
    one = searched(SLO, {"a": [1, 2, 4, 5]}, {"a": few}, slo)
    two = searched(SLO, {"a": [1]}, {"a": keeping(0)}, slo)
    change = found_change([one], [two], ("a", "a"), AB)
    assert change is not None and change.objectives is not None and change.objectives.shown is None
    assert "A keeps them at no level for sure (undecided at 1 to 4, misses them at 5)" in change.sentences[0]


def test_a_sweep_has_the_largest_level_that_keeps_the_objectives_and_a_race_has_nothing() -> None:
    load = Load(concurrency=[1, 4, 8], requests=40)

    def swept(most: int) -> RunView:
        view = loads.raced({"a": 1.0}, load, rounds=6, fields={"a": keeping(most)})
        view.plan = msgspec.structs.replace(view.plan, slo=OBJECTIVE)
        return view

    # `keeping` counts levels by their number: the second is 4 streams.
    change = found_change([swept(2)], [swept(1)], ("a", "a"), AB)
    assert change is not None and change.objectives is not None and change.knee is None
    assert (change.objectives.a.kept, change.objectives.a.missed) == (4, 8)
    assert (change.objectives.b.kept, change.objectives.b.missed, change.objectives.shown) == (1, 4, "fewer")
    assert found_change([loads.raced({"a": 1.0})], [loads.raced({"a": 1.0})], ("a", "a"), AB) is None


def test_of_several_runs_all_count() -> None:
    """One run of A that is as good as those of B leaves the difference open."""
    four, six, grows = knee_at(4), knee_at(6), knee_at(1000)
    change = found_change([four, four], [six, six], ("a", "a"), AB)
    assert change is not None and change.sentences == [
        "a: the knee of A is at 4 streams over 2 runs, that of B at 6 streams over 2 runs: that of B is at more streams"
    ]
    assert change.knee is not None and (change.knee.a.runs, change.knee.shown) == (2, "more")
    mixed = found_change([four, six], [six, grows], ("a", "a"), AB)
    assert mixed is not None and mixed.knee is not None and mixed.knee.shown is None
    assert (mixed.knee.a.low, mixed.knee.a.high, mixed.knee.b.low, mixed.knee.b.high) == (4, 6, 6, None)
    two, seven = (
        searched(SLO, {"a": [1, 2, 4, 3]}, {"a": keeping(2)}, OBJECTIVE),
        searched(SLO, {"a": [1, 2, 4, 8, 6, 7]}, {"a": keeping(6)}, OBJECTIVE),
    )
    change = found_change([two, seven], [seven, seven], ("a", "a"), AB)
    assert change is not None and change.objectives is not None and change.objectives.shown is None
    assert change.sentences[0] == (
        "a: the objectives: A keeps them up to 2 streams (in each of 2 runs, undecided at 3 to 6, misses them at 7), B "
        "keeps them up to 6 streams (in each of 2 runs, misses them at 7): no difference shown"
    )
    attained = {each.level: each for each in change.attainment}
    assert attained["4 streams"].shown is None and attained["4 streams"].a.requests == 480
