"""One backend's panel in a frame, at any height from four rows on; below that, the backend's line."""

from __future__ import annotations

from rich.cells import cell_len

from llmtui.model import FAILED
from llmtui.runview.backend import BackendView
from llmtui.runview.launches import launch_words
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.ui.charts.sparkline import sparkline
from llmtui.ui.layout import PANEL_APART, PANEL_LARGE_DIGITS, PANEL_LEAST_HEIGHT, PANEL_LEAST_WIDTH
from llmtui.ui.text.format import name_text
from llmtui.ui.text.spans import Line, Role, Span, frame, width_of, wrap
from llmtui.ui.views.attempts import attempt_note, shown_attempt
from llmtui.ui.views.backend_line import backend_line
from llmtui.ui.views.backend_state import PanelOptions, progress_of, sign_and_word, warmups_done
from llmtui.ui.views.load_panel import level_lines, load_state_line, now_line, spark_line
from llmtui.ui.views.panel_parts import (
    activity,
    facts_below,
    failure_lines,
    median_line,
    server_lines,
    speed_lines,
    state_line,
    value_lines,
    wait_lines,
    warmup_lines,
)
from llmtui.ui.views.power import power_lines


def _body(backend_view: BackendView, options: PanelOptions, width: int, rows: int) -> list[Line]:
    if options.catching_up:
        return [(sign_and_word(backend_view, options),)]
    state = backend_view.state.state
    shown = shown_attempt(backend_view)
    medians: list[Line] = []
    if shown.summary.n:
        hidden = backend_view.summary.n > 0 and len(backend_view.evidence.hidden) > 0
        medians = [
            median_line(backend_view, shown, options, width),
            *speed_lines(shown, width, rows >= PANEL_APART, hidden),
            *power_lines(shown.summary, width, "dim" if shown.earlier else ""),
        ]
    first = state_line if options.level is None else load_state_line
    lines: list[Line] = [first(backend_view, options, width)]
    rows -= 1
    if state in FAILED:
        keep = len(medians) if backend_view.summary.n and rows >= 5 else 0
        failure = failure_lines(backend_view, width, rows - keep)
        lines += failure
        if keep:
            lines += [()] * (rows - keep - len(failure))
            lines += medians
        return lines
    if state in ("waiting", "preparing", "loading") and backend_view.last is None:
        keep = len(medians) if shown.earlier and rows >= 4 else 0
        waiting = wait_lines(backend_view, options, width, rows - keep)
        if keep:
            lines += [*waiting, *[()] * (rows - keep - len(waiting)), *medians]
            return lines
        return lines + waiting
    large = rows + 3 >= PANEL_LARGE_DIGITS
    if options.level is not None:
        return lines + _load_body(backend_view, options, width, rows)
    # If nothing was measured yet, an error may use the place of the figures.
    failed = backend_view.last is not None and backend_view.last.error is not None
    room = 3 if large or (failed and rows >= len(medians) + 4) else 1
    value = value_lines(backend_view, options, width, large, room if medians else max(room, rows - 2))
    lines += value
    rows -= len(value)
    if rows >= len(medians) + 3:
        lines.append((activity(backend_view, options, width),))
        rows -= 1
    elif progress_of(backend_view, options) is not None and not large:
        lines[-1] = (activity(backend_view, options, width),)
    rest = medians[: max(0, rows)]
    rows -= len(rest)
    server = server_lines(backend_view, width, rows)
    plot = rows - len(server)
    if plot >= 2:
        spread = shown.summary.spread(options.metric)
        figures = shown.figures(backend_view)
        role: Role = "dim" if shown.earlier else options.role
        median = spread.median if spread else None
        slots = max(backend_view.state.planned, figures.measured)
        if (warmed := warmups_done(backend_view, options)) is not None and not shown.summary.n:
            rest += warmup_lines(warmed, options, width, plot)
        else:
            rest += sparkline(
                figures.points(options.metric), median, width, plot, options.marker, role, slots,
                stretches=figures.stretches(options.metric), reach=options.reach,
            )  # fmt: skip
        rows = len(server)
    elif plot > 0:
        rest += [()] * plot
        rows = len(server)
    return lines + rest + server[: max(0, rows)]


def _load_body(backend_view: BackendView, options: PanelOptions, width: int, rows: int) -> list[Line]:
    """What is below the state under a load: the turn under way, the level that is shown, and its turns as bars."""
    now = now_line(backend_view, options, width)
    if not now and rows > 0 and (last := backend_view.last) is not None and last.error is None:
        now = [(("warming up", "dim"),)]
    spark = spark_line(backend_view, options, width)
    figures = level_lines(backend_view, options, width, rows - min(1, len(now)) - (rows > 3 and bool(spark)))
    lines = [*now, *figures, *([spark] if spark else [])][:rows]
    rows -= len(lines)
    server = server_lines(backend_view, width, rows) if rows > 0 else []
    return [*lines, *[()] * (rows - len(server)), *server[: max(0, rows)]]


def panel(backend_view: BackendView, options: PanelOptions, width: int, height: int) -> list[Line]:
    """Draw a panel in exactly `width` by `height` cells; without a frame if it is smaller than a frame can be."""
    if height < PANEL_LEAST_HEIGHT or width < PANEL_LEAST_WIDTH:
        below = facts_below(backend_view, options, width, height - 1) if height > 1 else []
        return [backend_line(backend_view, options, width, alone=height == 1), *below]
    number = str(options.index + 1)
    name: list[Span] = [
        (f"{number} ", "dim"),
        (f"{options.mark} ", options.role),
        (name_text(backend_view.backend.name, width - 7 - len(number)), "title"),
    ]
    corner: Span = ("hidden", "warn") if options.hidden else (sanitize(backend_view.backend.language, 12), "dim")
    compared = attempt_note(backend_view, options.metric)
    refused = f"refused {backend_view.refused}x" if backend_view.refused else ""
    whole = backend_view.evidence.whole if backend_view.summary.ttft is not None else 0
    pieces = f"{whole}x in one piece" if whole else ""
    state, level = backend_view.state, options.level
    few = f"{plural(state.slots, 'slot')}" if level is not None and state.slots and state.slots < level.slots else ""
    remarks: list[Span] = [
        (compared, "accent"),
        (launch_words(backend_view.state, options.launches), "accent"),
        (refused, "warn"),
        (pieces, "warn"),
        (few, "warn"),
        (sanitize(backend_view.state.note, 120), "dim"),
    ]
    if options.catching_up:
        remarks = []
    bottom: list[Span] = []
    for text, role in remarks:
        # Whole words only: remarks without room on the edge are in the details.
        room = width - 5 - width_of(bottom)
        if bottom and text and cell_len(text) + 2 <= room:
            bottom.append((f"  {text}", role))
        elif not bottom and (start := next(iter(wrap(text, room, 1)), "")):
            bottom.append((start, role))
    at_foot = width_of(name) + len(corner[0]) + 6 > width
    if bottom and at_foot and not options.hidden:
        # The language would take the room of the remarks: it is in the table too.
        corner, at_foot = ("", ""), False
    words = backend_view.backend.start_words
    if not options.catching_up and width_of(bottom) + cell_len(words) + 7 <= width:
        bottom.append((f"  {words}" if bottom else words, "dim"))
        if at_foot and width_of(bottom) + len(corner[0]) + 8 > width and not options.hidden:
            corner = ("", "")
    return frame(
        _body(backend_view, options, width - 4, height - 2),
        width,
        height,
        left=name,
        right=[corner] if corner[0] else (),
        bottom=bottom,
        focused=options.focused,
    )
