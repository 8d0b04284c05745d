"""The summary table: golden at three widths, and never wider than requested."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtui.export.markdown import run_markdown
from llmtui.export.table import summary_table
from llmtui.model import Backend, IterationDone
from llmtui.runview.run import RunView
from tests import build
from tests.export.run_views import run_view
from tests.stats.build import iteration, raced

FIXTURES = Path(__file__).parent.parent / "fixtures" / "export"


@pytest.mark.parametrize("width", [80, 120, 200])
def test_golden(width: int) -> None:
    assert summary_table(run_view(), width) == (FIXTURES / f"table_{width}.txt").read_text()


@pytest.mark.parametrize("width", range(60, 220, 7))
def test_table_fits_the_width_with_the_important_columns(width: int) -> None:
    text = summary_table(run_view(), width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "\x1b" not in text and text.endswith("\n")
    title = text.splitlines()[1]
    assert "backend" in title and "median" in title and "vs best" in title


def test_only_the_fastest_is_marked() -> None:
    marked = [line for line in summary_table(raced(1.3, 1.0), 200).splitlines() if line.startswith("*")]
    assert len(marked) == 1 and marked[0].startswith("* b ")


@pytest.mark.parametrize("medians", [(1.0, 1.001), (1.0, 1.001, 3.0), (1.0,)])
def test_no_mark_without_a_shown_fastest(medians: tuple[float, ...]) -> None:
    text = summary_table(raced(*medians, noise=0.05), 200)
    assert " 1.00\n" in text and "\n*" not in text


def bimodal(rounds: int = 60) -> RunView:
    """A run in which `a` is either faster or much slower than `b`, faster a little more often."""
    run_view = build.run_view(build.plan(*"ab", iterations=rounds), keep=0)
    for number in range(rounds):
        for name, latency in (("a", 1.0 if number % 15 % 2 == 0 else 1.5), ("b", 1.1)):
            run_view.apply(IterationDone(iteration=iteration(name, number + 1, latency + number / 1e4)))
    for name in "ab":
        run_view.apply(build.changed(name, planned=rounds))
    return run_view


def test_disagreement_of_medians_and_rounds_is_noted() -> None:
    note = "the medians and the rounds of a and b are in different orders, so check the iterations"
    for text in (summary_table(bimodal(), 200), run_markdown(bimodal())):
        assert "a takes 1.1" in text and "x as long as b" in text and note in text
        assert "\n* b " in text or "**`b`**" in text, "the star is the verdict's"
    for text in (summary_table(raced(1.3, 1.0), 200), run_markdown(raced(1.0, 1.001, noise=0.05))):
        assert "disagree" not in text


def test_unequal_work_has_no_ratio() -> None:
    one_differs = summary_table(raced(1.0, 1.3, 2.0, tokens=(64, 64, 20)), 200)
    rows = {line[2]: line for line in one_differs.splitlines()[2:5]}
    ratios = [rows[name].split() for name in "abc"]
    assert (ratios[0][-1], ratios[1][-4], ratios[2][-1]) == ("1.00", "1.30", "differs") and rows["a"].startswith("*")
    assert "differs: not comparable, as the work differed" in one_differs
    unequal = summary_table(raced(1.0, 1.3, tokens=(64, 20)), 200)
    assert unequal.count(" differs\n") == 2 and "\n*" not in unequal
    assert "(" not in "".join(summary_table(raced(1.0, 1.3), 200).splitlines()[1:4])


def test_empty_columns_are_dropped() -> None:
    plain = build.run_view(build.plan("b"))
    title = summary_table(plain, 200).splitlines()[1]
    assert "language" not in title and "weights" not in title and "stddev" in title
    assert "framework" not in title and "p95" not in title


def test_long_names_differ_at_their_end() -> None:
    names = [Backend(name=f"vLLM 0.11 (H100 node, tensor parallel {n})", framework="vLLM") for n in (1, 2)]
    one, two = summary_table(build.run_view(build.plan(*names)), 200).splitlines()[2:4]
    assert one != two and "parallel 1)" in one and "vLLM" in two


def test_wide_characters_stay_in_their_columns() -> None:
    names = [Backend(name="模型", framework="x"), Backend(name="abcdef", framework="y"), Backend(name="長" * 40)]
    lines = summary_table(build.run_view(build.plan(*names)), 300).splitlines()
    assert lines[2].index("x") + 2 == lines[3].index("y")
    assert "..." in lines[4]


def test_table_without_backends() -> None:
    empty = build.run_view(build.plan())
    assert summary_table(empty, 80).splitlines()[1].split()[0] == "backend"
