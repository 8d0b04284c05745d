"""Every place shows the same ratios in the same order: read back from the text of 500 random races."""

from __future__ import annotations

import itertools
import math
import random
import re

import pytest

from llmtui.export.farewell import farewell
from llmtui.export.markdown import run_markdown
from llmtui.export.table import summary_table
from llmtui.model import Failure, IterationDone
from llmtui.runview.run import RunView
from llmtui.stats.metrics import CHARTED, MetricKey
from llmtui.ui.views.ranking import ranking_line
from llmtui.ui.views.table import table_lines
from llmtui.ui.views.verdict import verdict_page
from tests import build
from tests.ui.lines import text_of

NAMES = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf")
_FIGURE = r"(\d[\d.]*(?:e\d+)?)"
_HEADING = re.compile(r"\b(?:x|vs) (?:fastest|best)\b")


def _race(rng: random.Random) -> RunView:
    """A race of random backends: near one another or far apart, with ties, failures, reruns and unequal work."""
    names = NAMES[: rng.choice((1, 2, 2, 3, 3, 4, 5, 7))]
    rounds = rng.choice((1, 2, 3, 5, 6, 8, 10, 10, 14, 21))
    far = rng.choice((0.0, 0.002, 0.02, 0.2, 1.0, 4.0))
    noise = rng.choice((0.0, 0.001, 0.02, 0.3))
    failing = rng.choice((0.0, 0.0, 0.2, 0.9))
    lengths = rng.choice(((64,), (64,), (64,), (64, 20), (64, 64, 64, 20)))
    base = 10 ** rng.uniform(-4, 2)
    typical = {name: base * math.exp(rng.gauss(0, far)) for name in names}
    tokens = {name: rng.choice(lengths) for name in names}
    rerun = {name for name in names if rng.random() < 0.1}
    view = build.run_view(build.plan(*names, iterations=rounds), keep=0)
    for attempt in (1, 2):
        if attempt == 2:
            for name in rerun:
                view.apply(build.changed(name, attempt=2, planned=rounds, state="running"))
        for number, name in itertools.product(range(1, rounds + 1), names if attempt == 1 else sorted(rerun)):
            latency_s = typical[name] * math.exp(rng.gauss(0, noise))
            decode_s = latency_s * rng.uniform(0.7, 0.9)
            more = {"error": Failure(kind="timeout", message="slow")} if rng.random() < failing else {}
            view.apply(
                IterationDone(
                    iteration=build.answered(
                        name, number, latency_s, attempt=attempt, output_tokens=tokens[name], prompt_tokens=31,
                        ttft_s=latency_s - decode_s, itl_s=decode_s / 63, tokens_per_s=tokens[name] / decode_s,
                        started_utc=f"2026-11-22T{11 + attempt}:{number:02}:00Z", text="word " * tokens[name], **more,
                    )
                )
            )  # fmt: skip
    state = rng.choice(("done", "done", "running"))
    for name in names:
        view.apply(build.changed(name, attempt=1 + (name in rerun), planned=rounds, state=state, weights="Q8_0"))
    return view


def _column(text: str, names: tuple[str, ...]) -> dict[str, str]:
    """The cells under the heading of the ratio, by backend."""
    head, *rows = text.split("\n")
    match = _HEADING.search(head)
    assert match is not None, head
    cells = {}
    for row in rows:
        name = next((n for n in names if re.search(rf"\b{n}\b", row[:30])), None)
        if name is not None and name not in cells:
            cells[name] = row[: match.end()].split()[-1].strip("|")
    return cells


def _bottom(text: str) -> dict[str, str]:
    """The backends of the bottom line, in order, each with its ratio; "1.00" for the first, which has its value."""
    found = re.findall(rf"({'|'.join(NAMES)}) (?:{_FIGURE}x|(differs)|\d[\d.e-]* (?:s|ms|tok/s))", text)
    return {name: ratio or differs or "1.00" for name, ratio, differs in found}


def _claims(text: str, best: str) -> dict[str, str]:
    """What sentences say on the backends that were compared with `best`."""
    any_name = "|".join(NAMES)
    found = {}
    for slower, ratio, faster in re.findall(rf"({any_name}) takes {_FIGURE}x as long(?: as ({any_name}))?", text):
        if faster in ("", best):
            found[slower] = ratio
    for name, ratio in re.findall(rf", ({any_name}) {_FIGURE}x(?! as)", text):
        found[name] = ratio
    for faster, ratio, slower in re.findall(
        rf"(?:({any_name}) gives )?{_FIGURE}x as many [a-z/ ]*as ({any_name})", text
    ):
        if faster in ("", best):
            found[slower] = ratio
    return found


def _plotted(text: str, best: str) -> dict[str, str]:
    rows = re.findall(rf"^ ({'|'.join(NAMES)}) / {best} (?!latency|TTFT|ITL|tok).* {_FIGURE} *$", text, re.MULTILINE)
    return dict(rows)


def _rounding(figure: str) -> float:
    """Half of the last digit."""
    digits, _, exponent = figure.partition("e")
    return 0.51 * 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


@pytest.mark.parametrize("part", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 10))])
def test_every_place_shows_the_same_ratios_in_the_same_order(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # The intervals of each backend's own median take most of the time, and are no ratios.
    monkeypatch.setattr(RunView, "estimates", lambda *_: {})
    for seed in range(50 * part, 50 * part + 50):
        rng = random.Random(seed)
        view, metric = _race(rng), rng.choice(CHARTED)
        _agree(view, metric if rng.random() < 0.5 else "latency")


def _agree(view: RunView, metric: MetricKey) -> None:
    names = tuple(view.backends)
    table = text_of(table_lines(view, metric, 300, frozenset(), ""))
    bottom = text_of([ranking_line(view, metric, 400, None)])
    verdict = view.verdict(metric)
    page = text_of(verdict_page(verdict, 200))
    ranked, shown = _bottom(bottom), _column(table, names)
    if not any(backend_view.summary.n for backend_view in view.backends.values()):
        assert verdict.line == "" and set(shown.values()) == {"-"}
        return
    best = next(iter(ranked), "")
    figures = [figure for figure in ranked.values() if figure != "differs"]
    assert all(float(a) <= float(b) + _rounding(a) + _rounding(b) for a, b in itertools.pairwise(figures))
    assert all(float(figure) >= 1 for figure in figures)
    assert list(ranked.values()) == sorted(ranked.values(), key=lambda f: f == "differs"), "without a ratio: last"
    if "not comparable by" in bottom or bottom.startswith(" by "):
        # By another metric than the table's, which then has no ratios.
        assert set(shown.values()) <= {"differs", "-"} and "differs" in shown.values()
        assert f"not comparable by {view.verdict(metric).board.asked.split('_')[0]}"[:17] in verdict.line
    else:
        assert {name: figure for name, figure in shown.items() if figure != "-"} == ranked
    said = _claims(verdict.line, best)
    assert list(said) == [name for name in ranked if name in said], "the verdict's order is that of the bottom line"
    circle = {c.faster for c in verdict.board.comparisons if c.slower == best}
    for claims in (said, _claims(verdict.brief, best), _of_metric(page, verdict.used, best), _plotted(page, best)):
        assert {name: ranked[name] for name in claims if name not in circle} == {
            name: figure for name, figure in claims.items() if name not in circle
        }
    _star_agrees(table, verdict.line)
    if metric == "latency":
        printed = summary_table(view, 3000)
        for attempt in view.earlier_attempts():
            printed = printed.replace(attempt.sentence, "")  # it has ratios of its own
        assert _column(printed.partition("\n")[2], names) == shown
        _star_agrees(printed, verdict.line)
        said_each = "\n".join(verdict.sentences)
        assert _of_metric(printed, verdict.used, best) == _of_metric(said_each, verdict.used, best)
        parting = farewell(view, 600)
        for attempt in view.earlier_attempts():
            parting = parting.replace(attempt.sentence, "")
        with_samples = {name for name in names if view.backends[name].summary.n}
        assert _column(parting.partition("\n")[2], names) == {
            name: shown[name] for name in names if name in with_samples
        }
        assert _claims(parting, best) == said
        cells = [row.split("|") for row in run_markdown(view).split("\n") if row.startswith("|")]
        at = next(n for n, cell in enumerate(cells[0]) if _HEADING.search(cell))
        assert [row[at].strip() for row in cells[2:]] == [shown[name] for name in names]


def _of_metric(text: str, metric: MetricKey, best: str) -> dict[str, str]:
    """The claims by this metric: if work differed, there are others by rates."""
    rate = metric == "tokens_per_s"
    sentences = re.split(r"[;\n]", text)
    by_rate = [s for s in sentences if re.search(r"as many tokens/s", s)]
    return _claims("\n".join(by_rate if rate else [s for s in sentences if "as many" not in s]), best)


def _star_agrees(table: str, line: str) -> None:
    marked = re.findall(r"^ ?\*\W*(\w+)", table, re.MULTILINE)
    if marked:
        (name,) = marked
        assert re.search(rf"\b{name} is (fastest|ahead)", line)
    else:
        assert " is fastest" not in line or line.startswith("not comparable")
