"""The page that shows what is on this machine, grouped by model, and starts the race of a group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from llmtui.ui.here import Here
from llmtui.ui.screens.overlay import Paged
from llmtui.ui.text.spans import Line, justify
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.here import other_lines, race_lines
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header
from llmtui.ui.widgets.painted import Lines
from llmtui.ui.widgets.scrolling import ScrollingLines

#: The title says what the page shows from this width on.
_TITLE_WIDTH = 90


class HereTitle(Lines):
    """The title, and what the keys do."""

    def __init__(self, view: ViewState, here: Here, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._here = here

    def content(self, width: int, height: int) -> list[Line]:
        here = self._here
        if here.asked:
            question = " a run is in progress: enter stops it and starts this race, esc leaves it"
            return [((question, "warn"),)]
        does = "looking..." if here.looking else ""
        if here.look is not None and not here.looking:
            does = "enter races, r looks again, w writes a config "
        what = "  what can be raced, by model" if width >= _TITLE_WIDTH else ""
        return [justify([(" here", "title"), (what, "dim")], [(does, "dim")], width)]


class HereLines(ScrollingLines):
    """The races, one of them selected, then what cannot be raced."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", show=False),
        Binding("r", "look_again", show=False),
        Binding("w", "write", show=False),
    ]

    class Chosen(Message):
        """The user wants this race."""

    class LookWanted(Message):
        """The user wants to know what is here now."""

    class WriteWanted(Message):
        """The user wants a config of this race."""

    def __init__(self, view: ViewState, here: Here, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._here = here
        self._top = 0

    def content(self, width: int, height: int) -> list[Line]:
        here, plan = self._here, self.view.run_view.plan
        races = here.races(plan)
        here.selected = max(0, min(here.selected, len(races) - 1))
        lines: list[Line] = race_lines(races, here.selected, width)
        # Lines of the selected race after its first one.
        below = len(lines) - len(races)
        if not races:
            lines = [((" nothing here can be raced yet", "dim"),)]
        lines += other_lines(here.known(plan), width)
        # The selected race stays in sight; what is below all of them comes with the last.
        at = len(lines) - 1 if races and here.selected == len(races) - 1 else here.selected + below
        self._top = max(min(self._top, here.selected), at - height + 1, 0)
        self._top = min(self._top, here.selected) if races else 0
        return lines[self._top : self._top + height]

    def forget(self) -> None:
        self._top, self._here.selected, self._here.asked = 0, 0, False

    def move_by(self, rows: int) -> None:
        self._here.selected = max(0, self._here.selected + rows)
        self._here.asked = False

    def after_scroll(self) -> None:
        self.screen.query_one(HereTitle).redraw()

    def action_choose(self) -> None:
        """Start the selected race."""
        self.post_message(self.Chosen())

    def action_look_again(self) -> None:
        """Look again what is here."""
        self.post_message(self.LookWanted())

    def action_write(self) -> None:
        """Write a config of the selected race."""
        self.post_message(self.WriteWanted())


class HereScreen(Paged):
    """What is on this machine."""

    AUTO_FOCUS = "HereLines"
    page_type, title_type = HereLines, HereTitle

    def __init__(self, view: ViewState, keys: Mapping[str, str], here: Here) -> None:
        super().__init__(view, keys)
        self._here = here

    def compose(self) -> ComposeResult:
        yield Header(self.view, id="header")
        yield HereTitle(self.view, self._here, id="here-title")
        yield HereLines(self.view, self._here, id="here")
        yield Footer(self.view, self._keys, id="footer")
