"""One backend's panel: a frame or a line, as its height allows."""

from __future__ import annotations

from textual.events import Click
from textual.message import Message

from llmtui.ui.text.spans import Line
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.panel import panel
from llmtui.ui.widgets.painted import Lines


class Panel(Lines, can_focus=True):
    """The panel of the backend at `index` in the plan."""

    class Selected(Message):
        """The panel has the focus: keys act on its backend."""

        def __init__(self, backend: str) -> None:
            super().__init__()
            self.backend = backend

    class Opened(Message):
        """The panel was double-clicked."""

    def __init__(self, view: ViewState, index: int) -> None:
        super().__init__(view)
        self.index = index
        #: Whether it was drawn as the selected one.
        self.marked = False

    @property
    def backend(self) -> str:
        """The name of the backend shown."""
        return self.view.names[self.index]

    def content(self, width: int, height: int) -> list[Line]:
        if self.index >= len(self.view.names):
            return []
        backend_view = self.view.run_view.backends[self.backend]
        self.marked = self.view.selected == self.backend
        return panel(backend_view, self.view.panel_options(self.index, self.marked), width, height)

    def watch_has_focus(self, has_focus: bool) -> None:
        # The selected backend is marked, not the focused panel.
        if has_focus and self.index < len(self.view.names):
            self.post_message(self.Selected(self.backend))

    def on_click(self, event: Click) -> None:
        if event.chain == 2:
            self.post_message(self.Opened())
