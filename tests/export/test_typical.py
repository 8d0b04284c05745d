"""Typical values with their intervals, cold starts and outliers: the same in every export."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics

import pytest

from llmtui.export.csv import results_csv
from llmtui.export.json import RunRecord, run_json
from llmtui.export.markdown import run_markdown
from llmtui.export.table import summary_table, typical_values
from llmtui.model import IterationDone
from llmtui.runview.run import RunView
from llmtui.stats.intervals import RESAMPLED, estimate
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
    assert float(row["latency_mean_low_s"]) < float(row["latency_mean_s"]) < float(row["latency_mean_high_s"])
    assert (row["outliers"], row["first_request_s"], row["warmup_median_s"]) == ("1", "2.5", "1.8")
    assert (row["tpot_median_s"], row["iterations"]) == ("0.0125", "10")
    assert float(row["prefill_tokens_per_s_median"]) == pytest.approx(46 / (1.005 / 8), rel=0.01)
    (line,) = typical_values(run_view)
    assert line.startswith(f"a: median 1.005 s (95%: {low:.3f} to {high:.3f}), mean 1.301 s (")
    assert line.endswith("first request: 2.50 s")
    for text in (summary_table(run_view, 200), run_markdown(run_view)):
        assert line in text
        assert "note outliers: some samples are far from the rest: " in text
        assert "1 of 10 iterations (4.00 s, median" in text
    backend = json.loads(run_json(run_view))["backends"][0]
    assert backend["estimates"]["latency"]["median_interval"] == pytest.approx([low, high])
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


def test_estimate_is_cached_until_more_samples_arrive() -> None:
    run_view = measured(9)
    name = next(iter(run_view.backends))
    first = run_view.estimates()[name]
    assert run_view.estimates()[name] is first
    run_view.apply(IterationDone(iteration=iteration(name, 10, 1.01)))
    assert run_view.estimates()[name].n == 10


@pytest.mark.parametrize("n", [RESAMPLED, RESAMPLED + 1])
def test_intervals_of_many_samples_agree_with_resampling(n: int) -> None:
    ordered = sorted(1 + (k * 7919 % 1009) / 1e4 for k in range(n))
    typical = estimate(ordered, statistics.fmean(ordered), statistics.stdev(ordered))
    assert typical.median_interval is not None and typical.mean_interval is not None
    assert typical.median_interval[0] < typical.median < typical.median_interval[1]
    assert typical.mean_interval[1] - typical.mean_interval[0] == pytest.approx(0.0148, rel=0.08)


@pytest.mark.parametrize("n", range(RESAMPLED + 1, 401))
def test_coverage_of_the_interval_of_the_median(n: int) -> None:
    typical = estimate([float(k) for k in range(n)], 0.0, 1.0)
    assert typical.median_interval is not None
    low, high = map(int, typical.median_interval)
    assert low + high == n - 1, "as many ranks from either end"
    # The median is below the k-th smallest value where fewer than k of n fall below it.
    holds = 1 - 2 * sum(math.comb(n, k) for k in range(low + 1)) / 2**n
    assert 0.95 <= holds < 0.975
