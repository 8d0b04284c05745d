"""The summary table as lines: columns, marks, order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtui.model import Backend, IterationDone
from llmtui.runview.run import RunView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.ui.text.spans import width_of
from llmtui.ui.views import sorting
from llmtui.ui.views.ranking import ranking_line
from llmtui.ui.views.sorting import AS_PLANNED, Sort
from llmtui.ui.views.table import TableLayout, column_at, table_layout, table_lines, table_rows
from tests import build
from tests.boards import MEDIANS, board
from tests.figures import assert_readable, figures_of
from tests.stats.build import raced
from tests.ui import canned_run as canned
from tests.ui.lines import text_of


def layout_of(run_view: RunView, metric: MetricKey, width: int, sort: Sort = AS_PLANNED) -> TableLayout:
    return table_layout(list(table_rows(run_view, metric).values()), metric, width, sort)


@pytest.mark.parametrize("width", [40, 80, 100, 120, 160, 200, 300])
def test_table_fits_and_keeps_the_important_columns(width: int) -> None:
    lines = table_lines(canned.run_view(), "latency", width, frozenset(), "llama.cpp")
    assert len(lines) == 6
    assert all(width_of(line) == width for line in lines)
    heading = text_of(lines[:1])
    assert "median" in heading
    assert "vs best" in heading
    if width >= 200:
        assert all(word in heading for word in ("framework", "language", "model", "weights", "busy", "tokens"))
    assert text_of(lines[1:2]).lstrip().startswith("·"), "best so far: too few rounds to show a difference"
    assert "1.00" in text_of(lines[1:2])


def test_star_marks_the_backend_shown_to_be_fastest() -> None:
    run_view = canned.run_view(done=10, running=False)
    lines = table_lines(run_view, "latency", 120, frozenset(), "llama.cpp")
    assert run_view.verdict().line.startswith("llama.cpp is fastest")
    assert [text_of([line])[1] for line in lines[1:]] == ["*", " ", " ", " ", " "]


def test_largest_rate_is_best() -> None:
    lines = table_lines(canned.run_view(), "tokens_per_s", 120, frozenset(), "")
    assert text_of(lines[1:2]).lstrip().startswith("·")
    assert "vs best" in text_of(lines[:1])


def test_table_marks_hidden_backends() -> None:
    hidden = frozenset({"llama.cpp"})
    assert "(llama.cpp)" in text_of(table_lines(canned.run_view(), "latency", 40, hidden, ""))
    assert "llama.cpp hidden" in text_of(table_lines(canned.run_view(), "latency", 200, hidden, ""))


def test_every_column_sorts_all_backends_with_missing_values_last() -> None:
    run_view = canned.run_view()
    for metric in ("latency", "tokens_per_s"):
        for column in ("", *layout_of(run_view, metric, 250).keys):
            for reverse in (False, True):
                order = sorting.ordered(run_view, metric, Sort(column, reverse))
                assert sorted(order) == sorted(run_view.backends)
                if column in ("median", "p95", "TTFT", "n", "ratio"):
                    assert order[3:] == ["Llamafile", "Ollama"]
    assert sorting.ordered(run_view, "latency", Sort("TTFT"))[0] == "HuggingFace"
    assert sorting.ordered(run_view, "latency", Sort("tok/s"))[0] == "llama.cpp"
    assert sorting.ordered(run_view, "latency", Sort("median", True))[0] == "HuggingFace"
    # The best comes first if more is better, too.
    assert sorting.ordered(run_view, "tokens_per_s", Sort("median"))[0] == "llama.cpp"


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("column", ["median", "p95", "backend", "ratio", "language"])
def test_sorted_table_keeps_its_column_and_width(width: int, column: str) -> None:
    run_view = canned.run_view()
    lines = table_lines(run_view, "latency", width, frozenset(), "", sort=Sort(column))
    head = text_of(lines[:1])
    assert all(width_of(line) == width for line in lines)
    layout = layout_of(run_view, "latency", width, Sort(column))
    if column in layout.keys:
        assert head.count("↑") == 1
        at = head.index("↑")
        assert head[at - 1] == " " and column_at(at, layout) == column
    assert column_at(0, layout) is None


def test_unequal_work_has_no_ratio() -> None:
    run_view = raced(1.0, 1.3, 2.0, tokens=(64, 64, 20))
    lines = [text_of([line]).split() for line in table_lines(run_view, "latency", 120, frozenset(), "")]
    assert (lines[1][-1], lines[2][-4:], lines[3][-1]) == ("1.00", ["1.30", "1.29", "to", "1.32"], "differs")
    assert lines[1][0].startswith("*")
    assert text_of([ranking_line(run_view, "latency", 80, None)]).startswith(" ● a 1.00 s   + b 1.30x   × c differs")
    by_rate = table_lines(run_view, "tokens_per_s", 120, frozenset(), "")
    assert "(" not in text_of(by_rate)
    no_winner = table_lines(raced(1.0, 1.3, tokens=(64, 20)), "latency", 120, frozenset(), "")
    assert "*" not in text_of(no_winner)


def named(*names: str, language: str = "C++") -> RunView:
    """A finished run of backends with these names, all of one language."""
    backends = [Backend(name=name, language=language, framework="vLLM") for name in names]
    run_view = build.run_view(build.plan(*backends, iterations=3), keep=0)
    for number in range(3):
        for name in names:
            run_view.apply(IterationDone(iteration=build.answered(name, number + 1, 0.9 + number / 100)))
    for name in names:
        run_view.apply(build.changed(name, planned=3))
    return run_view


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_column_with_one_value_gives_its_room_to_the_names(width: int) -> None:
    run_view = named("vLLM 0.11 (H100 SXM)", "vLLM 0.11 (H200 SXM)")
    heading, one, two = (text_of([line]) for line in table_lines(run_view, "latency", width, frozenset(), ""))
    assert "vLLM 0.11 (H10" in one and "vLLM 0.11 (H20" in two
    assert width < 100 or ("(H100 SXM) " in one and "(H200 SXM) " in two)
    assert "weights" not in heading and (width > 100 or "language" not in heading)


def test_a_column_with_one_value_is_shown_where_it_fits() -> None:
    heading = text_of(table_lines(named("a", "b"), "latency", 200, frozenset(), "")[:1])
    assert "language" in heading and "framework" in heading and "weights" not in heading


@pytest.mark.parametrize("metric", ["latency", "ttft", "itl", "tokens_per_s"])
def test_the_heading_names_the_metric(metric: MetricKey) -> None:
    heading = text_of(table_lines(canned.run_view(), metric, 80, frozenset(), "")[:1])
    assert heading.split("  ")[2].strip() == f"{METRICS[metric].title} of"


def test_a_wider_table_has_the_columns_of_a_narrower_one() -> None:
    run_view = named("vLLM 0.11 (H100 SXM)", "llama.cpp")
    shown = [set(layout_of(run_view, "latency", width).keys) for width in range(50, 250)]
    assert all(narrow <= wide for narrow, wide in itertools.pairwise(shown))


@given(MEDIANS, st.sampled_from(["latency", "ttft", "itl", "tokens_per_s"]), st.sampled_from([60, 80, 120, 200, 300]))
@settings(max_examples=60, deadline=None)
def test_every_figure_is_true_and_in_line(medians: list[float], metric: MetricKey, width: int) -> None:
    run_view = board(medians)
    heading, *rows = (text_of([line]) for line in table_lines(run_view, metric, width, frozenset(), ""))
    figures = figures_of(heading, rows)
    assert_readable(figures)
    for title, row, value, _, _ in figures:
        summary = run_view.backends[f"b{row}"].summary
        own = {"TTFT": summary.ttft, "tok/s": summary.tokens_per_s}.get(title)
        spread = own or summary.spread(metric)
        assert spread is not None
        truth = spread.median if own else getattr(spread, title)
        # No duration is shown finer than 0.1 us.
        assert value == (pytest.approx(truth, rel=5.001e-3, abs=5.1e-8) if truth is not None else None)
