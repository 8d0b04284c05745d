"""A backend on one line, and the wait that line and panel show."""

from __future__ import annotations

import re

import pytest

from llmtui.model import BackendChanged, Failure, IterationDone
from llmtui.runview.run import RunView
from llmtui.stats.metrics import MetricKey
from llmtui.ui.text.spans import width_of
from llmtui.ui.views.backend_line import backend_line
from llmtui.ui.views.backend_state import PanelOptions
from llmtui.ui.views.panel import panel
from tests import build
from tests.boards import board
from tests.ui import canned_run as canned
from tests.ui.lines import text_of


def test_line_shows_the_failure_first_and_the_hint_if_it_fits() -> None:
    run_view = canned.run_view()
    failure = Failure(kind="http", message="HTTP 404", hint="check url and model")
    run_view.apply(build.changed("Ollama", state="failed", failure=failure))
    backend_view = run_view.backends["Ollama"]
    assert "✗ failed: HTTP 404; check url and model" in text_of([backend_line(backend_view, PanelOptions(index=4), 80)])
    narrow = text_of([backend_line(backend_view, PanelOptions(index=4), 45)])
    assert "✗ failed: HTTP 404" in narrow
    assert "check" not in narrow


@pytest.mark.parametrize("kind", ["protocol", "timeout"])
def test_count_and_error_stay_apart(kind: str) -> None:
    run_view = canned.run_view()
    failed = canned.iteration("llama.cpp", 7, latency_s=None, error=Failure(kind=kind, message="no"))  # type: ignore[arg-type]
    run_view.apply(IterationDone(iteration=failed))
    words = text_of([backend_line(run_view.backends["llama.cpp"], PanelOptions(index=0), 80)]).split()
    assert words[words.index("7/10") + 1 :][:2] == [kind, "error"]


def waiting(waited_s: float, width: int = 30, **state: object) -> tuple[str, str]:
    """The text of a waiting backend's panel, and of its line."""
    run_view = RunView(canned.plan())
    run_view.apply(build.changed("llama.cpp", **({"state": "waiting", "planned": 10} | state)))
    backend_view, options = run_view.backends["llama.cpp"], PanelOptions(index=0, waited_s=waited_s)
    framed = text_of(panel(backend_view, options, width, 13))
    return " ".join(framed.split()), text_of([backend_line(backend_view, options, 80)])


def test_remaining_time_follows_from_progress() -> None:
    for text in waiting(30, state="preparing", doing="fetching the model", progress=0.25):
        assert "fetching the model" in text and "━" in text and "25%" in text
        assert "01:30 to go" in text


@pytest.mark.parametrize(("waited_s", "share"), [(1.0, 0.25), (30.0, 0.01), (30.0, None)])
def test_remaining_time_needs_enough_progress(waited_s: float, share: float | None) -> None:
    for text in waiting(waited_s, state="preparing", doing="fetching the model", progress=share):
        assert "to go" not in text
        assert "00:01" in text or "00:30" in text


def test_remaining_load_time_follows_from_earlier_loads() -> None:
    for text in waiting(3, state="loading", usual_load_s=9.4):
        assert "━" in text and "32%" in text and "00:03, 00:06 to go" in text
    for text in waiting(14, state="loading", usual_load_s=9.4):
        assert "00:14, usually 00:09" in text and "%" not in text
    for text in waiting(3, state="loading"):
        assert "00:03" in text and "to go" not in text and "%" not in text


@pytest.mark.parametrize("width", range(40, 121, 5))
def test_wait_fits_its_line(width: int) -> None:
    run_view = RunView(canned.plan())
    state = build.state("llama.cpp", state="preparing", doing="fetching the model (93 MB)", progress=0.5)
    run_view.apply(BackendChanged(backend=state))
    line = backend_line(run_view.backends["llama.cpp"], PanelOptions(index=0, waited_s=100), width)
    assert width_of(line) == width
    assert width < 60 or "50%" in text_of([line])


@pytest.mark.parametrize("width", [40, 80, 120])
def test_figures_of_the_tenth_backend_are_in_the_columns_of_the_others(width: int) -> None:
    backend_view = canned.run_view(done=5).backends["llama.cpp"]
    lines = [text_of([backend_line(backend_view, PanelOptions(index=n, backends=12), width)]) for n in (0, 9, 11)]
    assert len({line.index("lla") for line in lines}) == 1
    assert lines[1].lstrip(" >").startswith("10 ") and lines[0].lstrip(" >").startswith("1 ")
    for figure in ("5/10", "med", "t/s" if width < 100 else "tok/s") if width > 40 else ():
        assert len({line.index(figure) for line in lines}) == 1, figure


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("metric", ["latency", "ttft", "itl", "tokens_per_s"])
def test_every_figure_has_its_unit_and_points_are_in_line(width: int, metric: MetricKey) -> None:
    run_view = board([0.0005, 0.123, 6.0, 500.0], rounds=8)
    lines = [
        text_of([backend_line(view, PanelOptions(index=n, metric=metric), width)])
        for n, view in enumerate(run_view.backends.values())
    ]
    points = []
    for line, view in zip(lines, run_view.backends.values(), strict=True):
        match = re.search(r"med(?:ian)? +([\d.]+) *(ms|s|t/s)\b", line)
        spread = view.summary.spread(metric)
        if width < 80 and match is None:
            # A figure without room is left out, never its unit.
            assert "med" not in line
            continue
        assert match is not None and spread is not None, line
        assert float(match[1]) * (1e-3 if match[2] == "ms" else 1) == pytest.approx(spread.median, rel=5.001e-3)
        points.append(match.start(1) + len(match[1].partition(".")[0]))
    assert width < 80 or metric in ("itl", "tokens_per_s") or len(set(points)) == 1, lines


def test_a_line_has_room_for_a_thousand_iterations_and_the_rate() -> None:
    run_view = canned.run_view(done=5)
    run_view.apply(BackendChanged(backend=canned.state("llama.cpp", planned=1000)))
    assert "5/1000" in (line := text_of([backend_line(run_view.backends["llama.cpp"], PanelOptions(index=0), 80)]))
    assert "t/s" in line
