"""The log of the run, the newest entry at the bottom."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import islice

from textual.app import ComposeResult
from textual.events import Click

from llmtui.ui.screens.overlay import Paged
from llmtui.ui.text.spans import Line, justify
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.catching_up import CATCHING_UP
from llmtui.ui.views.log import MOST_ENTRIES, RunLog
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header
from llmtui.ui.widgets.painted import Lines
from llmtui.ui.widgets.scrolling import ScrollingLines


class LogTitle(Lines):
    """The number of entries, and of lines below the visible ones."""

    def __init__(self, view: ViewState, log: RunLog, body: LogLines, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._log = log
        self._body = body

    def content(self, width: int, height: int) -> list[Line]:
        count = self._log.count
        count_text = f"{count or 'no'} {'entry' if count == 1 else 'entries'}"
        if self.view.catching_up:
            count_text += f", {CATCHING_UP}"
        if count > MOST_ENTRIES:
            count_text = f"newest {MOST_ENTRIES} of {count}"
        below = f"{self._body.below} more below " if self._body.below else ""
        return [justify([(" log", "title"), (f"  {count_text}", "dim")], [(below, "warn")], width)]

    def on_click(self, event: Click) -> None:
        self._body.action_scroll_by(self._body.below)


class LogLines(ScrollingLines):
    """The entries. At the bottom they follow the newest; scrolled up they stay."""

    def __init__(self, view: ViewState, log: RunLog, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._log = log
        self._wrapped: deque[list[Line]] = deque(maxlen=MOST_ENTRIES)
        #: The width, the merges and the count of the log for which entries were wrapped.
        self._wrapped_for = (-1, -1, -1)
        #: How many lines are below the visible ones.
        self.below = 0

    def content(self, width: int, height: int) -> list[Line]:
        log = self._log
        if self._wrapped_for[:2] != (width, log.merges):
            self._wrapped.clear()
            self._wrapped_for = (width, log.merges, log.count - len(log.entries))
        fresh = min(log.count - self._wrapped_for[2], len(log.entries))
        for entry in islice(log.entries, len(log.entries) - fresh, None):
            lines = entry.lines(width - 2)
            self._wrapped.append(lines)
            self.below += len(lines) if self.below else 0
        self._wrapped_for = (width, log.merges, log.count)
        every = [line for lines in self._wrapped for line in lines]
        self.below = max(0, min(self.below, len(every) - height))
        end = len(every) - self.below
        shown = every[max(0, end - height) : end]
        return [((" ", ""), *line) for line in shown] or [((f" {self._empty()}", "dim"),)]

    def _empty(self) -> str:
        return CATCHING_UP if self.view.catching_up else "nothing has happened yet"

    def forget(self) -> None:
        self.below = 0

    def move_by(self, rows: int) -> None:
        self.below = max(0, self.below - rows)

    def after_scroll(self) -> None:
        self.screen.query_one(LogTitle).redraw()


class LogScreen(Paged):
    """Messages, state changes and failures of the run."""

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
