"""Typical values with their intervals, cold starts and outliers: the same in every export."""

from __future__ import annotations

import csv
import io
import json

import pytest

from llmtui.export.csv import results_csv
from llmtui.export.json import RunRecord, run_json
from llmtui.export.markdown import run_markdown
from llmtui.export.table import summary_table, typical_values
from llmtui.model import IterationDone
from llmtui.runview.run import RunView
from tests import build
from tests.export.run_views import iteration

LATENCIES = [1.0, 1.02, 0.97, 1.01, 0.99, 1.03, 0.98, 1.0, 4.0, 1.01]


def measured(count: int, warmups: int = 2) -> RunView:
    """One finished backend with this number of `LATENCIES`, after warm-ups of which the first is cold."""
    run_view = build.run_view(build.plan("a\x1b[1m", iterations=count, warmup=warmups))
    name = next(iter(run_view.backends))
    for n in range(warmups):
        run_view.apply(IterationDone(iteration=iteration(name, n + 1, 2.5 if n == 0 else 1.1, phase="warmup")))
    for n, latency_s in enumerate(LATENCIES[:count]):
        run_view.apply(IterationDone(iteration=iteration(name, n + 1, latency_s)))
    run_view.apply(build.changed(name, planned=count))
    return run_view


def test_all_exports_have_the_same_figures() -> None:
    run_view = measured(10)
    (row,) = csv.DictReader(io.StringIO(results_csv(run_view), newline=""))
    low, high = float(row["latency_median_low_s"]), float(row["latency_median_high_s"])
    assert low < float(row["latency_median_s"]) < high < 1.1
    assert float(row["latency_mean_low_s"]) < 1.005 < 1.4 < float(row["latency_mean_high_s"])
    assert (row["outliers"], row["first_request_s"], row["warmup_median_s"]) == ("1", "2.5", "1.8")
    assert (row["tpot_median_s"], row["iterations"]) == ("0.0125", "10")
    assert float(row["prefill_tokens_per_s_median"]) == pytest.approx(46 / (1.005 / 8), rel=0.01)
    (line,) = typical_values(run_view)
    assert line.startswith(f"a: median 1.005 s (95%: {low:.3f} to {high:.3f}), mean 1.301 s (0.866 to 3.445)")
    assert line.endswith("first request: 2.50 s")
    for text in (summary_table(run_view, 200), run_markdown(run_view)):
        assert line in text
        assert "note outliers: some samples are far from the rest: " in text
        assert "1 of 10 iterations (4.00 s, median" in text
    backend = json.loads(run_json(run_view))["backends"][0]
    latency = backend["estimates"]["latency"]
    assert latency["median_interval"] == pytest.approx([low, high])
    assert latency["mean_interval"] == pytest.approx([0.866, 3.445], abs=1e-3)
    assert (latency["mean_withheld"], latency["tail"]) == ("", None)
    assert set(backend["estimates"]) == {"latency", "ttft", "tokens_per_s"}
    assert (backend["summary"]["outliers"], backend["summary"]["warmups"]["n"]) == (1, 2)


def test_too_few_samples_have_no_interval() -> None:
    run_view = measured(5, warmups=0)
    (row,) = csv.DictReader(io.StringIO(results_csv(run_view), newline=""))
    assert [row[c] for c in row if c.endswith(("_low_s", "_high_s"))] == [""] * 4
    assert (row["outliers"], row["first_request_s"], row["warmup_median_s"]) == ("0", "1", "")
    assert typical_values(run_view) == []
    (typical,) = run_view.estimates().values()
    assert typical.median_interval is typical.mean_interval is None


def test_estimate_reads_back() -> None:
    import msgspec

    record = msgspec.json.decode(run_json(measured(10)), type=RunRecord)
    assert record.backends[0].estimates["latency"].n == 10


def test_every_export_has_the_95th_percentile_with_its_limit() -> None:
    run_view = build.run_view(build.plan("a", "b", iterations=60, warmup=0))
    for n in range(60):
        # The rates of the samples fall as their latencies rise.
        run_view.apply(IterationDone(iteration=iteration("a", n + 1, 1 + n / 100)))
        if n < 58:
            run_view.apply(IterationDone(iteration=iteration("b", n + 1, 1 + n / 100)))
    row, fewer = csv.DictReader(io.StringIO(results_csv(run_view), newline=""))
    assert (row["latency_p95_type8_s"], row["latency_p95_limit_s"], row["latency_p95_s"]) == (
        "1.5665",
        "1.59",
        "1.5605",
    )
    assert (
        float(row["tokens_per_s_p5_limit"]) <= float(row["tokens_per_s_p5_type8"]) <= float(row["tokens_per_s_median"])
    )
    assert (fewer["latency_p95_type8_s"], fewer["latency_p95_limit_s"], fewer["latency_p95_s"]) == ("", "", "1.5415")
    heading, *rows = summary_table(run_view, 200).splitlines()[1:]
    assert "p95 (up to) s" in heading and "1.57 (1.59)" in rows[0] and "p95 needs 59 iterations" in rows
    first, second = typical_values(run_view)
    assert "p95 1.57 s (up to 1.59)" in first and "p95" not in second
    tail = json.loads(run_json(run_view))["backends"][0]["estimates"]["latency"]["tail"]
    assert tail == {"share": 0.95, "value": pytest.approx(1.5665), "limit": pytest.approx(1.59)}
