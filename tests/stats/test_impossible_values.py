"""Values that cannot be true are in no figure, chart or comparison, whatever the metric, and they are counted."""

from __future__ import annotations

import csv
import io
import json
import math

import msgspec
import pytest

from llmtui.export.csv import results_csv
from llmtui.export.json import run_json
from llmtui.export.table import summary_table
from llmtui.model import Iteration, IterationDone
from llmtui.runview.run import RunView
from llmtui.stats.checks import Evidence
from llmtui.stats.metrics import CHARTED, METRICS, MetricKey
from llmtui.stats.running import Running
from llmtui.ui.views import iteration_rows
from llmtui.ui.views.attempts import shown_attempt
from llmtui.ui.views.details import arrival_facts
from llmtui.ui.views.iteration_rows import Rows
from tests import build

#: The field that each metric is read from. Others may be derived from it too.
FIELDS: dict[MetricKey, str] = {
    "latency": "latency_s",
    "ttft": "ttft_s",
    "itl": "itl_s",
    "tokens_per_s": "tokens_per_s",
    "tpot": "tpot_s",
    "prefill_tokens_per_s": "ttft_s",
    "output_tokens_per_s": "output_tokens_per_s",
    "requests_per_s": "requests_per_s",
    "goodput": "goodput_per_s",
    "attainment": "attainment",
}
IMPOSSIBLE = (math.nan, math.inf, -math.inf, -1.0, 0.0)


def good(name: str, number: int) -> Iteration:
    second = 2 * number + (name == "b")
    made = build.answered(name, number, 1 + number / 100, started_utc=f"2026-11-22T15:00:{second:02}.000Z")
    return msgspec.structs.replace(
        made,
        ttft_s=0.1,
        itl_s=0.01,
        tokens_per_s=90.0,
        tpot_s=0.011,
        prompt_tokens=46,
        output_tokens_per_s=180.0,
        requests_per_s=3.0,
        goodput_per_s=2.0,
        attainment=0.5,
    )


def race(metric: MetricKey, value: float) -> RunView:
    """Twelve rounds of two backends; this is the value of the fourth iteration of "a"."""
    run_view = build.run_view(build.plan("a", "b", iterations=12, warmup=0))
    for number in range(1, 13):
        for name in "ab":
            iteration = good(name, number)
            if (name, number) == ("a", 4):
                iteration = msgspec.structs.replace(iteration, **{FIELDS[metric]: value})
            run_view.apply(IterationDone(iteration=iteration))
    for name in "ab":
        run_view.apply(build.changed(name, planned=12))
    return run_view


def test_every_metric_has_a_field_here() -> None:
    assert FIELDS.keys() == METRICS.keys()


@pytest.mark.parametrize("value", IMPOSSIBLE)
@pytest.mark.parametrize("metric", METRICS)
def test_impossible_value_is_dropped_everywhere_and_counted(metric: MetricKey, value: float) -> None:
    run_view = race(metric, value)
    if METRICS[metric].zero and value == 0:
        assert run_view.backends["a"].summary.left_out == 0, "such as the gap of tokens that arrived together"
        return
    view = run_view.backends["a"]
    spread, rounds = view.summary.spread(metric), view.rounds
    assert spread is not None and spread.n == 11
    assert all(map(math.isfinite, (spread.mean, spread.median, spread.max, spread.stddev or 0))) and spread.min > 0
    assert (
        len(view.figures.ordered(metric))
        == len(rounds.values(metric))
        == len(view.evidence.metrics[metric].values)
        == 11
    )
    assert rounds.zeros(metric) == 0 and len(rounds.pairs(run_view.backends["b"].rounds, metric)) == 11
    if metric in CHARTED:
        assert len(view.figures.points(metric)) == 11
    (comparison,) = run_view.verdict(metric).comparisons
    assert comparison.n == 11 and math.isfinite(comparison.ratio)
    # The prefill rate is derived from the TTFT, if that is not 0.
    derived = 2 if metric in ("ttft", "prefill_tokens_per_s") and value != 0 else 1
    assert view.summary.left_out == derived
    words = f"{derived} impossible value{'s' if derived > 1 else ''} left out (zero, negative or not a number)"
    assert f"a: {words}" in summary_table(run_view, 200) and words in arrival_facts(view)
    row, other = csv.DictReader(io.StringIO(results_csv(run_view), newline=""))
    assert (row["left_out"], other["left_out"]) == (str(derived), "0")
    assert json.loads(run_json(run_view))["backends"][0]["summary"]["left_out"] == derived
    assert shown_attempt(view).summary.outliers == len(iteration_rows.outliers(view)) == 0


def test_slowest_iteration_is_one_with_a_latency() -> None:
    view = race("latency", math.inf).backends["a"]
    assert iteration_rows.slowest(view, Rows(view.iterations)) == 11


def test_servers_own_time_is_checked_too() -> None:
    for value in IMPOSSIBLE:
        evidence = Evidence([msgspec.structs.replace(good("a", 1), server_prefill_s=value)])
        assert evidence.first_prefill_s is None and not evidence.prefill.values


def test_warmup_and_first_request_are_checked_too() -> None:
    for value in IMPOSSIBLE:
        warm = msgspec.structs.replace(good("a", 1), phase="warmup", latency_s=value)
        summary = Running([warm, good("a", 1)]).summary
        assert (summary.warmups, summary.first_s, summary.n, summary.left_out) == (None, None, 1, 0)
