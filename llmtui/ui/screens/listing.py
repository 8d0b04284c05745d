"""The base of the pages with a table that can be filtered and sorted."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Label

from llmtui.ui.listing import Listing
from llmtui.ui.screens.detail_parts import FilterNote
from llmtui.ui.screens.overlay import Overlay
from llmtui.ui.widgets.listed import Listed
from llmtui.ui.widgets.painted import Lines
from llmtui.ui.widgets.search import SearchLine

#: Up to this many rows are filtered with each character that is typed.
FILTER_WHILE_TYPED = 20_000


class ListingScreen(Overlay):
    """A page with a table and the line of its filter."""

    #: Whether the line of the filter is shown.
    filtering = False

    @property
    def table(self) -> Listed:
        """The table."""
        return self.query_one(Listed)

    def filter_line(self, table: Listed) -> ComposeResult:
        """The line that a filter is typed into."""
        with Horizontal(id="filter"):
            yield Label(" / ")
            yield SearchLine(id="filter-line")
            yield FilterNote(self.view, table, id="filter-note")

    def place_rows(self, rows: dict[str, int]) -> None:
        """Give the parts with these names this many rows; those with none are hidden."""
        for name, height in rows.items():
            part = self.query_one(f"#{name}")
            part.display = height > 0
            part.styles.height = max(1, height)

    def on_listed_moved(self) -> None:
        self.follow()

    def follow(self) -> None:
        for widget in self.query(Lines):
            widget.redraw()

    def forget(self) -> None:
        super().forget()
        self.filtering = False
        self.table.listing = Listing()
        self.query_one(SearchLine).value = ""

    # --- The filter ---

    def ask_filter(self) -> None:
        """Let the user type a filter."""
        if not self.filtering:
            self.filtering = True
            self.place(self.size)
        self.set_focus(self.query_one(SearchLine))
        self.follow()

    def filter_by(self, typed: str) -> None:
        """List what this filter leaves, as if the user had typed it."""
        self.filtering = True
        self.query_one(SearchLine).value = typed
        self._list_typed(typed)
        self.place(self.size)

    def clear_filter(self) -> bool:
        """List all iterations again. Return whether there was a filter, or one was about to be typed."""
        if not self.filtering:
            return False
        self.filtering = False
        self.query_one(SearchLine).value = ""
        self._list_typed("")
        self.place(self.size)
        self.set_focus(self.table)
        return True

    def on_input_changed(self, event: Input.Changed) -> None:
        # Many iterations take long to read: they are read when the filter is complete.
        if self.filtering and self.table.count <= FILTER_WHILE_TYPED:
            self._list_typed(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if not event.value.strip():
            self.clear_filter()
            return
        self._list_typed(event.value)
        self.set_focus(self.table)

    def _list_typed(self, typed: str) -> None:
        if typed != self.table.listing.typed:
            self.table.list_as(Listing(typed, self.table.listing.sort))
