"""Power and workers in the HTML report: shown where they were measured, with their errors."""

from __future__ import annotations

from typing import Any

import msgspec

from llmtui.export.report.page import report_html
from llmtui.export.report.power_charts import ENERGY, measured
from llmtui.export.report.tables import workers
from llmtui.model import Backend, IterationDone, Load, Power
from llmtui.runview.run import RunView
from tests import build, loads
from tests.export.reports import Reader
from tests.stats.build import raced


def power(joules_per_token: float, meters: list[str] | None = None, **more: Any) -> Power:
    """What an answer of 64 tokens took."""
    usual: dict[str, Any] = {
        "meters": meters or ["NVIDIA H200"],
        "watts": 500.0,
        "joules": 64 * joules_per_token,
        "idle_watts": 140.0,
        "joules_per_token": joules_per_token,
        "joules_per_token_error": joules_per_token / 40,
        "joules_per_token_above_idle": joules_per_token - 9.0,
    }
    return Power(**(usual | more))


def race(meters: dict[str, list[str]], n: int = 12) -> RunView:
    """A race in which `a` takes 16 J a token, and `b` 8."""
    view = build.run_view(build.plan("a", "b", iterations=n))
    for number in range(1, n + 1):
        for name, joules in (("a", 16.0), ("b", 8.0)):
            of = build.answered(name, number, power=power(joules, meters[name]))
            view.apply(IterationDone(iteration=of))
    return view


def test_no_power_no_chart() -> None:
    assert "Energy per output token" not in report_html(raced(1.0, 1.5))


def test_the_energy_of_a_race_with_its_error() -> None:
    read = Reader(report_html(race({name: ["NVIDIA H200"] for name in "ab"})))
    for words in ("Energy per output token in J", "16.0 ± 0.400", "8.00 ± 0.200", "Of NVIDIA H200.", "Mean power in W"):
        assert words in read.text
    assert "Values may be off by up to 2.5%, because of when the meters were read." in read.text
    assert "Lines are 95% intervals, widened by" in read.text and "Lines are 95% intervals. Of NVIDIA" in read.text
    assert "idle, before the run" in read.text and "140" in read.text
    # Above idle b would have a negative bar.
    assert read.text.count("above idle") == 1


def test_the_energy_of_different_parts_is_not_comparable() -> None:
    text = Reader(report_html(race({"a": ["NVIDIA H200"], "b": ["package-0"]}))).text
    assert "not of the same parts, so do not compare it. a: NVIDIA H200; b: package-0." in text


def test_an_interval_holds_what_the_readings_can_hide() -> None:
    found = measured([power(joules) for joules in (15.0, 16.0, 17.0) * 4], ENERGY)
    assert found is not None and found.interval == (15.0 - 0.4, 17.0 + 0.4)
    few = measured([power(16.0), Power()], ENERGY)
    assert few is not None and few.interval is None and few.text == "16.0 ± 0.400"
    assert "An interval needs 6 iterations." in report_html(race({"a": ["x"], "b": ["x"]}, n=3))


def test_a_load_has_it_at_each_level_and_says_how_many_workers_measured() -> None:
    load = Load(concurrency=[4, 64], requests=40)
    fields = {
        "a": lambda _, level: {"power": power(20.0 / level), "workers": level},
        "b": lambda _, level: {"workers": 1},
    }
    view = loads.raced({"a": 1.0, "b": 1.0}, load, 6, fields=fields)
    read = Reader(report_html(view))
    assert "Energy per output token in J against load" in read.text and "Mean power in W against load" in read.text
    assert "20.0 ± 0.500 J, n = 6" in read.text and "10.0 ± 0.250 J, n = 6" in read.text
    assert workers(view) == "1 at 4 streams; 1 or 2 at 64 streams" and workers(view) in read.text
    assert workers(loads.raced({"a": 1.0}, load, 2)) == "1"


def test_nothing_is_claimed_of_workers_of_another_tool_or_a_race() -> None:
    view = loads.raced({"a": 1.0}, rounds=2)
    view.backends["a"].backend = msgspec.structs.replace(view.backends["a"].backend, measured_by="AIPerf")
    assert workers(view) == workers(build.run_view(build.plan(Backend(name="a")))) == ""
