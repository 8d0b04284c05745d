"""A table of the selected backend's iterations, with a cursor. Only visible lines are made."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Click
from textual.message import Message

from llmtui.model import Iteration
from llmtui.runview.backend import BackendView
from llmtui.ui.text.spans import Line
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.iteration_table import heading, iteration_line
from llmtui.ui.views.scroll import window
from llmtui.ui.widgets.scrolling import ScrollingLines


class Iterations(ScrollingLines):
    """Every iteration of the backend. The cursor follows the newest until it is moved."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "choose(0)", show=False),
        Binding("end", "newest", show=False),
    ]
    title_rows = 1

    class Moved(Message):
        """Another iteration is selected."""

    def __init__(self, view: ViewState, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._backend_view: BackendView | None = None
        self._at: int | None = None
        self._first = 0
        self._made: dict[int, Line] = {}
        self._made_for = -1
        self._chosen: tuple[int, Iteration, bool] | None = None

    @property
    def count(self) -> int:
        """The number of iterations."""
        return len(self._current.iterations) if self._current else 0

    @property
    def _current(self) -> BackendView | None:
        backend_view = self.view.backend_view
        if backend_view is not self._backend_view:
            self._backend_view, self._at, self._first, self._chosen = backend_view, None, 0, None
            self._made.clear()
        return backend_view

    def forget(self) -> None:
        """Follow the newest again."""
        self._backend_view = None

    @property
    def at(self) -> int:
        """The index of the selected iteration, or -1."""
        newest = self.count - 1
        return newest if self._at is None else min(self._at, newest)

    @property
    def follows(self) -> bool:
        """Whether the cursor follows the newest iteration."""
        return self._at is None

    @property
    def chosen(self) -> Iteration | None:
        """The iteration under the cursor. It stays complete even if newer ones push it out of memory."""
        at, backend_view = self.at, self._current
        if backend_view is None or at < 0:
            return None
        if self._chosen is None or self._chosen[0] != at:
            self._chosen = (at, backend_view.iterations[at], backend_view.iterations.whole(at))
        return self._chosen[1]

    @property
    def whole(self) -> bool:
        """Whether the selected iteration has its answer and arrivals."""
        return self.chosen is not None and self._chosen is not None and self._chosen[2]

    def content(self, width: int, height: int) -> list[Line]:
        backend_view, at = self._current, self.at
        if backend_view is None:
            return []
        if width != self._made_for:
            self._made, self._made_for = {}, width
        self._first, end = window(self.count, height - 1, max(0, at), self._first)
        made, self._made = self._made, {}
        for row in range(self._first, end):
            line = made.get(row)
            self._made[row] = line or iteration_line(backend_view.iterations[row], width, cursor=False)
        lines = [
            self._made[row] if row != at else iteration_line(backend_view.iterations[row], width, cursor=True)
            for row in range(self._first, end)
        ]
        return [heading(width), *(lines or [((" no iteration yet", "dim"),)])]

    def action_choose(self, at: int) -> None:
        """Move the cursor to the iteration at this index."""
        self._at = max(0, min(at, self.count - 1))
        self.post_message(self.Moved())

    def action_newest(self) -> None:
        """Follow the newest."""
        self._at = None
        self.post_message(self.Moved())

    def action_scroll_by(self, rows: int) -> None:
        """Move the cursor; past the newest, follow it."""
        if self.at + rows > self.count - 1 and self.at == self.count - 1:
            self.action_newest()
        else:
            self.action_choose(self.at + rows)

    def on_click(self, event: Click) -> None:
        if 1 <= event.y <= min(self.size.height - 1, self.count - self._first):
            self.action_choose(self._first + event.y - 1)
