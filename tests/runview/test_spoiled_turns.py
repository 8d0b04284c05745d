"""A turn that llmtui, a worker or the user ended counts nowhere: all figures are as if it had not been."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from llmtui.export.load_table import load_columns, load_rows
from llmtui.export.openmetrics import openmetrics
from llmtui.model import Failure, TurnDone
from llmtui.runview.against import side_of
from llmtui.runview.limits import judge_limits, parse_limits
from llmtui.runview.run import RunView
from llmtui.stats.compare_runs import across
from llmtui.stats.durations import Durations
from tests import loads

LIMITS = ("failed>1%", "latency_p95>0.5", "latency_mean>10", "requests_per_s<1")
#: How a turn was spoiled.
CAUSES = (Failure(kind="stopped", message="worker w is lost"), None)


def of_request(seconds: float) -> dict[str, Any]:
    """Latencies of 40 requests, one of them long: if a few more were, a p95 would be too."""
    durations = Durations()
    durations.add([seconds] * 39 + [1.0])
    return {"percentiles": {"latency": durations.percentiles}, "buckets": {"latency": durations.buckets.encoded()}}


def run(*spoiled: int, cause: Failure | None = None, rounds: int = 6) -> RunView:
    """A finished run; in these rounds b had a turn, too, that was spoiled when 22 of 30 requests had ended."""
    view = loads.raced({"a": 1.0, "b": 1.0}, rounds=rounds, fields={name: of_request(0.1) for name in "ab"})
    for seq, number in enumerate(spoiled, 100):
        counts = {"requests": 30, "finished": 22, "unfinished": 8, **of_request(0.1)}
        more = {"state": "partial", "error": cause, "seq": seq}
        view.apply(TurnDone(turn=loads.turn("b", number, 2, **(counts | more))))
    return view


@pytest.mark.parametrize("cause", CAUSES)
def test_a_turn_that_was_taken_again_counts_nowhere(cause: Failure | None) -> None:
    whole, spoiled = run(), run(2, 2, 5, cause=cause)
    figures = spoiled.backends["b"].at_level(2)
    assert figures.partial == 3
    assert msgspec.structs.replace(figures, partial=0) == whole.backends["b"].at_level(2)
    assert spoiled.backends["b"].summary == whole.backends["b"].summary
    assert not spoiled.failed
    limits = parse_limits(LIMITS, whole.plan)
    assert judge_limits(spoiled, limits) == judge_limits(whole, limits) == ([], [])
    assert load_columns(load_rows(spoiled)) == load_columns(load_rows(whole))
    apart = set(openmetrics(spoiled).splitlines()) ^ set(openmetrics(whole).splitlines())
    assert all("llmtui_turns" in line and "partial" in line for line in apart) and len(apart) == 2
    result = across(side_of(whole), dataclasses.replace(side_of(spoiled), run="s"), [("b", "b")])
    [outcome] = result.outcomes
    assert (outcome.failed_b, outcome.tried_b) == (0, 6)
    [check] = [check for check in spoiled.verdict().checks if check.code == "spoiled-turns"]
    assert check.level == "note" and "b 3 of 9 turns" in check.text and "each was taken again" in check.text
    assert "failed-iterations" not in {check.code for check in spoiled.verdict().checks}


def test_a_round_whose_only_turn_was_spoiled_is_missing() -> None:
    view = run(7, cause=CAUSES[0], rounds=6)
    view.plan = msgspec.structs.replace(view.plan, config=msgspec.structs.replace(view.plan.config, iterations=7))
    assert view.failed, "the exit code is 1"
    [check] = [check for check in view.verdict().checks if check.code == "spoiled-turns"]
    assert check.level == "warning" and "no other turn took their place: b 1 round" in check.text
    assert judge_limits(view, parse_limits(["failed>0"], view.plan)) == ([], [])


def test_a_turn_that_the_server_ended_counts_with_its_requests() -> None:
    """The number beside percentiles is that of the requests which they are of."""
    view = run()
    error = Failure(kind="connect", message="every stream failed")
    ended = loads.turn("b", 2, 2, seq=100, error=error, state="partial", requests=30, finished=22, failed=8)
    view.apply(TurnDone(turn=ended))
    assert view.failed and view.backends["b"].at_level(2).failed == 8
    assert len(judge_limits(view, parse_limits(["failed@8>1%"], view.plan)).broken) == 1
    [number] = [column for column in load_columns(load_rows(view)) if column.key == "n"]
    assert {cell.strip() for cell in number.cells} == {"240"}
