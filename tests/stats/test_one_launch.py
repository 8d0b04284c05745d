"""One launch of each server: is the shown difference larger than launches have differed?"""

from __future__ import annotations

import math

import msgspec
import pytest

from llmtui.model import Between, Machine, PairSpread, RunConfig
from llmtui.stats.checks.base import Check, Race
from llmtui.stats.checks.launches import one_launch
from llmtui.stats.compare import Comparison, compare
from tests import build
from tests.stats.build import entry

#: b takes 1.04x as long as a, give or take 1%.
ROUNDS = {
    "a": [build.iteration("a", k, 1.0, started_utc=f"{2 * k}") for k in range(1, 11)],
    "b": [build.iteration("b", k, 1.04 + (k % 3 - 1) / 100, started_utc=f"{2 * k + 1}") for k in range(1, 11)],
}


def compared() -> Comparison:
    (comparison,) = compare(ROUNDS, "latency")
    assert comparison.decided and comparison.slower == "b"
    return comparison


def found(comparison: Comparison, *spreads: PairSpread, launched: bool = True, part: int = 1) -> list[Check]:
    backend = {"launch": ["serve"]} if launched else {}
    entries = [entry("a", {"part": 1}, backend=backend), entry("b", lambda k: {"part": 1 + k % part}, backend=backend)]
    return list(one_launch(Race(entries, RunConfig(), Machine(), [comparison], spreads=spreads)))


def spread(tau: float, n: int = 9, *, one: str = "b", two: str = "a", metric: str = "latency") -> PairSpread:
    return PairSpread(one=one, two=two, metric=metric, spread=Between(tau=tau, n=n))


def test_a_difference_within_the_spread_of_launches_is_mentioned() -> None:
    (check,) = found(compared(), spread(0.04))
    assert (check.code, check.level, check.backends) == ("one-launch", "note", ["a", "b"])
    assert check.text == (
        "one launch of each: from launch to launch, the ratio of a and b has differed by 4.1% here (standard deviation "
        "of 9 launches), so other launches may not show this difference"
    )
    assert check.todo == "set launches = 5 in [run]"
    assert check.between("a", "b") and not check.between("a", "c")


def test_a_difference_beyond_the_spread_is_not_mentioned() -> None:
    assert found(compared(), spread(0.0)) == []
    assert found(compared(), spread(0.015)) == []


def test_the_interval_is_widened_by_t_times_the_spread() -> None:
    comparison = compared()
    within = math.log(comparison.ratio / comparison.low)
    # t of 8 degrees of freedom.
    limit = math.sqrt(math.log(comparison.ratio) ** 2 - within**2) / 2.3060041350333704
    assert found(comparison, spread(limit * 1.001))
    assert not found(comparison, spread(limit * 0.999))


@pytest.mark.parametrize("other", [spread(0.0, metric="ttft"), spread(0.0, one="c")])
def test_without_a_known_spread_a_small_difference_is_mentioned(other: PairSpread) -> None:
    (check,) = found(compared(), other)
    assert (check.code, check.level) == ("launches-unknown", "note")
    assert check.text.startswith("one launch of each: a and b differ by 4") and "unknown" in check.text


def test_without_a_known_spread_a_large_difference_is_not_mentioned() -> None:
    assert found(msgspec.structs.replace(compared(), ratio=1.6, low=1.5, high=1.7)) == []


def test_undecided_comparisons_and_those_over_launches_are_not_mentioned() -> None:
    assert found(msgspec.structs.replace(compared(), decided=False), spread(0.04)) == []
    assert found(msgspec.structs.replace(compared(), basis="launches"), spread(0.04)) == []


def test_servers_that_llmtui_does_not_launch_are_restarted_by_the_user() -> None:
    (check,) = found(compared(), launched=False)
    assert "restart the servers" in check.todo


def test_a_server_that_was_restarted_has_more_than_one_launch() -> None:
    (check,) = found(compared(), spread(0.04), part=2)
    assert check.text.startswith("few launches of each: ")
