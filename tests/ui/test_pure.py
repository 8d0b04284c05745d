from __future__ import annotations

import pytest
from rich.cells import cell_len

from llmtui.model import BackendChanged, BackendState, Failure, IterationDone
from llmtui.runview.run import RunView
from llmtui.ui.charts.sparkline import big, decimate, scatter
from llmtui.ui.layout import layout_for
from llmtui.ui.text.format import (
    ASCII_SHAPES,
    HIDDEN_SIGN,
    LOST_SIGN,
    SHAPES,
    STATE_SIGNS,
    clock,
    memory,
    number,
    percent,
    value_text,
)
from llmtui.ui.text.spans import Line, ascii_text, box, clip, difference, fit, spread_out, to_ascii, width_of, wrap
from llmtui.ui.throttle import Pace
from llmtui.ui.views.attempts import attempt_sentence
from llmtui.ui.views.backend_line import backend_line
from llmtui.ui.views.backend_state import PanelOptions
from llmtui.ui.views.panel import BIG_FROM, panel
from llmtui.ui.views.ranking import doubts, ranking_line
from llmtui.ui.views.table import table_lines
from tests.ui import canned_run as canned


def text_of(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def run_view(done: int = 6, running: bool = True) -> RunView:
    it = RunView(canned.plan())
    it.apply(canned.hello(done=done, running=running))
    for event in canned.samples():
        it.apply(event)
    return it


# --- Numbers and lines ---


def test_numbers_never_outgrow_their_column() -> None:
    for value in (0.0, 0.00012, 0.9214, 9.9999, 12.3456, 123.456, 1234.5, 99_999.4, 100_000.0, 3.2e9, -1.5):
        assert len(number(value)) <= 6, value
    assert number(None) == "-"
    assert value_text("itl", 0.0123) == "12.30"
    assert value_text("latency", 0.9214) == "0.921"
    assert (clock(62), clock(3723)) == ("01:02", "1:02:03")
    assert (memory(241_000_000), memory(12_300_000_000)) == ("241 MB", "12.3 GB")
    assert percent(0.969, 1.0) == "-3.1 %"
    assert percent(0.99999, 1.0) == "0.0 %"


def test_clip_counts_cells_not_characters() -> None:
    assert clip("模型模型", 5) == "模型…"
    assert cell_len(clip("模型模型", 4)) <= 4


@pytest.mark.parametrize("width", range(0, 30))
def test_fit_gives_exactly_the_width(width: int) -> None:
    line: Line = (("llama", "title"), (".cpp 模型", "dim"), (" 12", ""))
    assert width_of(fit(line, width)) == width


def test_both_ends_of_a_line_stay_apart() -> None:
    assert "".join(t for t, _ in spread_out([("left", "")], [("right", "")], 12)) == "left   right"
    assert "".join(t for t, _ in spread_out([("leftmost", "")], [("right", "")], 12)) == "leftm… right"


def test_wrapping_breaks_long_words_and_tells_that_there_is_more() -> None:
    assert wrap("get one from github.com/x", 10, 9) == ["get one", "from", "github.com", "/x"]
    assert wrap("a b c d e f", 3, 2) == ["a b", "c …"]
    assert wrap("see github.com/Some-body/thing", 12, 9) == ["see", "github.com/", "Some-body/", "thing"]
    assert wrap("anything", 0, 3) == []


@pytest.mark.parametrize(("width", "height"), [(24, 13), (20, 5), (12, 3), (4, 2), (60, 8)])
def test_a_box_has_exactly_its_size(width: int, height: int) -> None:
    title, right, note = [("3 x HuggingFace", "")], [("Python", "dim")], [("a bridge stands in front", "dim")]
    lines = box([(("body", ""),)] * 20, width, height, left=title, right=right, bottom=note)  # type: ignore[arg-type]
    assert len(lines) == height
    assert all(width_of(line) == width for line in lines)


def test_only_the_cells_that_differ_are_painted_again() -> None:
    old: Line = (("median ", "dim"), ("0.921", "strong"), (" s", "dim"))
    assert difference(old, old) is None
    assert difference(old, (("median ", "dim"), ("0.934", "strong"), (" s", "dim"))) == (10, 12)
    assert difference(old, (("median ", "dim"), ("0.921", "bad"), (" s", "dim"))) == (7, 12)


def test_ascii_keeps_every_cell_in_place() -> None:
    line: Line = (("┏━ ● ►×◆▲■◇△▽ ✓✗»…", ""),)
    translated = to_ascii(line)
    assert width_of(translated) == width_of(line)
    assert translated[0][0].isascii()
    assert "?" not in translated[0][0]


# --- Small plots ---


def test_at_most_two_points_a_column_and_the_extremes_survive() -> None:
    values = [float(i % 97) for i in range(100_000)]
    values[50_001] = 1000.0
    values[77_777] = -5.0
    kept = decimate(list(enumerate(values)), 50, len(values))
    assert len(kept) <= 100
    assert (50_001, 1000.0) in kept
    assert (77_777, -5.0) in kept
    assert [i for i, _ in kept] == sorted(i for i, _ in kept)


@pytest.mark.parametrize("marker", ["braille", "fhd", "dot", "ascii"])
def test_the_small_plot_fills_its_cells(marker: str) -> None:
    lines = scatter([(0, 1.0), (1, 1.1), (2, float("inf")), (4, 0.9)], 1.0, 20, 3, marker, "s1", 10)  # type: ignore[arg-type]
    assert len(lines) == 3
    assert all(width_of(line) == 20 for line in lines)
    assert "─" in text_of(lines)


def test_a_value_too_wide_for_large_digits_is_left_to_the_caller() -> None:
    assert big("123.456", "s", 20, "s1") is not None
    assert big("123.456", "s", 10, "s1") is None
    assert big("3e9", "s", 30, "s1") is None


# --- Layout ---


@pytest.mark.parametrize("backends", range(1, 10))
@pytest.mark.parametrize("size", [(20, 5), (40, 10), (80, 24), (100, 45), (119, 60), (120, 32), (120, 40), (200, 50)])
def test_the_parts_never_need_more_rows_than_there_are(size: tuple[int, int], backends: int) -> None:
    width, height = size
    layout = layout_for(width, height, backends)
    panels = -(-backends // layout.panel_columns) * layout.panel_height
    table = backends + 1 if layout.table else 0
    said = layout.said if layout.table else layout.said_alone
    taken = layout.header + panels + layout.chart_height + said + table + layout.verdict + layout.footer
    if layout.form != "tiny":
        assert taken <= height
    assert width // layout.panel_columns >= 20 or layout.panel_columns == 1
    if layout.charts:
        assert layout.chart_height >= 8


def test_the_default_config_fills_120_by_40() -> None:
    layout = layout_for(120, 40, 5)
    assert (layout.form, layout.panel_columns, layout.charts, layout.table) == ("wide", 5, 2, True)
    assert layout.panel_height >= BIG_FROM
    assert layout.header + layout.panel_height + layout.chart_height + layout.said + 6 + 2 == 40


# --- Panels, table, verdict ---


@pytest.mark.parametrize(("width", "height"), [(24, 13), (24, 8), (24, 6), (40, 16), (20, 5), (80, 1), (20, 1)])
@pytest.mark.parametrize("name", ["llama.cpp", "Llamafile", "Ollama", "HuggingFace"])
def test_a_panel_has_exactly_its_size(name: str, width: int, height: int) -> None:
    it = run_view()
    lines = panel(it.backends[name], PanelOptions(index=list(it.backends).index(name)), width, height)
    assert len(lines) == height
    assert all(width_of(line) == width for line in lines)


def test_a_panel_carries_its_figures() -> None:
    it = run_view()
    shown = text_of(panel(it.backends["mistral.rs"], PanelOptions(index=1), 24, 13))
    for part in ("mistral.rs", "Rust", "► running", "6/10", "median 1.363", "±", "TTFT", "t/s", "Q8_0", "load 1.1 s"):
        assert part in shown
    assert "525 MB" in shown
    assert "1.0 cores" in shown
    assert "via a Python bridge" in shown


def test_a_panel_says_what_is_wrong_and_what_to_do() -> None:
    it = run_view()
    shown = " ".join(text_of(panel(it.backends["Ollama"], PanelOptions(index=4), 24, 13)).replace("│", "").split())
    assert "○ not reachable" in shown
    assert "nothing answers at 127.0.0.1:11434" in shown
    assert 'start it with "ollama serve", then press r' in shown


def test_a_failed_iteration_is_told_in_the_place_of_its_value() -> None:
    it = run_view()
    failed = canned.iteration(
        "llama.cpp", 7, latency_s=None, error=Failure(kind="timeout", message="no answer within 120 s")
    )
    it.apply(IterationDone(iteration=failed))
    assert "no answer within 120" in text_of(panel(it.backends["llama.cpp"], PanelOptions(index=0), 24, 13))
    assert "timeout error" in text_of(panel(it.backends["llama.cpp"], PanelOptions(index=0), 80, 1))


def test_a_download_shows_how_far_it_is() -> None:
    it = RunView(canned.plan())
    doing = BackendState(name="llama.cpp", state="preparing", planned=10, doing="downloading the model", progress=0.42)
    it.apply(BackendChanged(backend=doing))
    shown = text_of(panel(it.backends["llama.cpp"], PanelOptions(index=0), 24, 13))
    assert "downloading the" in shown
    assert "42 %" in shown
    assert "42 %" in text_of([backend_line(it.backends["llama.cpp"], PanelOptions(index=0), 80)])


def waiting(waited_s: float, width: int = 30, **state: object) -> tuple[str, str]:
    """A backend's wait as its panel and its line tell it."""
    it = RunView(canned.plan())
    it.apply(BackendChanged(backend=BackendState(name="llama.cpp", planned=10, **state)))  # type: ignore[arg-type]
    backend_view, options = it.backends["llama.cpp"], PanelOptions(index=0, waited_s=waited_s)
    framed = text_of(panel(backend_view, options, width, 13))
    return " ".join(framed.split()), text_of([backend_line(backend_view, options, 80)])


def test_a_wait_tells_how_long_it_still_takes_by_how_far_it_got() -> None:
    for told in waiting(30, state="preparing", doing="fetching the model", progress=0.25):
        assert "fetching the model" in told and "━" in told and "25 %" in told
        assert "01:30 to go" in told


@pytest.mark.parametrize(("waited_s", "share"), [(1.0, 0.25), (30.0, 0.01), (30.0, None)])
def test_no_time_to_go_is_made_up(waited_s: float, share: float | None) -> None:
    for told in waiting(waited_s, state="preparing", doing="fetching the model", progress=share):
        assert "to go" not in told
        assert "00:01" in told or "00:30" in told


def test_a_load_is_told_by_how_long_it_took_before() -> None:
    for told in waiting(3, state="loading", usual_load_s=9.4):
        assert "━" in told and "32 %" in told and "00:03, 00:06 to go" in told
    for told in waiting(14, state="loading", usual_load_s=9.4):
        assert "00:14, usually 00:09" in told and "%" not in told
    for told in waiting(3, state="loading"):
        assert "00:03" in told and "to go" not in told and "%" not in told


@pytest.mark.parametrize("width", range(40, 121, 5))
def test_a_wait_keeps_to_its_line(width: int) -> None:
    it = RunView(canned.plan())
    state = BackendState(name="llama.cpp", state="preparing", doing="fetching the model (93 MB)", progress=0.5)
    it.apply(BackendChanged(backend=state))
    line = backend_line(it.backends["llama.cpp"], PanelOptions(index=0, waited_s=100), width)
    assert width_of(line) == width
    assert width < 60 or "50 %" in text_of([line])


def test_a_rerun_is_compared_with_the_attempt_before() -> None:
    it = run_view(done=10)
    for event in canned.rerun_events("llama.cpp", count=10, speed=1.25):
        it.apply(event)
    backend_view = it.backends["llama.cpp"]
    sentence = attempt_sentence(backend_view, "latency")
    assert sentence.startswith("attempt 2: -")
    assert "% to attempt 1, median 0.7" in sentence
    assert "attempt 2: -" in text_of(panel(backend_view, PanelOptions(index=0), 24, 13))


@pytest.mark.parametrize("width", [40, 80, 100, 120, 160, 200, 300])
def test_the_table_fits_and_keeps_what_matters_most(width: int) -> None:
    lines = table_lines(run_view(), "latency", width, frozenset(), "llama.cpp")
    assert len(lines) == 6
    assert all(width_of(line) == width for line in lines)
    heading = text_of(lines[:1])
    assert "median" in heading
    assert "x fastest" in heading
    if width >= 200:
        assert all(word in heading for word in ("framework", "language", "model", "weights", "dist", "tokens"))
    assert text_of(lines[1:2]).lstrip().startswith("·"), "the best so far: of so few rounds nothing is shown"
    assert "1.00" in text_of(lines[1:2])


def test_a_star_is_for_who_is_shown_to_be_fastest() -> None:
    of_ten = run_view(done=10, running=False)
    lines = table_lines(of_ten, "latency", 120, frozenset(), "llama.cpp")
    assert of_ten.verdict().line.startswith("llama.cpp is fastest")
    assert [text_of([line])[1] for line in lines[1:]] == ["*", " ", " ", " ", " "]


def test_names_of_one_model_and_words_for_one_quantisation_raise_no_doubt() -> None:
    def differences(weights: str) -> list[str]:
        it = run_view(done=10)
        it.backends.pop("HuggingFace")
        it.apply(BackendChanged(backend=canned.state("llama.cpp", model="smollm2:135m", weights="Q4_K_M")))
        model = "SmolLM2-135M-Instruct.Q4_K_M.gguf"
        it.apply(BackendChanged(backend=canned.state("mistral.rs", model=model, weights=weights)))
        return [words for words in doubts(it, "latency") if "differ" in words]

    assert differences("Q4_K - Medium") == []
    assert differences("F16") == ["weights differ: F16, Q4_K_M"]


def test_the_verdict_names_the_fastest_and_what_to_doubt() -> None:
    line = ranking_line(run_view(), "latency", 120, None)
    assert width_of(line) == 120
    shown = text_of([line])
    assert "llama.cpp 0.9" in shown
    assert "HuggingFace 3." in shown
    assert "weights differ" in shown
    assert "3 of 18 disturbed" in shown
    assert text_of([ranking_line(run_view(), "latency", 80, None)]).rstrip().endswith("weights differ")


def test_more_tokens_per_second_is_better() -> None:
    lines = table_lines(run_view(), "tokens_per_s", 120, frozenset(), "")
    assert text_of(lines[1:2]).lstrip().startswith("·")
    assert "x best" in text_of(lines[:1])


# --- Pace ---


def test_the_screen_follows_at_once_and_then_at_its_pace() -> None:
    now = 0.0
    runs: list[float] = []
    later: list[tuple[float, object]] = []
    pace = Pace(0.5, lambda: runs.append(now), lambda wait, call: later.append((wait, call)), lambda: now)
    pace.request()
    assert runs == [0.0]
    now = 0.1
    for _ in range(50):
        pace.request()
    assert runs == [0.0]
    assert len(later) == 1
    wait, call = later[0]
    assert abs(wait - 0.4) < 1e-9
    now = 0.5
    call()  # type: ignore[operator]
    assert runs == [0.0, 0.5]
    now = 2.0
    pace.request()
    assert runs == [0.0, 0.5, 2.0]


# --- What one line says ---


def test_a_line_tells_the_finding_first_and_the_hint_where_it_fits() -> None:
    it = run_view()
    failure = Failure(kind="http", message="HTTP 404", hint="check url and model")
    it.apply(BackendChanged(backend=BackendState(name="Ollama", state="failed", failure=failure)))
    backend_view = it.backends["Ollama"]
    assert "✗ failed: HTTP 404; check url and model" in text_of([backend_line(backend_view, PanelOptions(index=4), 80)])
    narrow = text_of([backend_line(backend_view, PanelOptions(index=4), 45)])
    assert "✗ failed: HTTP 404" in narrow
    assert "check" not in narrow


@pytest.mark.parametrize("kind", ["protocol", "timeout"])
def test_count_and_error_stay_apart(kind: str) -> None:
    it = run_view()
    failed = canned.iteration("llama.cpp", 7, latency_s=None, error=Failure(kind=kind, message="no"))  # type: ignore[arg-type]
    it.apply(IterationDone(iteration=failed))
    words = text_of([backend_line(it.backends["llama.cpp"], PanelOptions(index=0), 80)]).split()
    assert words[words.index("7/10") + 1 :][:2] == [kind, "error"]


@pytest.mark.parametrize(("width", "height"), [(24, 13), (80, 1), (40, 1), (20, 1)])
def test_a_hidden_backend_is_called_hidden(width: int, height: int) -> None:
    for name in ("llama.cpp", "Ollama"):
        shown = text_of(panel(run_view().backends[name], PanelOptions(index=0, hidden=True), width, height))
        assert "hidden" in shown
        assert "╌" in shown


def test_the_table_marks_what_is_hidden() -> None:
    hidden = frozenset({"llama.cpp"})
    assert "(llama.cpp)" in text_of(table_lines(run_view(), "latency", 80, hidden, ""))
    assert "llama.cpp hidden" in text_of(table_lines(run_view(), "latency", 200, hidden, ""))


def test_no_sign_of_a_state_is_a_shape_or_the_sign_of_hidden() -> None:
    signs = {*STATE_SIGNS.values(), LOST_SIGN}
    assert not (signs | {HIDDEN_SIGN}) & set(SHAPES)
    assert HIDDEN_SIGN not in signs
    assert not {ascii_text(sign) for sign in signs | {HIDDEN_SIGN}} & set(ASCII_SHAPES)


@pytest.mark.parametrize(
    ("value", "narrow", "wide"),
    [(0.00031, "3.1e-4", "0.00031"), (0.0012, "0.0012", "0.0012"), (0.005, "0.005", "0.005"), (0.0, "0.000", "0.000")],
)
def test_a_small_value_keeps_two_digits(value: float, narrow: str, wide: str) -> None:
    assert number(value) == narrow
    assert number(value, room=8) == wide
    assert len(number(value / 1e7)) <= 6


def test_in_ascii_the_spread_is_not_the_sign_of_disturbed() -> None:
    shown = text_of(panel(run_view().backends["llama.cpp"], PanelOptions(index=0, marker="ascii"), 28, 13))
    assert "+-0.0" in shown
