"""Widgets whose lines scroll: by keys, by pages, by the wheel."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import MouseScrollDown, MouseScrollUp

from llmtui.ui.widgets.painted import Lines

#: How far the wheel scrolls.
_WHEEL_ROWS = 3


class ScrollingLines(Lines, can_focus=True):
    """Lines that scroll. A subclass stores the position, and clamps it when it draws."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_by(-1)", show=False),
        Binding("down,j", "scroll_by(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "scroll_by(-1000000)", show=False),
        Binding("end", "scroll_by(1000000)", show=False),
    ]
    #: The rows at the top that do not scroll.
    title_rows: ClassVar[int] = 0

    def move_by(self, rows: int) -> None:
        """Move the position down by `rows`, or up if negative."""
        raise NotImplementedError

    def after_scroll(self) -> None:
        """Redraw what depends on the position."""

    def action_scroll_by(self, rows: int) -> None:
        """Scroll down by `rows`, or up if negative."""
        self.move_by(rows)
        self.redraw()
        self.after_scroll()

    def action_page(self, pages: int) -> None:
        """Scroll down by whole pages, or up if negative. One row stays in sight."""
        self.action_scroll_by(pages * max(1, self.size.height - self.title_rows - 1))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        self.action_scroll_by(-_WHEEL_ROWS)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        self.action_scroll_by(_WHEEL_ROWS)
