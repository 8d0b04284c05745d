"""The verdict's line under a load: the level that is shown, then the others in short."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from llmtui.model import Level
from llmtui.runview.levels import LISTED
from llmtui.runview.run import RunView
from llmtui.stats.checks.base import listed
from llmtui.stats.metrics import MetricKey
from llmtui.stats.verdict import Verdict
from llmtui.text import sanitize
from llmtui.ui.text.spans import Line, Role, fit, wrap
from llmtui.ui.views.verdict import verdict_lines

_NAME = 40
#: The newest lines of each run: what was asked for, the verdicts that they follow from, and the lines.
_LINES: WeakKeyDictionary[RunView, tuple[object, list[Verdict], list[Line]]] = WeakKeyDictionary()


def load_verdict_lines(
    run_view: RunView, metric: MetricKey, level: int, width: int, height: int, key: str = ""
) -> list[Line]:
    """Draw the verdict at a `level` (0: the one that counts) and what the others say, in at most `height` lines.

    What a search has found comes first.

    It ends with a whole clause. If even the first one is too long, `key` (which opens all of it) is named there.
    """
    verdicts = [run_view.verdict(metric, level), *(run_view.verdict(metric, n) for n, _ in _numbered(run_view))]
    asked = (metric, level, width, height, key)
    before = _LINES.get(run_view)
    searching = bool(run_view.plan.load.search)
    if before is not None and not searching and before[0] == asked and _same(before[1], verdicts):
        return before[2]
    lines = _lines(run_view, metric, level, width, height, key)
    _LINES[run_view] = asked, verdicts, lines
    return lines


def _same(one: Sequence[object], other: Sequence[object]) -> bool:
    return len(one) == len(other) and all(map(operator.is_, one, other))


def _numbered(run_view: RunView) -> list[tuple[int, Level]]:
    """The levels with their numbers as `RunView.verdict` takes them."""
    head = run_view.plan.head_level
    return [(0 if level == head else level.number, level) for level in run_view.levels_shown]


def _lines(run_view: RunView, metric: MetricKey, level: int, width: int, height: int, key: str) -> list[Line]:
    verdict = run_view.verdict(metric, level)
    first = [text.removeprefix("also ") for text in (verdict.line, verdict.brief)]
    rest = _others(run_view, metric, level, verdict)
    unclear = False
    if run_view.plan.load.search and any(view.turns for view in run_view.backends.values()):
        # What a search found is its result; a level of it does not count.
        from llmtui.runview.search import found_line, undecided_text

        rest = [*filter(None, first[:1]), *rest]
        first, unclear = found_line(run_view), bool(undecided_text(run_view))
    if not first or not first[0]:
        first = rest[:1]
        rest = rest[1:]
    room = width - 2
    for start in first:
        for count in range(len(rest), -1, -1):
            lines = wrap("; ".join([start, *rest[:count]]), room, 99)
            if len(lines) <= height:
                role: Role = "strong" if verdict.done and (verdict.line or run_view.plan.load.search) else "dim"
                role = "warn" if role == "strong" and (unclear or verdict.leading.instead_of is not None) else role
                return [fit([(" ", ""), (text, role)], width) for text in lines]
    return verdict_lines(verdict, width, height, key)


def _others(run_view: RunView, metric: MetricKey, said: int, verdict: Verdict) -> list[str]:
    """The other levels in short clauses; those that say the same are together."""
    judged: list[tuple[tuple[str, str], Level, Verdict]] = []
    for number, level in _numbered(run_view):
        if number != said and (kind := _kind(of := run_view.verdict(metric, number))) is not None:
            judged.append((kind, level, of))
    order = {"ahead": 0, "open": 1, "few": 2, "void": 3}
    judged.sort(key=lambda each: (order[each[0][0]], each[0][1] != verdict.board.best, each[0][1]))
    clauses = []
    for (what, name), group in itertools.groupby(judged, key=lambda each: each[0]):
        those = list(group)
        at = _titles([level for _, level, _ in those])
        if what == "ahead":
            too = " too" if name == verdict.board.fastest else ""
            ratios = _ratios([each for _, _, each in those], short=at.endswith("levels"))
            clauses.append(f"{at} {sanitize(name, _NAME)} is ahead{too} ({ratios})")
        elif what == "open":
            limits = [each.board.comparisons for _, _, each in those]
            most = max((c for each in limits for c in each), key=lambda c: c.could_show or 0.0)
            clauses.append(f"{at} no clear difference: {most.limit}")
        elif what == "few":
            fewest = min((c for _, _, each in those for c in each.board.comparisons), key=lambda c: c.n)
            clauses.append(f"{at} no verdict: {fewest.limit}")
        else:
            clauses.append(f"{at} not comparable")
    return clauses


def _kind(verdict: Verdict) -> tuple[str, str] | None:
    """What a level says: a backend is "ahead" of all others, it is "open", there are too "few" rounds, or it is "void".

    None if it says nothing yet.
    """
    placed = verdict.board
    if len(verdict.samples) < 2:
        return None
    if placed.metric is None or placed.instead:
        return "void", ""
    if placed.fastest:
        return "ahead", placed.fastest
    if not placed.comparisons:
        return None
    if all(c.bounded and c.could_show is not None for c in placed.comparisons):
        return "open", ""
    return ("few", "") if verdict.done else None


def _ratios(verdicts: Sequence[Verdict], *, short: bool) -> str:
    """The ratios to the next best one: "1.2x and 1.4x", or, `short`, "1.2x to 1.4x"."""
    nearest = [min(verdict.board.comparisons, key=lambda c: c.ratio) for verdict in verdicts]
    if short:
        nearest.sort(key=lambda c: c.ratio)
        return f"{nearest[0].figures[0]}x to {nearest[-1].figures[0]}x"
    return listed(f"{one.figures[0]}x" for one in nearest)


def _titles(levels: Sequence[Level]) -> str:
    """ "at 1, 2 and 16"; of a grid, whose levels have longer names, "at 7 other levels"."""
    if len(levels) > LISTED and levels[0].cell_title:
        return f"at {len(levels)} other levels"
    return f"at {listed(level.short_title for level in levels)}"
