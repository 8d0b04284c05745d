"""Do star, order and ratios contradict each other on a screen and in the exports of one run?

Read is what a person reads: the table sorted by its ratio, the line of the verdict, the line under the table, the plain
table and the CSV. Used by `tests.bench.verdicts`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from llmtui.export.csv import results_csv
from llmtui.export.table import filled_columns, rows_of
from llmtui.runview.run import RunView
from llmtui.ui.views.ranking import ranking
from llmtui.ui.views.sorting import Sort, ordered
from llmtui.ui.views.table import table_layout, table_lines, table_rows

_WIDTH = 200
_BY_RATIO = Sort("ratio")
#: In each line of the table before the columns: the cursor, star or dot, and the sign of the backend.
_BEFORE = 3


class Line(NamedTuple):
    """A backend's line in the table on the screen. `ratio` is None without one."""

    name: str
    mark: str
    ratio: float | None


def screen_lines(view: RunView) -> list[Line]:
    """The lines of the table on the screen, sorted by the ratio."""
    names = ordered(view, "latency", _BY_RATIO)
    keys = table_layout(list(table_rows(view, "latency").values()), "latency", _WIDTH, _BY_RATIO).keys
    drawn = table_lines(view, "latency", _WIDTH, frozenset(), "", sort=_BY_RATIO, order=names)[1:]
    lines = []
    for name, spans in zip(names, drawn, strict=True):
        texts = [text for text, _ in spans]
        lines.append(Line(name, texts[1].strip(), _number(texts[_BEFORE + keys.index("ratio")])))
    return lines


def leader_in(line: str) -> tuple[str, bool] | None:
    """The backend that the verdict's line puts first, and whether it calls it fastest; None if it names none."""
    found = re.match(r"(\S+) is (fastest|ahead)\b", line)
    return (found[1], found[2] == "fastest") if found else None


def contradictions(view: RunView) -> list[str]:
    """Which places say otherwise than the verdict's line, or than themselves."""
    return list(_contradictions(view))


def _contradictions(view: RunView) -> Iterator[str]:
    verdict, lines = view.verdict(), screen_lines(view)
    marked = [line for line in lines if line.mark]
    if len(marked) != 1:
        yield f"{len(marked)} marked lines"
        return
    best, leader = marked[0], leader_in(verdict.line)
    if leader is not None and leader != (best.name, best.mark == "*"):
        yield f"line: {verdict.line}; mark {best.mark} at {best.name}"
    if lines[0] != best or best.ratio != 1:
        yield f"marked is {best.name} with {best.ratio}, first is {lines[0].name}"
    ratios = [line.ratio for line in lines if line.ratio is not None]
    if any(ratio < 1 for ratio in ratios) or ratios != sorted(ratios):
        yield f"ratios {ratios}"
    names = list(view.backends)
    told = [text for text, _ in ranking(view, "latency") if text in names]
    if told[:1] != [best.name]:
        yield f"ranking: {told}"
    yield from _in_exports(view, best)


def _in_exports(view: RunView, best: Line) -> Iterator[str]:
    rows = rows_of(view)
    cells = next(column.cells for column in filled_columns(rows) if column.key == "vs best")
    stars = [row.backend_view.backend.name for row in rows if row.fastest]
    if stars != ([best.name] if best.mark == "*" else []):
        yield f"plain table: star at {stars}"
    placed = {row.backend_view.backend.name: _number(cell) for row, cell in zip(rows, cells, strict=True)}
    if placed[best.name] != 1 or any(ratio is not None and ratio < 1 for ratio in placed.values()):
        yield f"plain table: {placed}"
    written = {row["backend"]: _number(row["verdict_ratio"]) for row in csv.DictReader(io.StringIO(results_csv(view)))}
    if written[best.name] != 1 or any(ratio is not None and ratio < 1 for ratio in written.values()):
        yield f"CSV: {written}"


def medians_disagree(view: RunView) -> bool:
    """Whether the star has another median than the smallest: the CSV's `ratio_to_fastest` compares medians."""
    star = view.verdict().fastest
    rows = csv.DictReader(io.StringIO(results_csv(view)))
    return bool(star) and any(row["backend"] == star and _number(row["ratio_to_fastest"]) != 1 for row in rows)


def _number(text: str) -> float | None:
    try:
        return float(text.strip().removesuffix("x"))
    except ValueError:
        return None
