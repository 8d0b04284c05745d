"""The verdict in the monitor: a line above the table, a screen of its own, and the key that adds rounds."""

from __future__ import annotations

import random
import re

import msgspec
import pytest

from llmtui.model import AnyEvent, BackendChanged, IterationDone, More, RunConfig
from llmtui.runview.run import RunView
from llmtui.stats.compare import Comparison
from llmtui.ui.text.spans import width_of
from llmtui.ui.views.typical import typical_rows
from llmtui.ui.views.verdict import awaited_line, plot, verdict_lines, verdict_page
from llmtui.ui.widgets.header import VerdictLine
from tests import build
from tests.stats.build import raced
from tests.ui import canned_run as canned
from tests.ui.canned_run import FakeLink
from tests.ui.lines import text_of
from tests.ui.pilot import make, screen_text, settle

DONE: list[AnyEvent] = [
    *(BackendChanged(backend=canned.state(n, state="done")) for n in ("llama.cpp", "mistral.rs", "HuggingFace")),
    canned.run_done(),
]


async def test_verdict_line_is_under_the_chart_at_80x24() -> None:
    link = FakeLink(canned.hello(done=10))
    app = make(link)
    async with app.run_test(size=(80, 24), notifications=False) as pilot:
        await settle(pilot, link)
        line = app.main.query_one(VerdictLine)
        assert line.region.y == app.main.query_one("#charts").region.bottom
        assert line.region.bottom == app.main.query_one("#ranking").region.y
        assert "llama.cpp is fastest so far: mistral.rs takes 1.4" in screen_text(app)
        await pilot.press("T")
        await settle(pilot)
        assert line.region.bottom == app.main.query_one("#table").region.y
        await pilot.resize_terminal(80, 18)
        await pilot.press("T")
        await settle(pilot)
        assert not line.display, "no verdict line under a low chart"


def comparison(low: float, ratio: float, high: float, slower: str = "b") -> Comparison:
    return Comparison(
        metric="latency", slower=slower, faster="a", n=10, paired=True, ratio=ratio, low=low, high=high, level=0.95,
        p=0.01, pairs=1, decided=low > 1, could_show=1.1,
    )  # fmt: skip


async def test_verdict_line_is_dim_until_the_run_is_done() -> None:
    link = FakeLink(canned.hello(done=10))
    app = make(link)
    async with app.run_test(size=(120, 40), notifications=False) as pilot:
        await settle(pilot, link)
        line = app.main.query_one(VerdictLine)
        assert line.region.bottom == app.main.query_one("#table").region.y
        assert "llama.cpp is fastest so far: mistral.rs takes 1.4" in screen_text(app)
        assert {role for text, role in line._shown[0] if text.strip()} == {"dim"}
        link.put(*DONE)
        await settle(pilot, link)
        assert {role for text, role in line._shown[0] if text.strip()} == {"strong"}


@pytest.mark.parametrize(("size", "key"), [((80, 24), "T"), ((80, 40), "f12"), ((120, 40), "f12")])
async def test_verdict_line_comes_with_the_table(size: tuple[int, int], key: str) -> None:
    link = FakeLink(canned.hello(done=10, running=False))
    app = make(link)
    async with app.run_test(size=size, notifications=False) as pilot:
        await settle(pilot, link)
        await pilot.press(key)
        await settle(pilot)
        assert app.main.query_one(VerdictLine).display
        rows = screen_text(app).split("\n")
        assert len(rows) == size[1] and "Quit" in rows[-1] and "llama.cpp" in rows[-2]
        at = next(n for n, row in enumerate(rows) if "is fastest" in row)
        # On a narrow screen the verdict of three backends has two lines.
        assert "latency of" in rows[at + 1 + (size[0] < 120)]


async def test_one_backend_has_no_verdict() -> None:
    plan = canned.plan()
    alone = msgspec.structs.replace(plan, backends=plan.backends[:1])
    hello = canned.hello(done=10)
    hello = msgspec.structs.replace(
        hello,
        plan=alone,
        backends=[s for s in hello.backends if s.name == "llama.cpp"],
        iterations=[i for i in hello.iterations if i.backend == "llama.cpp"],
    )
    link = FakeLink(hello)
    app = make(link, alone)
    async with app.run_test(size=(120, 40), notifications=False) as pilot:
        await settle(pilot, link)
        assert not app.main.query_one(VerdictLine).display
        await pilot.press("M")
        await settle(pilot)
        assert link.sent == []
        await pilot.press("v")
        await settle(pilot)
        assert "nothing to compare yet" in screen_text(app)


async def test_verdict_screen_opens_scrolls_updates_and_closes() -> None:
    link = FakeLink(canned.hello(done=10))
    app = make(link)
    async with app.run_test(size=(80, 24), notifications=False) as pilot:
        await settle(pilot, link)
        await pilot.press("v")
        await settle(pilot)
        before = screen_text(app)
        assert "What the data say so far" in before and "more below" in before
        assert "HuggingFace 3." in before and "! warning weights" in before and "how sure: " in before
        assert "a shows the pair of the others too" in before
        await pilot.press("a")
        await settle(pilot)
        assert "The others among themselves" in screen_text(app)
        assert "HuggingFace / mistral.rs" in screen_text(app)
        await pilot.press("a")
        await settle(pilot)
        assert "The others among themselves" not in screen_text(app)
        await pilot.press("end")
        await settle(pilot)
        assert "would reveal: " in screen_text(app) and "more below" not in screen_text(app)
        await pilot.press("home", "m")
        await settle(pilot)
        assert "What the data say so far, by TTFT" in screen_text(app)
        more: list[AnyEvent] = [
            IterationDone(iteration=canned.iteration(n, 11)) for n in ("llama.cpp", "mistral.rs", "HuggingFace")
        ]
        link.put(*more, *DONE)
        await settle(pilot, link)
        await settle(pilot)
        assert "What the data say so far" not in screen_text(app)
        await pilot.press("v")
        await settle(pilot)
        assert len(app.screen_stack) == 1 and not app.view.covered


async def test_verdict_screen_needs_a_result() -> None:
    link = FakeLink(canned.hello())
    app = make(link)
    async with app.run_test(size=(120, 40)) as pilot:
        await settle(pilot, link)
        await pilot.press("v")
        await settle(pilot)
        assert len(app.screen_stack) == 1


@pytest.mark.parametrize(("order", "sent"), [("round-robin", [More()]), ("shuffled", [More()]), ("sequential", [])])
async def test_more_key_adds_rounds_if_backends_take_turns(order: str, sent: list[More]) -> None:
    plan = msgspec.structs.replace(canned.plan(), config=RunConfig(order=order))  # type: ignore[arg-type]
    link = FakeLink(canned.hello(plan, done=10, running=False))
    app = make(link, plan)
    async with app.run_test(size=(120, 40), notifications=False) as pilot:
        await settle(pilot, link)
        await pilot.press("v", "M")
        await settle(pilot)
        assert link.sent == sent


def race_of(count: int, apart: float) -> RunView:
    """Each of the backends takes longer than the one before by this share."""
    names = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota"][:count]
    run_view, chance = build.run_view(build.plan(*names, iterations=20)), random.Random(3)
    for number in range(1, 21):
        for place, name in enumerate(names):
            latency = 0.7 * (1 + apart * place) * (1 + chance.gauss(0, 0.02))
            run_view.apply(IterationDone(iteration=build.iteration(name, number, latency)))
    for name in names:
        run_view.apply(build.changed(name, planned=20, state="done"))
    return run_view


@pytest.mark.parametrize(
    ("count", "apart", "who", "sure"),
    [
        (2, 0.12, "alpha is fastest", "the difference is clear; 95% intervals from 20 rounds"),
        (3, 0.12, "alpha is fastest", "both differences to alpha are clear"),
        (9, 0.12, "alpha is fastest", "all 8 differences to alpha are clear"),
        (9, 0.001, "no clear difference", "none of 8 differences to "),
        (2, 0.0, "no clear difference", "the difference is not clear"),
    ],
)
def test_the_page_begins_with_the_answer_in_ten_lines(count: int, apart: float, who: str, sure: str) -> None:
    verdict = race_of(count, apart).verdict("latency")
    rows = [text_of([line]).rstrip() for line in verdict_page(verdict, 80, "M", pairs_key="a")]
    answer = rows[: rows.index("")]
    assert len(answer) <= 10
    assert answer[1].startswith(f" {who}")
    text = " ".join(row.strip() for row in answer)
    assert f"how sure: {sure}" in text and "what to do: " in text
    assert ("M adds rounds" in text) == any(not c.decided for c in verdict.board.comparisons)
    # Each pair is said once: as a bar.
    names = {name for name in verdict.samples if name != verdict.board.best}
    bars = [row for row in rows if re.match(r" \w+ / \w+ +[│├─]", row)]
    assert len(bars) == len(names) and not any(" and " in row and "no clear" in row for row in rows)
    assert any(f"a shows {'the pair' if count == 3 else 'all 28 pairs'}" in row for row in rows) == (count > 2)


def test_all_pairs_are_bars_on_demand() -> None:
    verdict = race_of(4, 0.12).verdict("latency")
    rows = [text_of([line]) for line in verdict_page(verdict, 80, pairs=True, pairs_key="a")]
    assert sum(bool(re.match(r" \w+ / \w+ +[│├─]", row)) for row in rows) == 6


def test_definitions_have_an_example_of_this_run() -> None:
    verdict = race_of(2, 0.12).verdict("latency")
    ratio, low, high = verdict.board.comparisons[0].figures
    text = " ".join(text_of([line]).strip() for line in verdict_page(verdict, 80))
    assert f"{ratio}x: the typical value of beta divided by that of alpha" in text
    assert f"95%: {low} to {high}: the confidence interval" in text


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_page_fits_the_width(width: int) -> None:
    run_view = make(FakeLink()).run_view
    run_view.apply(canned.hello(done=10, running=False))
    verdict = run_view.verdict()
    assert all(width_of(line) == width for line in verdict_page(verdict, width, "M"))
    for height in (1, 2, 3):
        lines = verdict_lines(verdict, width, height, "v")
        assert 1 <= len(lines) <= height
        assert all(width_of(line) == width for line in lines)


@pytest.mark.parametrize("interval", [(0.9, 1.0, 1.1), (1.2, 1.3, 1.4), (1.0, 1.0, 1.0), (30.0, 40.0, 900.0)])
def test_interval_is_at_its_place_on_the_axis(interval: tuple[float, float, float]) -> None:
    low, ratio, high = interval
    lines = plot([comparison(low, ratio, high)], 60)
    row, axis, labels = ("".join(text for text, _ in line) for line in lines)
    one = next(match.start() for match in re.finditer(r"(?<!\S)1(?!\S)", labels))
    assert axis[one] == "┬"
    assert len(row) <= 62 and row.index("●") >= 0
    if low < ratio < high:
        assert row.index("├") < row.index("●") < row.rindex("┤")
    if low > 1:
        assert row.index("│") == one < row.index("├")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_typical_values_have_intervals(width: int) -> None:
    run_view = RunView(canned.plan())
    run_view.apply(canned.hello(done=10, running=False))
    rows = typical_rows(run_view, "latency")
    lines = ["".join(text for text, _ in line) for line in verdict_page(run_view.verdict(), width, "", rows)]
    assert all(width_of([(line, "")]) == width for line in lines)
    at = lines.index(next(line for line in lines if "Typical values: latency" in line))
    assert lines[at + 1].split()[:4] == ["median", "s", "95%", "mean"]
    assert ("first" in lines[at + 1], "warm-ups" in lines[at + 1]) == (width >= 80, width >= 120)
    assert re.match(r" llama\.cpp +0\.9\d\d +0\.\d{3} to 0\.\d{3} +0\.9\d\d", lines[at + 2])
    # Other metrics have no column for warm-ups.
    other = verdict_page(run_view.verdict("ttft"), width, "", typical_rows(run_view, "ttft"))
    assert not any("outliers" in text and "first" in text for line in other for text, _ in line)
    assert not any("Typical" in text for line in verdict_page(run_view.verdict(), width) for text, _ in line)


def test_a_long_verdict_wraps_and_names_the_key_where_it_is_cut() -> None:
    verdict = canned.run_view(done=10).verdict("latency")
    line = "one takes " + "1.23x as long as another (95%: 1.11 to 1.33), " * 4
    brief = "beta 1.23x, gamma 1.24x, delta 1.39x, epsilon 1.31x, zeta 1.5x, eta 1.6x, theta 1.7x, iota 1.8x."
    vars(verdict).update(line=line, brief=brief)
    two = [text_of([line]).strip() for line in verdict_lines(verdict, 60, 2, "v")]
    assert " ".join(two) == verdict.brief
    [one] = [text_of([line]).strip() for line in verdict_lines(verdict, 60, 1, "v")]
    assert one.endswith(" … v: all")
    for width in range(24, 60):
        [cut] = [text_of([line]).strip() for line in verdict_lines(verdict, width, 1, "v")]
        words = cut.removesuffix(" … v: all").split()
        whole = verdict.brief.split()[: len(words)]
        assert words == [*whole[:-1], whole[-1].strip(",")]
    assert " ".join(text_of([line]).strip() for line in verdict_lines(verdict, 60, 4, "v")) == verdict.line.strip()


@pytest.mark.parametrize(
    ("backends", "iterations", "words"),
    [
        (2, 10, "no verdict yet: needs 8 rounds"),
        (2, 6, "no verdict yet: needs 6 rounds"),
        (12, 10, "no verdict yet: needs 8 rounds"),
        (12, 5, "5 rounds cannot decide among 12 backends; set iterations to 6 or more"),
        (1, 10, ""),
    ],
)
def test_rounds_that_a_verdict_needs_are_known_before_the_first(backends: int, iterations: int, words: str) -> None:
    run_view = build.run_view(build.plan(*(f"b{n}" for n in range(backends)), iterations=iterations))
    for name in run_view.backends:
        run_view.apply(build.changed(name, state="warmup", planned=iterations))
    assert text_of([awaited_line(run_view, 120)]).strip() == words


def test_pairs_of_the_others_wait_for_the_end_of_a_long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmtui.ui.views.verdict._COST_WHILE_RUNNING", 50)
    run_view = raced(1.0, 1.1, 1.2, rounds=20)
    assert re.search(r"c / b .*1\.09", text_of(verdict_page(run_view.verdict(), 120, pairs=True)))
    run_view.apply(build.changed("a", state="running", planned=21))
    shown = text_of(verdict_page(run_view.verdict(), 120, pairs=True))
    assert "compared when the run is done" in shown and "as long as b" not in shown
