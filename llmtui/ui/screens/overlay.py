"""The base of the screens over the main one. They are built once, and look new each time they open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.events import Resize, ScreenResume
from textual.geometry import Size
from textual.reactive import Reactive
from textual.widget import Widget

from llmtui.ui.layout import TALL_HEADER
from llmtui.ui.textual_internals import PaintedOnceScreen
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header
from llmtui.ui.widgets.painted import Lines


class Overlay(PaintedOnceScreen[None]):
    """A screen over the main one. Hidden, it is not updated; `forget` makes it look new."""

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self, view: ViewState, keys: Mapping[str, str]) -> None:
        super().__init__()
        self.view = view
        self._keys = keys

    def on_screen_resume(self, event: ScreenResume) -> None:
        # The terminal may have been resized, and events may have arrived, while it was hidden.
        self.place(self.app.size)
        self.follow()

    def on_resize(self, event: Resize) -> None:
        self.place(event.size)

    def place(self, size: Size) -> None:
        """Set the height of every part."""
        raise NotImplementedError

    def follow(self) -> None:
        """Redraw what has changed."""
        raise NotImplementedError

    def forget(self) -> None:
        """Reset focus and scrolling."""
        self.set_focus(None)
        for part in self.query(Lines):
            part.forget()


class Paged(Overlay):
    """A title and a page of lines."""

    page_type: ClassVar[type[Lines]]
    title_type: ClassVar[type[Lines]]

    def place(self, size: Size) -> None:
        self.query_one(Header).styles.height = 2 if size.height >= TALL_HEADER else 1

    def follow(self) -> None:
        # The page first: the title shows how much of it is out of sight.
        for part in (Header, self.page_type, self.title_type, Footer):
            self.query_one(part).redraw()
