"""The summary table as lines: columns, marks, order."""

from __future__ import annotations

import pytest

from llmtui.ui.text.spans import width_of
from llmtui.ui.views import sorting
from llmtui.ui.views.ranking import ranking_line
from llmtui.ui.views.sorting import Sort
from llmtui.ui.views.table import column_at, fitting_columns, table_lines
from tests.stats.build import raced
from tests.ui import canned_run as canned
from tests.ui.lines import text_of


@pytest.mark.parametrize("width", [40, 80, 100, 120, 160, 200, 300])
def test_table_fits_and_keeps_the_important_columns(width: int) -> None:
    lines = table_lines(canned.run_view(), "latency", width, frozenset(), "llama.cpp")
    assert len(lines) == 6
    assert all(width_of(line) == width for line in lines)
    heading = text_of(lines[:1])
    assert "median" in heading
    assert "x fastest" in heading
    if width >= 200:
        assert all(word in heading for word in ("framework", "language", "model", "weights", "dist", "tokens"))
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
    assert "x best" in text_of(lines[:1])


def test_table_marks_hidden_backends() -> None:
    hidden = frozenset({"llama.cpp"})
    assert "(llama.cpp)" in text_of(table_lines(canned.run_view(), "latency", 80, hidden, ""))
    assert "llama.cpp hidden" in text_of(table_lines(canned.run_view(), "latency", 200, hidden, ""))


def test_every_column_sorts_all_backends_with_missing_values_last() -> None:
    run_view = canned.run_view()
    for metric in ("latency", "tokens_per_s"):
        for column in ("", *(c.key for c in fitting_columns(metric, 250))):
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
    if column in [c.key for c in fitting_columns("latency", width)]:
        assert head.count("↑") == 1
        at = head.index("↑")
        assert column_at(at, "latency", width, column) == column
    assert column_at(0, "latency", width, column) is None


def test_ratio_is_in_parentheses_if_the_work_differs() -> None:
    run_view = raced(1.0, 1.3, 2.0, tokens=(64, 64, 20))
    lines = [text_of([line]).split() for line in table_lines(run_view, "latency", 120, frozenset(), "")]
    assert [line[-1] for line in lines[1:]] == ["1.00", "1.31", "(2.00)"]
    assert lines[1][0].startswith("*")
    assert text_of([ranking_line(run_view, "latency", 80, None)]).startswith(" by tokens/s: ● a ")
    by_rate = table_lines(run_view, "tokens_per_s", 120, frozenset(), "")
    assert "(" not in text_of(by_rate)
    no_winner = table_lines(raced(1.0, 1.3, tokens=(64, 20)), "latency", 120, frozenset(), "")
    assert "*" not in text_of(no_winner)
