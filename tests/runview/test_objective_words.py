"""The warning that a backend misses an objective at the smallest level already."""

from __future__ import annotations

from typing import Any

import pytest

from llmtui.model import Level, Slo, Turn
from llmtui.runview.objective_words import missed_from_the_start
from tests.loads import turn

ONE = Level(number=1, streams=1)
SLO = Slo(ttft_s=0.05, latency_s=5.0)


def judged(kept: int, missed: int, undetermined: int = 0, **fields: Any) -> Turn:
    """A turn at one stream, of which this number of requests kept the TTFT, and all the latency."""
    objectives = {"ttft": [kept, missed, undetermined], "latency": [kept + missed, 0, undetermined]}
    return turn("a", objectives=objectives, **fields)


def test_it_is_said_with_the_value() -> None:
    assert missed_from_the_start(judged(2, 38), SLO, ONE) == (
        "even at 1 stream, the smallest level, it misses TTFT 50 ms (5.0% of the requests kept it, median 0.100 s): "
        "more load is slower still"
    )


def test_a_server_that_fails_misses_all() -> None:
    nothing = turn("a", objectives={"ttft": [0, 40, 0], "latency": [0, 40, 0]}, ttft_s=None, latency_s=None)
    assert "it misses TTFT 50 ms (0% of the requests kept it), latency 5 s (0%" in missed_from_the_start(
        nothing, SLO, ONE
    )


@pytest.mark.parametrize(
    "quiet", [judged(40, 0), judged(36, 4), judged(9, 3), judged(0, 0, 40), judged(0, 3, state="partial"), turn("a")],
    ids=["kept", "maybe chance", "few requests", "undetermined", "partial", "no objectives"],
)  # fmt: skip
def test_it_is_not_said_if_it_may_be_chance(quiet: Turn) -> None:
    assert missed_from_the_start(quiet, SLO, ONE) == ""
