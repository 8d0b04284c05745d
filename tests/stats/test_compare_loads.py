"""Two runs of loads are compared only where their figures are of the same load."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from llmtui.model import Load, Slo
from llmtui.runview.against import side_of
from llmtui.stats.compare_runs import across, comparable, counting
from llmtui.stats.gate import gate
from llmtui.stats.metrics import METRICS
from llmtui.stats.run_differences import load_differences
from tests import build, loads
from tests.loads import CLOSED, OPEN

RACE = Load()
ONE = Load(concurrency=[1], requests=40)

#: Load of A, load of B, code and level, part of the text.
DIFFERENT = [
    (CLOSED, OPEN, "void load", "A a closed loop at 8 streams, B an open loop at 2 requests/s"),
    (CLOSED, Load(concurrency=[4, 16], requests=40), "void load", "B a closed loop at 16 streams"),
    (CLOSED, RACE, "void load", "B a race with one request at a time"),
    (OPEN, Load(request_rate=[3.0], requests=40), "void load", "A an open loop at 2 requests/s, B an open loop at 3"),
    (OPEN, Load(request_rate=[2.0], arrival="constant", requests=40), "void arrivals", "A poisson, B constant"),
    (OPEN, Load(request_rate=[2.0], max_concurrency=4, requests=40), "void arrivals", "B poisson, 4 under way at most"),
    (CLOSED, Load(concurrency=[4, 8], requests=80), "warning requests", "A 40 requests, B 80 requests"),
    (CLOSED, Load(concurrency=[4, 8], duration_s=20.0), "warning requests", "A 40 requests, B 20 s"),
    (CLOSED, Load(concurrency=[2, 8], requests=40), "note levels", "A 4 8, B 2 8"),
    (ONE, RACE, "warning requests", "A 40 requests, B 1 request"),
]


@pytest.mark.parametrize(("a", "b", "code", "text"), DIFFERENT)
def test_different_loads(a: Load, b: Load, code: str, text: str) -> None:
    (check,) = load_differences(a, b)
    assert f"{check.level} {check.code}" == code and text in check.text
    assert check.spoils == (list(METRICS) if check.level == "void" else [])


def test_equal_loads_have_no_difference() -> None:
    assert not list(load_differences(CLOSED, CLOSED)) and not list(load_differences(RACE, RACE))


def test_unequal_loads_are_not_compared_and_a_gate_stays_open() -> None:
    a, b = (side_of(loads.raced({"a": 1.0, "b": 1.0}, load)) for load in (CLOSED, OPEN))
    b = type(b)("s", b.created_utc, b.config, b.machine, b.contenders, b.load)
    result = across(a, b, [("a", "a"), ("b", "b")], "latency")
    assert [outcome.comparison for outcome in result.outcomes] == [None, None]
    assert [d.code for d in result.differences if d.level == "void"] == ["load"]
    broken, left_open = gate(result, 5)
    assert not broken and len(left_open) == 2
    assert comparable(a, b, "latency") == []


def test_equal_loads_are_compared_by_their_turns() -> None:
    a = side_of(loads.raced({"a": 1.0, "b": 1.0}))
    b = side_of(loads.raced({"a": 0.8, "b": 1.0}))
    b = type(b)("s", b.created_utc, b.config, b.machine, b.contenders, b.load)
    result = across(a, b, [("a", "a"), ("b", "b")], "output_tokens_per_s")
    assert result.outcomes[0].shown == "slower" and result.outcomes[0].n_a == 10
    assert counting(a, b) == "output_tokens_per_s"
    assert counting(a, side_of(loads.raced({"a": 1.0}, OPEN))) == "latency"
    assert counting(*[side_of(build.run_view(build.plan("a", metric="ttft")))] * 2) == "latency", "as in 0.1.0"
    assert build.plan("a").load == RACE


def test_goodput_under_different_objectives_is_not_compared() -> None:
    """The other metrics are."""
    views = [
        loads.raced({"a": 1.0, "b": 1.0}, fields={name: {"goodput_per_s": 5.0} for name in "ab"}) for _ in range(2)
    ]
    for view, ttft_s in zip(views, (0.2, 0.5), strict=True):
        view.plan = msgspec.structs.replace(view.plan, slo=Slo(ttft_s=ttft_s))
    a, b = map(side_of, views)
    b = dataclasses.replace(b, run="s")
    result = across(a, b, [("a", "a"), ("b", "b")], "goodput")
    (check,) = [check for check in result.differences if check.code == "objectives"]
    assert check.level == "void"
    assert comparable(a, b, "output_tokens_per_s") and not comparable(a, b, "goodput")
