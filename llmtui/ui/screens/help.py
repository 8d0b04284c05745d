"""The help screen: all keys, generated from the registry of commands. A click on one runs it."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.events import Click, MouseMove
from textual.geometry import Size
from textual.screen import ModalScreen

from llmtui.ui.actions.keys import key_word
from llmtui.ui.actions.registry import COMMANDS
from llmtui.ui.text.spans import Line, width_of, wrap
from llmtui.ui.textual_internals import PaintedOnceScreen
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.painted import Lines

#: With fewer cells than this beside the keys, the descriptions are below them.
_WORDS_AT_LEAST = 20

_FIXED = {
    "Backend": [("1-9", "select a backend; tab, arrows and a click do too")],
    "Application": [("ctrl+p", "command palette"), ("ctrl+c", "same as quit")],
}
_SIGNS = """\
TTFT: time to first token; ITL: time between tokens
warm-up: not counted; round: one iteration of every backend
*: shown to be fastest; #1: attempt 1; (name): hidden; 2~: 2 while busy
p95: from 20 iterations on; v explains the verdict
x fastest: the time as a multiple of the best backend's
bars: median, then min, mean, max; points: one shape per backend
small plots: one scale for all panels, so that noise compares\
"""


def help_rows(keys: Mapping[str, str]) -> list[tuple[str, Line]]:
    """Return the rows: every command with its key, by group, then how to read the screen.

    Each row comes with the id of the command that a click on it runs, or "".
    """
    rows: list[tuple[str, Line]] = []
    # Room for the longest key, so that the descriptions are aligned.
    room = max(7, *(len(key_word(key)) + 2 for key in keys.values()))

    def row(command: str, key: str, words: str) -> None:
        rows.append((command, ((f"  {key:<{room}}", "strong"), (words, ""))))

    for group in ("Backend", "Run", "View", "Details", "Application"):
        rows.append(("", ((group, "title"),)))
        for command in COMMANDS:
            if command.group == group:
                row(command.id, key_word(keys[command.id]), command.help)
        for key, words in _FIXED.get(group, []):
            row("", key, words)
    rows.append(("", (("Reading the screen", "title"),)))
    rows += [("", ((f"  {line}", ""),)) for line in _SIGNS.splitlines()]
    return rows


class Page(Lines):
    """The rows. A row of a command is a button."""

    def __init__(self, view: ViewState, keys: Mapping[str, str]) -> None:
        super().__init__(view)
        self._all = help_rows(keys)
        self._pointed = -1

    def _rows(self, width: int) -> list[tuple[str, Line]]:
        """Return the rows wrapped to `width`, descriptions below descriptions."""
        rows: list[tuple[str, Line]] = []
        for command, line in self._all:
            before, (words, role) = line[:-1], line[-1]
            indent = width_of(before) or len(words) - len(words.lstrip())
            if width - indent < _WORDS_AT_LEAST:
                indent = 0
            first, *more = wrap(words, width - indent, 99) if width_of(line) > width else [words]
            if indent and not before and more:
                first = " " * indent + first
            if before and not indent:
                rows.append((command, before))
                before = ()
            rows.append((command, (*before, (first, role))))
            rows += [(command, ((" " * indent + text, role),)) for text in more]
        return rows

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._rows(width))

    def content(self, width: int, height: int) -> list[Line]:
        rows = self._rows(width)
        pointed = rows[self._pointed][0] if 0 <= self._pointed < len(rows) else ""
        return [
            tuple((text, "focus") for text, _ in line) if command and command == pointed else line
            for command, line in rows
        ]

    def on_mouse_move(self, event: MouseMove) -> None:
        self._point(event.y)

    def on_leave(self) -> None:
        self._point(-1)

    def _point(self, row: int) -> None:
        if row != self._pointed:
            self._pointed = row
            self.redraw()

    def on_click(self, event: Click) -> None:
        rows = self._rows(self.size.width)
        if 0 <= event.y < len(rows) and (command := rows[event.y][0]):
            self.screen.dismiss(command)


class Sheet(VerticalScroll):
    """Scrolls; its border counts the rows that are out of sight below."""

    def on_mount(self) -> None:
        self.border_title = "llmtui: keys"
        self.watch(self, "virtual_size", self._count)
        self.watch(self, "scroll_y", self._count)

    def on_resize(self) -> None:
        self._count()

    def _count(self) -> None:
        below = round(self.max_scroll_y - self.scroll_y)
        self.border_subtitle = f"{below} more below, esc closes" if below > 0 else "esc closes"


class HelpScreen(ModalScreen[str], PaintedOnceScreen[str]):
    """Dismissed with the id of the command that was clicked, or "". It is opaque: what is behind it is not drawn."""

    AUTO_FOCUS = "*"
    BINDINGS = [Binding("escape,question_mark,q,enter,ctrl+c", "dismiss_help", "Close", show=False)]

    def __init__(self, view: ViewState, keys: Mapping[str, str]) -> None:
        super().__init__()
        self._view = view
        self._keys = keys

    def compose(self) -> ComposeResult:
        with Sheet():
            yield Page(self._view, self._keys)

    def on_screen_suspend(self) -> None:
        self.query_one(Sheet).scroll_home(animate=False)

    def action_dismiss_help(self) -> None:
        self.dismiss("")
