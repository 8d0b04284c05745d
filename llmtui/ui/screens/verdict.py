"""The verdict over the whole screen: every pair, the intervals, the checks, and what the numbers mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import MouseScrollDown, MouseScrollUp

from llmtui.ui.actions.keys import key_word
from llmtui.ui.actions.registry import BY_ID
from llmtui.ui.screens.overlay import Paged
from llmtui.ui.text.spans import Line, justify
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.verdict import typical_rows, verdict_page
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header
from llmtui.ui.widgets.painted import Lines


class VerdictTitle(Lines):
    """What this is, and how much of it lies out of sight."""

    def __init__(self, view: ViewState, body: VerdictLines, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._body = body

    def content(self, width: int, height: int) -> list[Line]:
        below = f"{self._body.below} more below " if self._body.below else ""
        return [justify([(" verdict", "title")], [(below, "warn")], width)]


class VerdictLines(Lines, can_focus=True):
    """The page; it scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_by(-1)", show=False),
        Binding("down,j", "scroll_by(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "scroll_by(-1000000)", show=False),
        Binding("end", "scroll_by(1000000)", show=False),
    ]

    def __init__(self, view: ViewState, keys: Mapping[str, str], *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._keys = keys
        self._top = 0
        #: How many lines lie below the screen.
        self.below = 0

    def content(self, width: int, height: int) -> list[Line]:
        more = BY_ID["more"]
        key = key_word(self._keys[more.id]) if more.applies(self.view.situation()) else ""
        run_view, metric = self.view.run_view, self.view.metric
        lines = verdict_page(run_view.verdict(metric), width, key, typical_rows(run_view, metric))
        self._top = max(0, min(self._top, len(lines) - height))
        self.below = max(0, len(lines) - height - self._top)
        return lines[self._top : self._top + height]

    def forget(self) -> None:
        self._top = 0

    def action_scroll_by(self, lines: int) -> None:
        """Down by so many lines."""
        self._top = max(0, self._top + lines)
        self.redraw()
        self.screen.query_one(VerdictTitle).redraw()

    def action_page(self, pages: int) -> None:
        """Down by so many screens."""
        self.action_scroll_by(pages * max(1, self.size.height - 1))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        self.action_scroll_by(-3)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        self.action_scroll_by(3)


class VerdictScreen(Paged):
    """What the data say, and whether it was a fair race."""

    AUTO_FOCUS = "VerdictLines"
    page_type, title_type = VerdictLines, VerdictTitle

    def compose(self) -> ComposeResult:
        body = VerdictLines(self.view, self._keys, id="verdict-page")
        yield Header(self.view, id="header")
        yield VerdictTitle(self.view, body, id="verdict-title")
        yield body
        yield Footer(self.view, self._keys, id="footer")
