"""What the monitor leaves on the terminal is a few lines."""

from __future__ import annotations

import pytest

from llmtui.export.farewell import farewell
from llmtui.export.table import summary_table
from llmtui.model import BackendChanged, Failure
from tests import build
from tests.stats.build import raced


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_three_backends_take_seven_lines(width: int) -> None:
    run_view = raced(1.0, 1.3, 2.0)
    lines = farewell(run_view, width).splitlines()
    assert len(lines) <= 7
    assert all(len(line) <= width for line in lines)
    assert lines[:5] == summary_table(run_view, width).splitlines()[:5]
    assert "a is fastest" in " ".join(lines)


def test_a_failed_backend_has_its_reason_and_no_row() -> None:
    run_view = raced(1.0, 1.3)
    failure = Failure(
        kind="connect", message="nothing answers at 127.0.0.1:1 " + "x" * 400 + "\x1b[2J", hint="start it"
    )
    run_view.backends["b"] = build.run_view(build.plan("b")).backends["b"]
    run_view.apply(BackendChanged(backend=build.state("b", state="unreachable", failure=failure)))
    text = farewell(run_view, 80)
    assert text.splitlines()[3].startswith("b: not reachable: nothing answers at 127.0.0.1:1")
    assert len(text.splitlines()) == 5
    assert "\x1b" not in text


def test_nothing_before_the_run_has_begun() -> None:
    assert farewell(build.run_view(build.plan("a", "b")), 80) == ""
