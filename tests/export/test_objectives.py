"""Objectives in tables and files: shares and goodput where objectives are set, and nothing where they are not."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import msgspec
import pytest

from llmtui.cli.run_lines import turn_line
from llmtui.export.csv import results_csv, turns_csv
from llmtui.export.json import run_json
from llmtui.export.markdown import run_markdown
from llmtui.export.table import summary_table
from llmtui.model import Load, Slo
from llmtui.runview.objective_words import attained_text
from llmtui.runview.run import RunView
from llmtui.stats.durations import Durations
from tests.loads import raced, turn

COLUMNS = [
    *("kept", "missed", "undetermined", "attainment", "attainment_low", "attainment_high", "goodput_per_s"),
    *("ttft_attainment", "tpot_attainment", "latency_attainment"),
]


def judged(kept: int, undetermined: int = 0) -> dict[str, Any]:
    """Fields of a turn of 40 requests in 5 s, of which this number kept the TTFT, and all the latency."""
    missed = 40 - kept - undetermined
    objectives = {"ttft": [kept, missed, undetermined], "latency": [40, 0, 0]}
    counts = {"kept": kept, "missed": missed, "undetermined": undetermined}
    return {**counts, "objectives": objectives, "goodput_per_s": kept / 5}


def view(**fields: Any) -> RunView:
    """A run of two backends at two levels, of 6 rounds, with objectives."""
    made = raced({"a": 1.0, "b": 1.5}, rounds=6, fields=fields)
    made.plan = msgspec.structs.replace(made.plan, slo=Slo(ttft_s=0.2, latency_s=5.0))
    return made


def both(a: dict[str, Any], b: dict[str, Any]) -> RunView:
    return view(a=lambda number, level: a, b=lambda number, level: b)


def test_results_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(results_csv(both(judged(40), judged(30, 2))))))
    b, a = rows[:2]
    assert (a["backend"], a["kept"], a["missed"], a["undetermined"], a["attainment"]) == ("a", "240", "0", "0", "1")
    assert (b["kept"], b["missed"], b["undetermined"]) == ("180", "48", "12")
    assert float(b["attainment"]) == pytest.approx(180 / 228) and b["goodput_per_s"] == "6"
    assert float(b["attainment_low"]) < 180 / 228 < float(b["attainment_high"])
    assert (b["ttft_attainment"], b["tpot_attainment"], b["latency_attainment"]) == (b["attainment"], "", "1")


def test_turns_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(turns_csv(both(judged(40), judged(30))))))
    b = next(row for row in rows if row["backend"] == "b")
    assert (b["kept"], b["missed"], b["attainment"], b["goodput_per_s"]) == ("30", "10", "0.75", "6")


def test_json_and_markdown() -> None:
    shown = both(judged(40), judged(30))
    document = json.loads(run_json(shown))
    assert document["slo"] == {"ttft_s": 0.2, "tpot_s": 0.0, "latency_s": 5.0, "share": 0.95}
    figures = document["levels"][0]["backends"][0]["figures"]
    assert (figures["kept"], figures["missed"], figures["objectives"]) == (
        240,
        0,
        {"ttft": [240, 0, 0], "latency": [240, 0, 0]},
    )
    lines = run_markdown(shown).splitlines()
    assert "| goodput |  kept |" in lines[0] and "|  100% |" in lines[3]


def test_table_and_line_of_a_turn() -> None:
    shown = both(judged(40), judged(39))
    text = summary_table(shown, 200)
    assert "goodput   kept" in text and "8.00   100%" in text and "7.80  97.5%" in text
    assert "a: keeps the objectives at 4 streams (100% kept, 95%: 98.4% to 100%) and 8 streams (100%" in text
    assert "b: undecided at 4 streams (97.5% kept, 95%: 94.7% to 98.8%)" in " ".join(text.split())
    line = turn_line(shown, turn("a", 1, 1, **judged(30, 2)))
    assert "kept 78.9%" in line and "goodput    6.00" in line and line.endswith("2 undetermined")


def test_levels_that_miss_them_and_requests_that_cannot_be_told() -> None:
    text = summary_table(both(judged(10), judged(38, 2)), 200)
    assert "a: misses the objectives at 4 streams (25.0% kept, 95%: 19." in text
    assert "b: keeps the objectives at 4 streams" in text and "24 of 480 requests undetermined" in text


def test_nothing_without_objectives() -> None:
    plain = raced({"a": 1.0, "b": 1.5}, rounds=6)
    for text in (results_csv(plain), turns_csv(plain)):
        for row in csv.DictReader(io.StringIO(text)):
            assert all(row.get(name, "") == "" for name in COLUMNS)
    for text in (summary_table(plain, 200), run_markdown(plain), turn_line(plain, turn("a"))):
        assert "kept" not in text and "goodput" not in text and "objective" not in text
    assert json.loads(run_json(plain))["slo"] is None


def test_markdown_has_each_percentile_of_its_own() -> None:
    """Several columns have the heading "p95 ms"."""
    buckets = {name: [1, 60] for name in ("ttft", "tpot", "latency")}
    lines = run_markdown(raced({"a": 1.0}, load=Load(concurrency=[4], requests=40), fields={"a": {"buckets": buckets}}))
    assert lines.splitlines()[0].count("p95") == 2


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "-"), (0.0, "0%"), (1.0, "100%"), (0.942, "94.2%"), (0.9999, "99.99%"), (0.0001, "0.01%"), (0.5, "50.0%")],
)
def test_a_share_says_all_and_none_only_of_all_and_none(share: float | None, text: str) -> None:
    assert attained_text(share) == text


def test_percentiles_of_one_metric_have_one_unit_and_answers_without_a_first_token_are_named() -> None:
    """Regression: "latency p50 ms | p95 s", and a TTFT of 354 requests was said to be that of 360."""
    latencies, firsts = Durations(), Durations()
    latencies.add([*[0.0958] * 36, *[0.15] * 4])
    firsts.add([0.02] * 36)
    buckets = {"latency": latencies.buckets.encoded(), "ttft": firsts.buckets.encoded()}
    run = raced({"a": 1.0}, load=Load(concurrency=[4], requests=40), rounds=2, fields={"a": {"buckets": buckets}})
    text = summary_table(run, 200)
    (heading,) = (line for line in text.splitlines() if "latency p50" in line)
    assert "latency p50 ms  p95 ms" in heading
    assert "a at 4 streams: TTFT is that of 72 of 80 requests; the other answers came in one piece" in text
