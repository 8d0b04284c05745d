"""The details of one backend: iterations, token timeline, clocks, answer, server log."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from textual.events import MouseScrollDown

from llmtui.config.schema import Marker
from llmtui.model import (
    AnyEvent,
    BackendChanged,
    Earlier,
    Failure,
    Iteration,
    IterationDone,
    Logs,
    LogTail,
)
from llmtui.runview.samples import RECENT
from llmtui.ui.app import MonitorApp
from llmtui.ui.layout import details_layout_for
from llmtui.ui.screens.detail_parts import Answer, ServerLog
from llmtui.ui.screens.details import DetailsScreen
from llmtui.ui.text.spans import Line, to_ascii, width_of
from llmtui.ui.views import details as details_view
from llmtui.ui.views import timeline
from llmtui.ui.views.details import rule, wrapped
from llmtui.ui.views.iteration_table import Scales, columns_for, iteration_line
from llmtui.ui.views.sorting import Sort
from llmtui.ui.widgets import listed as listed_widget
from llmtui.ui.widgets.iterations import Iterations
from tests import build
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.pilot import make, screen_text, settle

SIZES = [(20, 5), (40, 12), (80, 24), (200, 50)]
STALL = canned.arrivals(gaps={23: 0.084, 40: 0.045})


def text_of(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def one(**changes: Any) -> Iteration:
    return canned.iteration("llama.cpp", 7, **changes)


def table_of(app: MonitorApp) -> Iterations:
    return app.screen.query_one(Iterations)


# --- The timeline ---


def test_answer_in_one_piece_has_no_ttft_in_the_timeline() -> None:
    whole = one(ttft_s=None, itl_s=None, tokens_per_s=None, arrivals_ns=[2 * 10**9], arrival_tokens=[64])
    shown = text_of(timeline.drawn(whole, 80, 6, "braille", ""))
    assert "TTFT" not in shown and "nothing for 2.00 s" in shown
    assert details_view.timeline_title(whole, 80).endswith("not streamed: it came in one piece")


def test_only_gaps_of_three_medians_are_long() -> None:
    arrivals = timeline.Arrivals.of(one(**STALL))
    assert [(round(g.length_ns / 1e6), g.token) for g in arrivals.long] == [(84, 24), (45, 41)]
    assert timeline.gap_text(arrivals) == "longest gap 84.0 ms at token 24 (7.0x ITL)"
    even = timeline.Arrivals.of(one(**canned.arrivals(gaps={9: 0.036})))
    assert even.long == []
    assert timeline.gap_text(even) == ""


@pytest.mark.parametrize(
    ("counted", "word"), [(64, "token"), (65, "token"), (None, "token"), (63, "piece"), (80, "piece")]
)
def test_pieces_are_called_tokens_only_if_the_server_counts_as_many(counted: int | None, word: str) -> None:
    assert timeline.Arrivals.of(one(**STALL | {"output_tokens": counted})).word == word


@pytest.mark.parametrize("marker", ["dot", "ascii"])
def test_an_arrival_of_several_tokens_is_one_tick_with_its_count(marker: Marker) -> None:
    iteration = one(**canned.arrivals(count=6, ttft_s=0.5, itl_s=0.1, each=4))
    lines = timeline.drawn(iteration, 60, 4, marker, "s1")
    ticks = text_of(lines[1:2]).rpartition("┤")[2]
    assert ticks.replace(" ", "") == "444444"
    assert "24 tokens in 6 arrivals, at most 4 in one" in text_of(lines)


@pytest.mark.parametrize("marker", ["braille", "fhd"])
def test_a_tick_is_taller_for_more_tokens(marker: Marker) -> None:
    changes = canned.arrivals(count=2, ttft_s=0.5, itl_s=0.5) | {"arrival_tokens": [1, 8]}
    above, below = (text_of([line]) for line in timeline.drawn(one(**changes), 60, 5, marker, "s1")[1:3])
    assert len(above.split()) == 1
    assert len(below.rpartition("┤")[2].split()) == 2


def test_ticks_are_above_their_time() -> None:
    lines = timeline.drawn(one(**canned.arrivals(count=5, ttft_s=0.2, itl_s=0.2)), 66, 4, "dot", "s1")
    ticks, axis = text_of([lines[1]]), text_of([lines[-1]])
    assert axis.split()[-2:] == ["1000", "ms"]
    for label in ("200", "400", "600", "800"):
        assert ticks[axis.index(label)] == "│", label


@pytest.mark.parametrize(
    "changes",
    [
        STALL,
        canned.arrivals(count=1, ttft_s=5.0, each=64),
        canned.arrivals(count=2, ttft_s=1e-6, itl_s=1e-6),
        canned.arrivals(count=3000, ttft_s=0.001, itl_s=0.003),
        canned.arrivals(ttft_s=300.0, itl_s=0.01),
        {"arrivals_ns": [0, 0], "arrival_tokens": []},
        {"arrivals_ns": []},
    ],
)
def test_the_timeline_fits_any_arrivals(changes: dict[str, Any]) -> None:
    markers: list[Marker] = ["braille", "fhd", "dot", "ascii"]
    sizes = [(8, 1), (20, 2), (38, 3), (78, 4), (78, 5), (118, 9), (198, 11)]
    for marker, (width, height) in itertools.product(markers, sizes):
        lines = timeline.drawn(one(**changes), width, height, marker, "s1")
        assert 1 <= len(lines) <= height, (marker, width, height)
        if changes["arrivals_ns"]:
            assert all(width_of(line) <= width for line in lines), (marker, width, height)
        if marker == "ascii":
            assert text_of([to_ascii(line) for line in lines]).isascii(), (width, height)


# --- The table and the parts ---


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_a_line_of_the_table_fits_and_ends_with_the_error(width: int) -> None:
    failed = one(latency_s=None, ttft_s=None, error=Failure(kind="http", message="HTTP 500\x1b[2J: no slot"), refused=2)
    line = iteration_line(failed, width, cursor=True)
    assert width_of(line) == width
    assert text_of([line]).startswith(">")
    assert "refused 2" in text_of([line]) or width < 40
    assert "\x1b" not in text_of([line])
    if width >= 60:
        assert text_of([line]).rstrip().endswith("http: HTTP 500: no slot")
    if width >= 120:
        titles = [column.title for column in columns_for(width)[0]]
        assert {"try", "server s", "other s", "busy cores", "429s"} <= set(titles)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("banner", [False, True])
def test_the_parts_fill_every_terminal(log: bool, banner: bool) -> None:
    for height in range(1, 80):
        for width in (10, 40, 80, 120, 200):
            p = details_layout_for(width, height, banner, log)
            used = p.header + p.facts + p.table + p.timeline + p.texts + p.log + p.ranking + p.footer
            assert used == height or height == 1, (width, height)
            assert p.table >= 3 or height < 5, (width, height)


def test_long_lines_keep_their_indent_and_long_words_are_broken() -> None:
    shown = wrapped("def f():\n    return " + "a" * 30 + " b\n\nend", 20)
    assert [text for line in shown for text, _ in line] == [
        "def f():", "    return", "    " + "a" * 16, "    " + "a" * 14 + " b", "", "end",
    ]  # fmt: skip
    assert all(width_of(line) <= 20 for line in wrapped("    日本語" * 20, 20))
    assert width_of(rule("日本" * 30, "right", 20)) == 20


# --- The screen ---


@pytest.mark.parametrize("size", SIZES)
async def test_details_show_every_iteration_and_the_answer(size: tuple[int, int]) -> None:
    link = FakeLink(canned.hello(done=6), IterationDone(iteration=one(**STALL)))
    app = make(link)
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        await pilot.press("enter")
        await settle(pilot)
        assert table_of(app).count == 10
        shown = screen_text(app)
        if size[1] > 5:
            assert "A human cannot eat a helicopter." in shown
            assert "longest gap 84.0 ms at token 24" in shown
            assert "clocks" in shown or size[0] < 76
            assert "Back" in shown.split("\n")[-1]
        assert "…" not in shown or size[0] < 60
        await pilot.press("2")
        await settle(pilot)
        assert table_of(app).count == 9
        await pilot.press("escape")
        await settle(pilot)
        assert not isinstance(app.screen, DetailsScreen)
        assert app.view.selected == "mistral.rs"


async def test_the_cursor_follows_the_newest_until_it_is_moved() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:

        async def chosen(*keys: str, coming: int | None = None) -> int:
            if coming is not None:
                link.put(IterationDone(iteration=canned.iteration("llama.cpp", coming, text=f"text {coming}")))
            await pilot.press(*keys)
            await settle(pilot, link)
            iteration = table_of(app).chosen
            assert iteration is not None
            assert f"attempt 1, iteration {iteration.iteration}:" in screen_text(app)
            return iteration.iteration

        await settle(pilot, link)
        assert await chosen("enter") == 6
        assert await chosen(coming=7) == 7
        assert "text 7" in screen_text(app)
        assert await chosen("up") == 6
        assert await chosen(coming=8) == 6
        assert "2 newer" in screen_text(app)
        assert await chosen("end") == 8
        assert await chosen(coming=9) == 9
        assert await chosen("up", "down", coming=10) in (9, 10)
        await pilot.click(Iterations, offset=(5, 5))
        assert await chosen() < 9
        await pilot.click("#timeline", offset=(5, 0))
        assert await chosen() == 10


async def test_only_visible_lines_of_many_iterations_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    line = iteration_line

    def counted(iteration: Iteration, width: int, cursor: bool, sort: Sort, scales: Scales) -> Line:
        made.append(iteration.iteration)
        return line(iteration, width, cursor, sort, scales)

    monkeypatch.setattr(listed_widget, "iteration_line", counted)
    count = 2000
    past: AnyEvent = Earlier(iterations=[canned.iteration("llama.cpp", n + 1) for n in range(count)])
    link = FakeLink(canned.hello(), past)
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("enter")
        await settle(pilot)
        table = table_of(app)
        assert table.count == count
        height = table.size.height
        assert len(made) <= 3 * height
        made.clear()
        link.put(IterationDone(iteration=canned.iteration("llama.cpp", count + 1)))
        await settle(pilot, link)
        # The line under the cursor is made at each drawing, and a timer may draw once more.
        assert set(made) == {count, count + 1}
        await pilot.press("home")
        await settle(pilot)
        assert table.at == 0
        assert "no longer in memory" in screen_text(app)
        assert "arrivals are shown for the newest iterations" in screen_text(app)
        assert len(made) <= 3 * height
        await pilot.press("end", "pageup")
        await settle(pilot)
        assert count - RECENT < table.at < count
        assert "A human cannot eat" in screen_text(app)


async def test_the_selected_iteration_stays_complete() -> None:
    link = FakeLink(canned.hello(), IterationDone(iteration=one(text="to be read", **STALL)))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("enter", "home")
        await settle(pilot)
        link.put(Earlier(iterations=[canned.iteration("llama.cpp", n) for n in range(RECENT + 1)]))
        await settle(pilot, link)
        assert not app.run_view.backends["llama.cpp"].iterations.whole(0)
        assert "to be read" in screen_text(app)
        assert "longest gap" in screen_text(app)


@pytest.mark.parametrize("marker", ["braille", "ascii"])
async def test_a_long_answer_scrolls_by_keys_and_wheel(marker: Marker) -> None:
    text = "\n".join(f"line {n}" for n in range(50))
    link = FakeLink(canned.hello(), IterationDone(iteration=one(text=text, **STALL)))
    app = make(link, marker=marker)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot, link)
        await pilot.press("enter", "tab", "end")
        await settle(pilot)
        assert app.screen.query_one(Answer).has_focus
        assert "line 49" in screen_text(app)
        await pilot.press("pageup", "home")
        await settle(pilot)
        assert "line 0 " in screen_text(app)
        assert "1-5 of 50" in screen_text(app)
        await pilot._post_mouse_events([MouseScrollDown], Answer)
        await settle(pilot)
        assert "4-8 of 50" in screen_text(app)
        if marker == "ascii":
            assert screen_text(app).isascii()


async def test_a_resize_lays_the_parts_out_again() -> None:
    link = FakeLink(canned.hello(done=6), IterationDone(iteration=one(**STALL)))
    app = make(link)
    async with app.run_test(size=(200, 50)) as pilot:
        await settle(pilot, link)
        await pilot.press("enter")
        for size in reversed(SIZES):
            await pilot.resize_terminal(*size)
            await settle(pilot)
            rows = screen_text(app).split("\n")
            assert len(rows) == size[1]
            assert "Quit" in rows[-1] or size == (20, 5), size
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert "the server's last lines" in screen_text(app)


# --- The server's log ---


async def test_the_server_log_is_requested_while_visible_and_after_new_iterations() -> None:
    link = FakeLink(canned.hello(done=6))
    app = make(link)
    async with app.run_test(size=(80, 24)) as pilot:
        app.view.now = lambda: now
        now = 100.0
        await settle(pilot, link)
        await pilot.press("enter")
        await settle(pilot, link)
        assert link.sent == []
        await pilot.press("l")
        await settle(pilot, link)
        assert link.sent == [Logs(backend="llama.cpp")]
        link.put(LogTail(backend="llama.cpp", lines=[f"said {n}\x1b[2J" for n in range(50)]))
        await settle(pilot, link)
        shown = screen_text(app)
        assert "said 49 " in shown
        assert "A human" not in shown
        for later, asked in ((1.0, 1), (3.0, 2)):
            now = 100.0 + later
            link.put(IterationDone(iteration=canned.iteration("llama.cpp", 6 + asked)))
            await settle(pilot, link)
            assert len(link.sent) == asked
        assert app.screen.query_one(ServerLog).has_focus
        await pilot.press("home")
        await settle(pilot)
        assert "said 0 " in screen_text(app)
        await pilot.press("4")
        await settle(pilot)
        assert "llmtui did not start this server" in screen_text(app)
        await pilot.press("l")
        await settle(pilot)
        assert table_of(app).has_focus
    assert [command.backend for command in link.sent if isinstance(command, Logs)] == ["llama.cpp"] * 2


async def test_details_show_the_failure_and_the_log() -> None:
    failed = build.state(
        "Ollama",
        state="failed",
        planned=10,
        failure=Failure(kind="server", message="the server ended with exit code 1", hint="see its last lines"),
        log_tail=["error: no such model"],
    )
    link = FakeLink(canned.hello(done=6), BackendChanged(backend=failed))
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("5", "enter")
        await settle(pilot)
        shown = screen_text(app)
        assert "the server ended with exit code 1" in shown
        assert "error: no such model" in shown


def test_a_failed_iteration_gives_its_reason_once() -> None:
    failure = Failure(kind="http", message="HTTP 500: no slot", hint="fewer at once")
    text = text_of(details_view.answer_lines(failure, one(error=failure, text=""), "", 60, ""))
    assert text.count("no slot") == 1
    assert "fewer at once" in text
