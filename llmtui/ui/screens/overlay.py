"""What lies over all backends: screens that are built once, and shown as new each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.events import Resize, ScreenResume
from textual.geometry import Size
from textual.reactive import Reactive
from textual.widget import Widget

from llmtui.ui.textual_internals import PaintedOnceScreen
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header
from llmtui.ui.widgets.painted import Lines


class Overlay(PaintedOnceScreen[None]):
    """A screen over all backends.

    Building one costs many times what showing it costs, so the app keeps it when it is left. Hidden, it follows
    nothing; `forget` has it come back as it first came.
    """

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self, view: ViewState, keys: Mapping[str, str]) -> None:
        super().__init__()
        self.view = view
        self._keys = keys

    def on_screen_resume(self, event: ScreenResume) -> None:
        # While it was hidden the terminal may have got another size, and anything may have happened.
        self.place(self.app.size)
        self.follow()

    def on_resize(self, event: Resize) -> None:
        self.place(event.size)

    def place(self, size: Size) -> None:
        """Give every part its place."""
        raise NotImplementedError

    def follow(self) -> None:
        """Bring the screen up to date."""
        raise NotImplementedError

    def forget(self) -> None:
        """Lose what the user did here: where the focus was, how far it was scrolled."""
        self.set_focus(None)
        for part in self.query(Lines):
            part.forget()


class Paged(Overlay):
    """A title and a page of lines below it."""

    page_type: ClassVar[type[Lines]]
    title_type: ClassVar[type[Lines]]

    def place(self, size: Size) -> None:
        self.query_one(Header).styles.height = 1 if size.height < 20 else 2

    def follow(self) -> None:
        # The title tells what the page has worked out.
        for part in (Header, self.page_type, self.title_type, Footer):
            self.query_one(part).redraw()
