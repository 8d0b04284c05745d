"""The figures of the summary table and of Markdown: true to three digits, and in line, for backends far apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from llmtui.export.markdown import run_markdown
from llmtui.export.table import summary_table
from llmtui.runview.run import RunView
from tests.boards import MEDIANS, board
from tests.examples import examples
from tests.figures import Figure, assert_readable, figures_of


def assert_true(run_view: RunView, figures: list[Figure]) -> None:
    """Compare every figure with the summary that it is from."""
    summaries = [view.summary for view in run_view.backends.values()]
    assert {"mean", "median", "min", "max", "stddev", "TTFT", "tok/s"} <= {figure.title for figure in figures}
    for title, row, value, _, _ in figures:
        spread = {"TTFT": summaries[row].ttft, "tok/s": summaries[row].tokens_per_s}.get(title, summaries[row].latency)
        assert spread is not None
        truth = spread.median if title in ("TTFT", "tok/s") else getattr(spread, title)
        # No duration is shown finer than 0.1 us.
        assert value == (pytest.approx(truth, rel=5.001e-3, abs=5.1e-8) if truth is not None else None)


@given(MEDIANS)
@settings(max_examples=examples(40), deadline=None)
def test_the_summary_table(medians: list[float]) -> None:
    run_view = board(medians)
    _, heading, *rows = summary_table(run_view, 400).splitlines()
    figures = figures_of(heading, rows[: len(medians)])
    assert_readable(figures)
    assert_true(run_view, figures)


@given(MEDIANS)
@settings(max_examples=examples(40), deadline=None)
def test_markdown(medians: list[float]) -> None:
    run_view = board(medians)
    heading, _, *rows = [line.replace("|", " ") for line in run_markdown(run_view).splitlines()]
    assert "latency median" in heading
    figures = figures_of(heading, rows[: len(medians)])
    assert_readable(figures)
    assert_true(run_view, figures)
