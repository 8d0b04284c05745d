"""The HTML report: what it says first, no markup or secret of others, charts that are true, and no request."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtui.export.report.axes import axis_of
from llmtui.export.report.page import POLICY, report_html
from llmtui.model import Backend, Failure, Slo
from tests import build
from tests.cli import chromium
from tests.export.reports import Reader, sweep
from tests.export.run_views import SECRET, run_view
from tests.runview.searched import KNEE, searched, throughput
from tests.stats.build import raced


@functools.cache
def swept() -> str:
    """The report of a sweep with objectives."""
    return report_html(sweep(slo=Slo(ttft_s=0.2)))


HOSTILE = "\"'><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>\x1b[31m\u202e&lt;/svg></style>"


def test_the_verdict_in_words_comes_first() -> None:
    view = raced(1.0, 1.5)
    text = Reader(report_html(view)).text
    places = [text.index(words) for words in (view.verdict().line, "Was it a fair", "Results", "Charts", "Machine")]
    assert places == sorted(places)


@pytest.mark.parametrize("of", [lambda: report_html(run_view()), swept, lambda: report_html(sweep(rounds=2))])
def test_it_is_well_formed_and_asks_for_nothing(of: Callable[[], str]) -> None:
    document = of()
    read = Reader(document)
    assert read.of("meta")[1] == {"http-equiv": "Content-Security-Policy", "content": POLICY}
    style = document[document.index("<style>") : document.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "NaN" not in document and "None" not in read.text and " inf" not in document
    assert SECRET not in document


def test_text_of_others_is_never_markup() -> None:
    backends = [
        Backend(name="b", framework=HOSTILE, weights=HOSTILE, options={HOSTILE: HOSTILE}),
        Backend(name=HOSTILE),
    ]
    view = build.run_view(build.plan(*backends, run=HOSTILE, prompt=HOSTILE, source=HOSTILE, iterations=1))
    view.machine = build.machine(cpu=HOSTILE, cores=1, os=HOSTILE, python=HOSTILE, llmtui=HOSTILE)
    view.apply(build.changed("b", state="failed", failure=Failure(kind="server", message=HOSTILE, hint=HOSTILE)))
    view.apply(build.changed(HOSTILE, version=HOSTILE, model=HOSTILE, note=HOSTILE))
    document = report_html(view)
    read = Reader(document)  # raises an error for each element and attribute that is not ours
    assert "<script>alert(1)</script>" in read.text, "it is shown as text"
    assert "\x1b" not in document and "\u202e" not in document


def test_bars_begin_at_0_and_are_as_long_as_the_figures() -> None:
    view = raced(1.0, 2.5, 0.1, rounds=12, noise=0)
    bars = Reader(report_html(view)).of("rect")[:12]
    widths = [float(bar["width"]) for bar in bars]
    assert len({bar["x"] for bar in bars}) == 1
    for a, b, c in zip(*(widths[place::3] for place in range(3)), strict=True):
        assert b / a == pytest.approx(2.5, rel=0.02) and c / a == pytest.approx(0.1, rel=0.05)


def test_a_run_of_another_tool_is_said_to_be_one() -> None:
    view = build.run_view(build.plan(Backend(name="a", measured_by="hyperfine")))
    assert Reader(report_html(view)).text.count("measured by hyperfine") == 2


def test_colour_never_stands_alone() -> None:
    read = Reader(swept())
    marks = [mark for mark in read.of("path", "mark") if "s1" in mark["class"] or "s2" in mark["class"]]
    shapes = {mark["class"]: re.sub(r"-?[\d.]+", "0", mark["d"]) for mark in marks}
    assert len(set(shapes.values())) == 2


def test_a_load_shows_its_levels_objective_and_knee() -> None:
    read = Reader(swept())
    captions = read.text
    for words in (
        "Output tokens/s against load, 95%",
        "TTFT p50 and p95",
        "objective 200 ms",
        "Requests within the objec",
    ):
        assert words in captions
    assert len(read.of("path", "strip")) == 3
    # An interval of each of 3 backends at 6 levels, in the charts of throughput and of the objectives.
    assert len(read.of("path", "whisker")) >= 2 * 3 * 18


def test_a_search_is_reported_by_what_it_found() -> None:
    probed = {"four": [1, 2, 3, 4, 8], "six": [1, 2, 4, 5, 6, 8, 16]}
    view = searched(KNEE, probed, {"four": throughput(4, KNEE), "six": throughput(6, KNEE)})
    read = Reader(report_html(view))
    assert "knee of four: 4 streams (95%: 4 to 4)" in read.text
    assert len(read.of("path", "strip")) == 2


def test_a_sweep_is_small() -> None:
    view = sweep(tuple(f"backend {n}" for n in range(5)), (1, 2, 4, 8, 16, 32, 64, 128), 2, Slo(ttft_s=0.2))
    document = report_html(view)
    assert len(document.encode()) <= 300_000
    assert "An interval needs 6 turns" in document


def test_a_logarithmic_axis_shows_its_ends() -> None:
    axis = axis_of([0.96, 51.9], 0, 100, log=True)
    assert (axis.ticks[0], axis.ticks[-1]) == (axis.low, axis.high) == (0.5, 100)
    assert axis.at(5) - axis.at(0.5) == pytest.approx(axis.at(50) - axis.at(5))


@pytest.mark.parametrize("values", [[0.0], [3.0], [0.2, 0.9], [998.0, 1003.0], [1e-6, 5e-6]])
def test_an_axis_holds_its_values_and_tells_its_ticks_apart(values: list[float]) -> None:
    axis = axis_of(values, 0, 100, zero=False)
    assert axis.low <= min(values) and max(values) <= axis.high * (1 + 1e-12)
    assert len({axis.text(tick) for tick in axis.ticks}) == len(axis.ticks) <= 9


@pytest.mark.slow
@pytest.mark.skipif(chromium.PROGRAM is None, reason="needs Chromium")
async def test_chromium_opens_it_and_asks_for_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(swept(), "utf-8")
    async with chromium.browser(tmp_path / "profile") as page:
        await page.open(file.as_uri(), 400, 800)
        await page.until("document.readyState === 'complete' && document.querySelectorAll('svg').length > 2")
        assert page.asked == [file.as_uri()] and page.logged == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= 400, "it fits a telephone"
