"""The run's log over the whole screen, the newest at the bottom."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Click, MouseScrollDown, MouseScrollUp

from llmtui.ui.screens.overlay import Paged
from llmtui.ui.text.spans import Line, justify
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.log import MOST_ENTRIES, RunLog
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header
from llmtui.ui.widgets.painted import Lines


class LogTitle(Lines):
    """How much there is, and how much of it lies below."""

    def __init__(self, view: ViewState, log: RunLog, body: LogLines, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._log = log
        self._body = body

    def content(self, width: int, height: int) -> list[Line]:
        count = self._log.count
        kept = f"{count or 'no'} {'entry' if count == 1 else 'entries'}"
        if count > MOST_ENTRIES:
            kept = f"newest {MOST_ENTRIES} of {count}"
        below = f"{self._body.below} more below " if self._body.below else ""
        return [justify([(" log", "title"), (f"  {kept}", "dim")], [(below, "warn")], width)]

    def on_click(self, event: Click) -> None:
        self._body.action_scroll_by(-self._body.below)


class LogLines(Lines, can_focus=True):
    """The entries. Who looks at the newest goes on looking at the newest; who scrolled up stays where he is."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_by(1)", show=False),
        Binding("down,j", "scroll_by(-1)", show=False),
        Binding("pageup", "page(1)", show=False),
        Binding("pagedown", "page(-1)", show=False),
        Binding("home", "scroll_by(1000000)", show=False),
        Binding("end", "scroll_by(-1000000)", show=False),
    ]

    def __init__(self, view: ViewState, log: RunLog, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._log = log
        self._wrapped: deque[list[Line]] = deque(maxlen=MOST_ENTRIES)
        self._known = (-1, -1)
        #: How many lines lie below the screen.
        self.below = 0

    def content(self, width: int, height: int) -> list[Line]:
        log = self._log
        if self._known[0] != width:
            self._wrapped.clear()
            self._known = (width, log.count - len(log.entries))
        fresh = min(log.count - self._known[1], len(log.entries))
        for entry in islice(log.entries, len(log.entries) - fresh, None):
            lines = entry.lines(width - 2)
            self._wrapped.append(lines)
            self.below += len(lines) if self.below else 0
        self._known = (width, log.count)
        every = [line for lines in self._wrapped for line in lines]
        self.below = max(0, min(self.below, len(every) - height))
        end = len(every) - self.below
        shown = every[max(0, end - height) : end]
        return [((" ", ""), *line) for line in shown] or [((" nothing has happened yet", "dim"),)]

    def forget(self) -> None:
        self.below = 0

    def action_scroll_by(self, lines: int) -> None:
        """Up by so many lines."""
        self.below = max(0, self.below + lines)
        self.redraw()
        self.screen.query_one(LogTitle).redraw()

    def action_page(self, pages: int) -> None:
        """Up by so many screens."""
        self.action_scroll_by(pages * max(1, self.size.height - 1))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        self.action_scroll_by(3)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        self.action_scroll_by(-3)


class LogScreen(Paged):
    """Everything that was said, and what became of every backend."""

    AUTO_FOCUS = "LogLines"
    page_type, title_type = LogLines, LogTitle

    def __init__(self, view: ViewState, keys: Mapping[str, str], log: RunLog) -> None:
        super().__init__(view, keys)
        self._log = log

    def compose(self) -> ComposeResult:
        body = LogLines(self.view, self._log, id="log")
        yield Header(self.view, id="header")
        yield LogTitle(self.view, self._log, body, id="log-title")
        yield body
        yield Footer(self.view, self._keys, id="footer")
