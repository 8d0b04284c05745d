"""The line in which a filter or a search is typed."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input


class SearchLine(Input):
    """One line of text; enter, and the arrows that leave it, submit it. Its cursor does not blink: that repaints."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("down,up,pagedown,pageup", "submit", show=False)]

    def __init__(self, *, id: str, placeholder: str = "") -> None:  # noqa: A002
        super().__init__(id=id, compact=True, select_on_focus=False, placeholder=placeholder)
        self.cursor_blink = False
