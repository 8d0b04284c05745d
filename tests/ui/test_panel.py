"""A backend's panel as lines."""

from __future__ import annotations

import re
from typing import Any

import pytest

from llmtui.model import BackendChanged, BackendState, Failure, IterationDone
from llmtui.runview.run import RunView
from llmtui.ui.text.spans import width_of
from llmtui.ui.views.backend_line import backend_line
from llmtui.ui.views.backend_state import PanelOptions
from llmtui.ui.views.panel import panel
from tests.ui import canned_run as canned
from tests.ui.lines import text_of


@pytest.mark.parametrize(("width", "height"), [(24, 13), (24, 8), (24, 6), (40, 16), (20, 5), (80, 1), (20, 1)])
@pytest.mark.parametrize("name", ["llama.cpp", "Llamafile", "Ollama", "HuggingFace"])
def test_panel_has_exactly_its_size(name: str, width: int, height: int) -> None:
    run_view = canned.run_view()
    lines = panel(run_view.backends[name], PanelOptions(index=list(run_view.backends).index(name)), width, height)
    assert len(lines) == height
    assert all(width_of(line) == width for line in lines)


def test_panel_shows_figures_and_server() -> None:
    run_view = canned.run_view()
    shown = text_of(panel(run_view.backends["mistral.rs"], PanelOptions(index=1), 24, 13))
    for part in (
        "mistral.rs",
        "Rust",
        "► running",
        "6/10",
        "median 1.36 s ±0.052",
        "TTFT 0.383s",
        "63.4 t/s",
        "Q8_0",
        "load 1.1 s",
    ):
        assert part in shown
    assert "Q8_0" in shown and "load 1.1 s" in shown
    assert "525 MB" in shown
    assert "1.0 cores" in shown
    assert "via a Python bridge" in shown


@pytest.mark.parametrize("done", [2, 5, 6, 10])
def test_a_median_has_its_interval_and_no_standard_deviation(done: int) -> None:
    backend_view = canned.run_view(done=done).backends["mistral.rs"]
    values = sorted(i.latency_s for i in backend_view.measured if i.latency_s is not None)
    # The exact interval of 6 values is from the least to the greatest, that of 10 from the second to the ninth.
    rank = {6: 1, 10: 2}.get(done)
    shown = text_of(panel(backend_view, PanelOptions(index=1), 40, 13))
    assert ("±" in shown) == (rank is not None)
    if rank is not None:
        half = (values[-rank] - values[rank - 1]) / 2
        match = re.search(r"median ([\d.]+) s +±([\d.]+)", shown)
        assert match is not None and float(match[2]) == pytest.approx(half, rel=0.05)


IN_ONE_PIECE: dict[str, Any] = {"ttft_s": None, "itl_s": None, "tokens_per_s": None}


@pytest.mark.parametrize(
    ("width", "changes", "words"),
    [
        (24, IN_ONE_PIECE, "not streamed"),
        (44, IN_ONE_PIECE, "not streamed: it came in one piece"),
        (24, {"tokens_per_s": None, "hidden_tokens": 300}, "hidden"),
        (44, {"tokens_per_s": None, "hidden_tokens": 300}, "hidden tokens"),
    ],
)
def test_panel_says_why_there_is_no_rate(width: int, changes: dict[str, Any], words: str) -> None:
    run_view = RunView(canned.plan())
    for number in (1, 2):
        run_view.apply(IterationDone(iteration=canned.iteration("llama.cpp", number, **changes)))
    lines = panel(run_view.backends["llama.cpp"], PanelOptions(index=0), width, 13)
    assert words in text_of(lines)
    assert all(width_of(line) == width for line in lines)
    assert "tok/s" not in text_of(lines)


def test_panel_counts_answers_in_one_piece_among_others() -> None:
    run_view = RunView(canned.plan())
    alone: dict[str, Any] = {}
    for number, changes in ((1, alone), (2, IN_ONE_PIECE)):
        run_view.apply(IterationDone(iteration=canned.iteration("llama.cpp", number, **changes)))
    shown = text_of(panel(run_view.backends["llama.cpp"], PanelOptions(index=0), 44, 13))
    assert "1x in one piece" in shown and "TTFT" in shown


def test_panel_shows_failure_and_hint() -> None:
    run_view = canned.run_view()
    shown = " ".join(
        text_of(panel(run_view.backends["Ollama"], PanelOptions(index=4), 24, 13)).replace("│", "").split()
    )
    assert "○ not reachable" in shown
    assert "nothing answers at 127.0.0.1:11434" in shown
    assert 'start it with "ollama serve", then press r' in shown


def test_error_replaces_the_newest_value() -> None:
    run_view = canned.run_view()
    failed = canned.iteration(
        "llama.cpp", 7, latency_s=None, error=Failure(kind="timeout", message="no answer within 120 s")
    )
    run_view.apply(IterationDone(iteration=failed))
    assert "no answer within 120" in text_of(panel(run_view.backends["llama.cpp"], PanelOptions(index=0), 24, 13))
    assert "timeout error" in text_of(panel(run_view.backends["llama.cpp"], PanelOptions(index=0), 80, 1))


def test_download_shows_its_percentage() -> None:
    run_view = RunView(canned.plan())
    doing = BackendState(name="llama.cpp", state="preparing", planned=10, doing="downloading the model", progress=0.42)
    run_view.apply(BackendChanged(backend=doing))
    shown = text_of(panel(run_view.backends["llama.cpp"], PanelOptions(index=0), 24, 13))
    assert "downloading the" in shown
    assert "42%" in shown
    assert "42%" in text_of([backend_line(run_view.backends["llama.cpp"], PanelOptions(index=0), 80)])


@pytest.mark.parametrize(("width", "height"), [(24, 13), (80, 1), (40, 1), (20, 1)])
def test_hidden_backend_is_marked_hidden(width: int, height: int) -> None:
    for name in ("llama.cpp", "Ollama"):
        shown = text_of(panel(canned.run_view().backends[name], PanelOptions(index=0, hidden=True), width, height))
        assert "hidden" in shown
        assert "╌" in shown


@pytest.mark.parametrize("height", [1, 6, 13])
def test_lanes_of_a_paused_run_are_paused_but_for_an_answer_under_way(height: int) -> None:
    run_view = canned.run_view()
    run_view.apply(canned.progress("mistral.rs", 5, 0.1))

    def shown(name: str) -> str:
        width = 80 if height == 1 else 30
        return text_of(panel(run_view.backends[name], PanelOptions(index=0, paused=True), width, height))

    assert "□ paused" in shown("llama.cpp") and "running" not in shown("llama.cpp")
    assert "► running" in shown("mistral.rs")
    assert "paused" not in shown("Llamafile")
