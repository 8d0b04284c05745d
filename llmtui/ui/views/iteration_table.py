"""The iterations of one backend as a table."""

from __future__ import annotations

from llmtui.model import Iteration
from llmtui.text import sanitize
from llmtui.ui.layout import SPACED_COLUMNS_WIDTH
from llmtui.ui.text.format import DASH, number, value_text
from llmtui.ui.text.spans import Line, Role, Span, fit, pad
from llmtui.ui.views.columns import Column


def _error_text(iteration: Iteration, room: int) -> str:
    error = iteration.error
    if error is None:
        return ""
    refused = f"refused {iteration.refused}x, then " if iteration.refused else ""
    return f"{refused}{error.kind}: {sanitize(error.message, 200)}"


def _foreign(iteration: Iteration, room: int) -> str:
    cores = DASH if iteration.foreign_cpu is None else f"{iteration.foreign_cpu:.2f}"
    return cores + ("~" if iteration.disturbed else "")


_COLUMNS: tuple[Column[Iteration], ...] = (
    Column("attempt", "att", 3, 5, lambda i, _: str(i.attempt)),
    Column("iteration", "#", 6, 0, lambda i, _: str(i.iteration)),
    Column("phase", "phase", 8, 7, lambda i, _: "warm-up" if i.phase == "warmup" else "measured", right=False),
    Column("latency", "latency s", 9, 0, lambda i, room: number(i.latency_s, room=room)),
    Column("ttft", "TTFT s", 7, 1, lambda i, room: number(i.ttft_s, room=room)),
    Column("itl", "ITL ms", 7, 4, lambda i, room: value_text("itl", i.itl_s, room)),
    Column("rate", "tok/s", 6, 2, lambda i, room: number(i.tokens_per_s, 1, room)),
    Column("tokens", "tokens", 6, 3, lambda i, room: number(i.output_tokens, 0, room)),
    Column("counted", "counted by", 10, 12, lambda i, _: i.token_source or DASH, right=False),
    Column("server", "server s", 8, 6, lambda i, room: number(i.server_s, room=room)),
    Column("rest", "rest s", 7, 9, lambda i, room: number(i.transport_and_client_s, room=room)),
    Column("foreign", "foreign", 7, 8, _foreign),
    Column("refused", "refused", 7, 11, lambda i, _: str(i.refused or DASH)),
    Column("finish", "finish", 8, 10, lambda i, _: sanitize(i.finish_reason or "", 40) or DASH, right=False),
)
_ERROR: Column[Iteration] = Column("error", "error", 5, 0, _error_text, right=False)
#: The columns that an iteration without a result has.
_ALWAYS = ("attempt", "iteration", "phase")


def columns_for(width: int) -> tuple[list[Column[Iteration]], int]:
    """Return the columns that fit, without the error's, which takes the rest, and the blanks between them."""
    gap = 2 if width >= SPACED_COLUMNS_WIDTH else 1
    columns = list(_COLUMNS)
    while len(columns) > 1 and 1 + sum(c.width + gap for c in columns) + _ERROR.width > width:
        columns.remove(max(columns, key=lambda c: c.rank))
    return columns, gap


def heading(width: int) -> Line:
    """The table's first line."""
    columns, gap = columns_for(width)
    cells = [pad(c.title, c.width, right=c.right) for c in [*columns, _ERROR]]
    return fit([(" " + (" " * gap).join(cells), "dim")], width)


def iteration_line(iteration: Iteration, width: int, cursor: bool) -> Line:
    """One iteration as a line; the one under the cursor has a sign before it."""
    columns, gap = columns_for(width)
    has_phase = any(c.key == "phase" for c in columns)
    role: Role = "strong" if cursor else "dim" if iteration.phase == "warmup" else ""
    line: list[Span] = [(">" if cursor else " ", "focus")]
    for column in columns:
        if iteration.error is not None and column.key not in _ALWAYS:
            # It has no numbers: the error takes their place.
            break
        cell = column.cell(iteration, column.width)
        if column.key == "iteration" and iteration.phase == "warmup" and not has_phase:
            cell = f"w{cell}"
        text = pad(cell, column.width, right=column.right) + " " * gap
        doubted = column.key == "foreign" and iteration.disturbed
        line.append((text, "warn" if doubted else role))
    return fit([*line, (_ERROR.cell(iteration, width), "bad")], width)


def iteration_name(iteration: Iteration) -> str:
    """An iteration's attempt, phase and number, as in "attempt 1, warm-up 2"."""
    word = "warm-up" if iteration.phase == "warmup" else "iteration"
    return f"attempt {iteration.attempt}, {word} {iteration.iteration}"
