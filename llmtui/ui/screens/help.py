"""The help screen: all keys, generated from the registry of commands. A click on one runs it."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.events import Click, MouseMove
from textual.geometry import Size
from textual.reactive import Reactive
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input

from llmtui.model import Plan
from llmtui.runview.loads import worded
from llmtui.ui.actions.command import SECTIONS
from llmtui.ui.actions.keys import key_word
from llmtui.ui.actions.registry import COMMANDS
from llmtui.ui.actions.search import score, texts_of
from llmtui.ui.text.spans import Line, width_of, wrap
from llmtui.ui.textual_internals import PaintedOnceScreen
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.painted import FocusWithoutRules, Lines
from llmtui.ui.widgets.search import SearchLine

#: With fewer cells than this beside the keys, the descriptions are below them.
_WORDS_AT_LEAST = 20

#: The cells of a border that its text leaves free.
_FRAME = 6

#: Keys that are no commands of the registry, by section.
_FIXED = {
    "Backend": [("1-9, 0", "select a backend, 0 the tenth; tab, arrows and a click do too")],
    "Details": [
        ("arrows", "move in the list; home, end, pgup, pgdn too"),
        ("tab", "to the answer, and to the server's log"),
    ],
    "Application": [("/", "in this help: search"), ("ctrl+p", "command palette"), ("ctrl+c", "same as quit")],
}
_SIGNS = """\
TTFT: time to first token, from the request on
ITL: inter-token latency, the time between two arrivals of tokens
TPOT: time per output token after the first ones
±: half the width of the median's 95% interval; sd: standard deviation
warm-up: not counted; round: one iteration of every backend
shuffled: each round in a new random order
*: shown to be fastest; #1: attempt 1; (name): hidden; 2~: 2 while busy
p95 (up to): with its upper limit, from 59 iterations on
vs best: the time as a multiple of the best backend's
bars: median, then min, mean, max; points: one shape per backend
small plots: one scale for all panels, so that noise compares\
"""

_P95 = "p95 (up to): with its upper limit, from 59 iterations on"
_METRICS = "latency, TTFT, ITL, tokens/s"
_P95_OF_LOADS = "p50, p95: of all n requests in the windows of the turns at this level"


def help_rows(keys: Mapping[str, str], query: str = "", plan: Plan | None = None) -> list[tuple[str, Line]]:
    """Return the rows: every command with its key, by section, then how to read the screen; or those that match.

    They are in the words of the load of `plan`, if it has one.

    Each row comes with the id of the command that a click on it runs, or "".
    """
    rows: list[tuple[str, Line]] = []
    load = plan is not None and bool(plan.levels)
    signs = _SIGNS.replace(_P95, _P95_OF_LOADS) if load else _SIGNS

    def words(text: str) -> str:
        text = text.replace(_METRICS, f"output tokens/s, {_METRICS}") if load else text
        return worded(text, plan) if plan is not None else text

    # Room for the longest key, so that the descriptions are aligned.
    room = max(7, *(len(key_word(key)) + 2 for key in keys.values()))

    def section(title: str, entries: list[tuple[str, Line, tuple[str, ...]]]) -> None:
        found = [(command, line) for command, line, texts in entries if not query.strip() or score(query, texts)]
        if found:
            rows.extend([("", ((title, "title"),)), *found])

    def entry(command: str, key: str, text: str, *texts: str) -> tuple[str, Line, tuple[str, ...]]:
        return command, ((f"  {key:<{room}}", "strong"), (text, "")), (text, key, *texts)

    for group, title in SECTIONS.items():
        commands = [c for c in COMMANDS if c.group == group and (plan is None or load or not c.load)]
        section(
            title,
            [
                *(entry(c.id, key_word(keys[c.id]), words(c.help), *texts_of(c)) for c in commands),
                *(entry("", key, text, title) for key, text in _FIXED.get(group, [])),
            ],
        )
    title = "Reading the screen"
    section(title, [("", ((f"  {line}", ""),), (line, title)) for line in words(signs).splitlines()])
    return rows


class Page(Lines):
    """The rows. A row of a command is a button."""

    def __init__(self, view: ViewState, keys: Mapping[str, str]) -> None:
        super().__init__(view)
        self._keys = keys
        self._all = help_rows(keys, plan=view.run_view.plan)
        #: The rows as they were wrapped last, and for which width.
        self._wrapped: tuple[int, list[tuple[str, Line]]] = (-1, [])
        self._pointed = -1

    def search(self, query: str) -> None:
        """Show the rows that match; all of them without a query."""
        found = help_rows(self._keys, query, self.view.run_view.plan)
        self._all = found or [("", ((f"nothing about {query.strip()}", "dim"),))]
        self._wrapped = (-1, [])
        self.redraw()
        self.refresh(layout=True)

    def _rows(self, width: int) -> list[tuple[str, Line]]:
        """Return the rows wrapped to `width`, descriptions below descriptions."""
        if self._wrapped[0] != width:
            self._wrapped = width, self._wrap(width)
        return self._wrapped[1]

    def _wrap(self, width: int) -> list[tuple[str, Line]]:
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


class Sheet(FocusWithoutRules, VerticalScroll):
    """Scrolls; its border counts the rows that are out of sight below. It looks the same with the focus and without."""

    def on_mount(self) -> None:
        self.border_title = "llmtui: keys"
        self.watch(self, "virtual_size", self._count)
        self.watch(self, "scroll_y", self._count)

    def on_resize(self) -> None:
        self._count()

    def _count(self) -> None:
        below = round(self.max_scroll_y - self.scroll_y)
        hints = f"{below} more below, esc closes" if below > 0 else "esc closes"
        more = f"{hints}, / searches"
        text = more if len(more) + _FRAME <= self.size.width else hints
        if text != self.border_subtitle:
            # Setting it repaints the sheet.
            self.border_subtitle = text


class HelpScreen(ModalScreen[str], PaintedOnceScreen[str]):
    """Dismissed with the id of the command that was clicked, or "". It is opaque: what is behind it is not drawn."""

    AUTO_FOCUS = "Sheet"
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    BINDINGS = [
        Binding("slash", "search", show=False),
        Binding("escape", "leave", show=False),
        Binding("question_mark,q,enter,ctrl+c", "dismiss_help", "Close", show=False),
    ]

    def __init__(self, view: ViewState, keys: Mapping[str, str]) -> None:
        super().__init__()
        self._view = view
        self._keys = keys

    def compose(self) -> ComposeResult:
        with Sheet():
            yield Page(self._view, self._keys)

    def on_screen_suspend(self) -> None:
        self._close_search()
        self.query_one(Sheet).scroll_home(animate=False)

    async def action_search(self) -> None:
        """Let the user type what to search for."""
        sheet = self.query_one(Sheet)
        if not self.query(SearchLine):
            # Not before: the rules for a line of input are many, and matched whenever the help opens.
            line = SearchLine(id="help-search", placeholder="search: a key, or words")
            await sheet.mount(line, before=0)
        line = self.query_one(SearchLine)
        line.display = True
        sheet.scroll_home(animate=False)
        line.focus()

    def _close_search(self) -> bool:
        """Show all rows again. Return whether there was a search."""
        line = next(iter(self.query(SearchLine)), None)
        if line is None or not line.display:
            return False
        line.display, line.value = False, ""
        self.query_one(Page).search("")
        self.query_one(Sheet).focus()
        return True

    def on_input_changed(self, event: Input.Changed) -> None:
        self.query_one(Page).search(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self.query_one(Sheet).focus()
        else:
            self._close_search()

    def action_leave(self) -> None:
        """Close the search, else the help."""
        if not self._close_search():
            self.dismiss("")

    def action_dismiss_help(self) -> None:
        """Close the help."""
        self.dismiss("")
