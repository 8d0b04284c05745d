"""The figures of `run` and `compare`: true to three digits, and in line, for backends far apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.cli.compare import compare_runs
from llmtui.cli.run_lines import iteration_line
from tests import build
from tests.cli.histories import add
from tests.figures import assert_readable, figures_of

PLAN = build.plan("a", "b", iterations=10)


@given(st.floats(1e-5, 1e4), st.floats(0.001, 1))
def test_a_line_per_iteration(latency_s: float, share: float) -> None:
    ttft_s = latency_s * share
    iteration = build.answered("a", 1, latency_s, ttft_s=ttft_s, tokens_per_s=64 / latency_s)
    line = iteration_line(build.run_view(PLAN), iteration)
    match = re.search(r" ([\d.]+) +(m?s) +TTFT +([\d.]+) +(m?s) +([\d.]+) +tokens/s", line)
    assert match is not None, line
    for text, unit, truth in ((match[1], match[2], latency_s), (match[3], match[4], ttft_s)):
        value = float(text) * (1e-3 if unit == "ms" else 1)
        assert value == pytest.approx(truth, rel=5.001e-3, abs=5.1e-8)
    assert float(match[5]) == pytest.approx(64 / latency_s, rel=5.001e-3)


def test_points_and_units_of_iterations_are_in_line() -> None:
    view = build.run_view(PLAN)
    seconds = (0.0123, 0.123, 1.23, 12.3, 123.4)
    lines = [iteration_line(view, build.answered("a", 1, s, ttft_s=s / 2, tokens_per_s=64 / s)) for s in seconds]
    assert len({line.index("TTFT") for line in lines}) == 1 and len({line.index("tokens/s") for line in lines}) == 1
    assert {line.index(".") for line in lines if "." in line.partition("TTFT")[0]} == {lines[0].index(".")}


@pytest.mark.parametrize("median", [1e-5, 0.0005, 0.05, 0.5, 500.0])
def test_compare(median: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "history.db"
    truth = {"slow": 6.0, "other": median}
    add(file, "aaaa1111", truth, n=10)
    add(file, "bbbb2222", {name: 1.5 * value for name, value in truth.items()}, n=10)
    assert compare_runs("aaaa", "bbbb", str(file)) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("backend "))
    assert any(line.startswith("latency (median)") for line in lines[:at])
    figures = figures_of(lines[at], lines[at + 1 : at + 3])
    assert_readable(figures)
    for title, row, value, _, _ in figures:
        expected = list(truth.values())[row] * (1.5 if title == "median B" else 1)
        assert value == pytest.approx(expected, rel=6e-3)
