"""The checks on a load: each fires when it should, and stays silent on a fair load and just below its limit."""

from __future__ import annotations

from typing import Any

import pytest

from llmtui.model import Failure, Load
from llmtui.model.accuracy import Record
from llmtui.stats.at_load import AtLoad
from llmtui.stats.checks import Check, checks
from llmtui.stats.metrics import METRICS
from tests import build, loads
from tests.loads import CLOSED, OPEN, Fields
from tests.stats.provoked_load_checks import PROVOKED, SILENT, lost


def judged(
    fields: Fields | None = None,
    load: Load = CLOSED,
    record: Record | None = None,
    speeds: tuple[float, float] = (1.0, 1.0),
    **states: Any,
) -> list[Check]:
    """The checks at the level that counts: turns of "a" have these `fields`, and its state these `states`."""
    view = loads.raced(dict(zip("ab", speeds, strict=True)), load, fields={"a": fields or {}}, states={"a": states})
    at = view.load_at()
    return checks(view.backends.values(), view.plan.config, view.machine, record=record, at=at)


@pytest.mark.parametrize(
    ("code", "level", "fields", "state", "load", "text"), PROVOKED, ids=lambda v: v if type(v) is str else ""
)
def test_check_fires(code: str, level: str, fields: Fields, state: dict[str, Any], load: Load, text: str) -> None:
    (check,) = [c for c in judged(fields, load, **state) if c.code == code]
    assert check.level == level and text in check.text and check.todo
    assert bool(check.spoils) == (level == "void" or code in ("open-loop", "not-streamed"))


@pytest.mark.parametrize(("code", "fields", "state", "load"), SILENT)
def test_check_is_silent_below_its_limit(code: str, fields: Fields, state: dict[str, Any], load: Load) -> None:
    assert [c.text for c in judged(fields, load, **state) if c.code == code] == []


def test_a_fair_load_has_no_findings() -> None:
    assert judged() == []
    assert loads.codes(judged({}, OPEN)) == ["note open-loop"]


def test_servers_that_all_got_less_load_are_compared() -> None:
    view = loads.raced({"a": 1.3, "b": 1.0}, fields={"a": {"in_flight": 6.9}, "b": {"in_flight": 6.9}})
    verdict = view.verdict()
    assert [c.level for c in verdict.checks if c.code == "delivered-load"] == ["warning"] and verdict.fastest == "a"


def test_servers_that_all_queue_are_a_note() -> None:
    view = loads.raced({"a": 1.0, "b": 1.0}, states={"a": {"slots": 4}, "b": {"slots": 4}})
    (check,) = view.verdict().checks
    assert (check.code, check.level, check.sides) == ("slots", "note", [])


def test_own_error_at_as_many_streams_makes_a_level_void() -> None:
    machine = build.machine()
    known = build.record_of(machine, ttft_p95_s=0.002, streams=32)
    (check,) = judged(record=known)
    assert check.code == "client-bound" and "own error 2.00 ms (p95), of a TTFT of 0.1" in check.text
    assert set(check.spoils) == set(METRICS)
    assert judged(record=build.record_of(machine, ttft_p95_s=0.0009, streams=32)) == []
    # That of fewer streams says nothing about more.
    assert judged(record=build.record_of(machine, ttft_p95_s=0.002, streams=4)) == []


def test_what_is_void_is_not_compared_and_survivors_get_no_star() -> None:
    void = loads.raced({"a": 1.3, "b": 1.0}, fields={"a": {"little_residual": 0.2}}).verdict()
    assert void.fastest == "" and void.board.metric is None and void.line.startswith("at 8 streams: not comparable")
    lost_some = loads.raced({"a": 1.3, "b": 1.0}, fields={"a": lost(refused=2)}).verdict()
    assert lost_some.board.fastest == "a" and lost_some.fastest == ""
    assert lost_some.line.endswith("; no star: requests without an answer")


def test_a_turn_that_the_server_ended_is_a_failure_and_not_paired() -> None:
    ended = {"state": "partial", "error": Failure(kind="connect", message="every stream failed")}
    view = loads.raced({"a": 1.3, "b": 1.0}, fields={"a": lambda k, _: ended if k == 4 else {}})
    verdict = view.verdict()
    assert verdict.board.comparisons[0].count == "9 rounds"
    (check,) = [check for check in verdict.checks if check.level != "note"]
    assert check.text == "failed: a 1 of 10 turns; every stream failed"


def test_the_first_turn_at_a_level_can_be_cold() -> None:
    def cold(number: int, level: int) -> dict[str, Any]:
        return {"speed": 0.4} if number <= 1 and level == 2 else {}

    view = loads.raced({"a": 1.0, "b": 1.0}, fields={"a": cold})
    (check,) = [check for check in view.verdict().checks if check.code != "outliers"]
    assert check.code == "cold-start" and check.text.startswith("the first measured turn was cold: a 2.")
    assert "settle" in check.todo and view.verdict(level=1).checks == []


def test_words_are_of_turns() -> None:
    def varied(number: int, _: int) -> dict[str, Any]:
        return {"speed": 0.3} if number == 7 else {}

    view = loads.raced({"a": 1.0, "b": 1.0}, fields={"a": varied})
    assert any("a 1 of 10 turns" in check.text for check in view.verdict().checks if check.code == "outliers")
    assert not any("iteration" in check.sentence for check in view.verdict().checks)


def test_load_of_a_plan() -> None:
    at = loads.raced({"a": 1.0}, rounds=1).load_at(1)
    assert at == AtLoad(CLOSED.levels[0], CLOSED, counts=False) and at.title == "4 streams"


def test_what_was_not_in_turns_counts_turns() -> None:
    view = loads.raced({"a": 1.2, "b": 1.0}, fields={"b": lambda k, _: {"seq": 500 + k}})
    assert "(10 turns each)" in view.verdict().line and not view.verdict().fastest
