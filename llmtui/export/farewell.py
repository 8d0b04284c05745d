"""What the monitor leaves on the terminal: the figures, failures, and the verdict in a line."""

from __future__ import annotations

from llmtui.export.table import load_lines, row_lines, rows_of
from llmtui.model import STATE_WORDS
from llmtui.runview.backend import BackendView
from llmtui.runview.presence import TELLS, absent_line, others_as_text
from llmtui.runview.run import RunView
from llmtui.runview.search import found_line
from llmtui.text import sanitize
from llmtui.text.cells import wrapped

#: The most lines of the verdict, and of one failure.
_MOST_LINES = 2


def farewell(run_view: RunView, width: int) -> str:
    """A few lines of plain text in at most `width` cells: a row per backend with results, failures, the verdict.

    Empty before the run has begun.
    """
    lines = _rows(run_view, width)
    began = bool(lines)
    for backend_view in run_view.backends.values():
        lines += _few(_failure(backend_view), width)
    line = run_view.verdict().line
    if began and run_view.plan.load.search:
        line = next(iter(found_line(run_view)), "") or line
    if not line and (earlier := run_view.earlier_attempts()):
        # A rerun has no result: what was shown before still holds.
        line = earlier[-1].sentence
    lines += _few(sanitize(line), width)
    if not began:
        presence = [
            absent_line(run_view.plan, TELLS),
            others_as_text(run_view.plan),
        ]
        lines += [line for text in presence for line in _few(text, width)]
    return "".join(line.rstrip() + "\n" for line in lines)


def _rows(run_view: RunView, width: int) -> list[str]:
    """The headings and the rows with results, [] without any."""
    if run_view.plan.levels:
        return load_lines(run_view, width)[0] if any(view.turns for view in run_view.backends.values()) else []
    rows = [row for row in rows_of(run_view) if row.backend_view.summary.n]
    return row_lines(rows, width)[0] if rows else []


def _failure(backend_view: BackendView) -> str:
    state = backend_view.state
    if state.failure is None:
        return ""
    return f"{sanitize(state.name)}: {STATE_WORDS[state.state]}: {sanitize(str(state.failure))}"


def _few(text: str, width: int) -> list[str]:
    """The text in the fewest lines that keep its beginning."""
    lines = wrapped(text, width) if text else []
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], lines[_MOST_LINES - 1][: width - 1] + "…"]
    return lines
