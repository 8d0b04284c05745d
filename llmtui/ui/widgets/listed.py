"""A table of iterations, turns or requests with a cursor. Only visible lines are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from textual.binding import Binding, BindingType
from textual.events import Click
from textual.message import Message

from llmtui.model import Iteration, Turn
from llmtui.ui.listing import Listing
from llmtui.ui.text.spans import Line
from llmtui.ui.view_state import ViewState
from llmtui.ui.views import sorting
from llmtui.ui.views.iteration_table import NO_SCALES, Scales, column_at, following, heading, iteration_line
from llmtui.ui.views.power import power_facts
from llmtui.ui.views.scroll import window
from llmtui.ui.views.sorting import Sort
from llmtui.ui.widgets.scrolling import ScrollingLines


class ListedRows(Protocol):
    """The rows of a table: which indices it shows, and in which order."""

    def __len__(self) -> int: ...

    def at(self, row: int) -> int:
        """Return the index in this row."""

    def near(self, at: int) -> int:
        """Return the row of this index, or of the last one before it that is shown."""

    def after(self, row: int, wanted: Sequence[int]) -> int | None:
        """Return the next row below `row` that has one of the `wanted` indices, from the top again at the end."""


class Listed(ScrollingLines):
    """A table with a cursor. Until the cursor is moved it follows the newest, or the topmost if it `follows_top`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "first_row", show=False),
        Binding("end", "last_row", show=False),
    ]
    title_rows = 1

    class Moved(Message):
        """Another row is selected, or others are listed."""

    def __init__(self, view: ViewState, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._at: int | None = None
        self._first = 0
        self._made: dict[int, Line] = {}
        self._made_for: tuple[int, Sort, Scales] | None = None
        #: The rows in sight, by index, and how their figures are shown.
        self._read: dict[int, Iteration] = {}
        self._scales: Scales = NO_SCALES

    # --- What is listed ---

    @property
    def count(self) -> int:
        """The number of what is listed, in sight of the filter or not."""
        raise NotImplementedError

    @property
    def rows(self) -> ListedRows:
        """The rows of the table."""
        raise NotImplementedError

    @property
    def listing(self) -> Listing:
        """The filter and the order."""
        raise NotImplementedError

    @listing.setter
    def listing(self, listing: Listing) -> None:
        raise NotImplementedError

    @property
    def present(self) -> bool:
        """Whether there is anything that has rows."""
        raise NotImplementedError

    @property
    def follows_top(self) -> bool:
        """Whether the cursor follows the topmost row, and not the newest."""
        raise NotImplementedError

    @property
    def chosen(self) -> Iteration | None:
        """What is under the cursor."""
        raise NotImplementedError

    @property
    def chosen_turn(self) -> Turn | None:
        """The turn under the cursor, None if no turns are listed."""
        return None

    @property
    def about(self) -> object:
        """Something that differs if anything else is selected."""
        raise NotImplementedError

    @property
    def elsewhere(self) -> str:
        """Where the answer of what is selected is, "" if it has it."""
        raise NotImplementedError

    @property
    def arrivals_elsewhere(self) -> str:
        """The same of its arrivals."""
        return self.elsewhere

    def title(self, chosen: Iteration, width: int) -> str:
        """Return the title of the timeline of what is selected, longer if there is room."""
        raise NotImplementedError

    def facts(self, chosen: Iteration) -> str:
        """Return what stands above the answer of what is selected."""
        return "; ".join(power_facts(chosen.power))

    @property
    def syntax(self) -> tuple[str, str]:
        """What can be typed as a filter, and the same in short."""
        raise NotImplementedError

    def read(self, at: int) -> Iteration:
        """Return what has this index."""
        raise NotImplementedError

    def scales(self) -> Scales:
        """How the figures of the rows in sight are shown."""
        raise NotImplementedError

    def nothing(self) -> str:
        """Say why there are no rows."""
        raise NotImplementedError

    def where(self) -> str:
        """Say where the cursor is, and how it gets back to what it follows."""
        raise NotImplementedError

    # --- Where the cursor is ---

    @property
    def at(self) -> int:
        """The index of what is selected, or -1."""
        if not self.present:
            return -1
        rows = self.rows
        if self._at is not None:
            return min(self._at, self.count - 1)
        return rows.at(self._followed) if len(rows) else -1

    @property
    def _followed(self) -> int:
        """The row that the cursor follows."""
        return 0 if self.follows_top else len(self.rows) - 1

    @property
    def row(self) -> int:
        """The row of the cursor, or -1."""
        return self._followed if self._at is None else self.rows.near(self.at)

    @property
    def follows(self) -> bool:
        """Whether the cursor follows the newest or the topmost row."""
        return self._at is None

    def content(self, width: int, height: int) -> list[Line]:
        if not self.present:
            return []
        at, row, rows = self.at, self.row, self.rows
        sort = self.listing.sort
        self._first, end = window(len(rows), height - 1, max(0, row), self._first)
        shown = list(map(rows.at, range(self._first, end)))
        self._read = {each: self._read.get(each) or self.read(each) for each in shown}
        self._scales = self.scales()
        if (width, sort, self._scales) != self._made_for:
            self._made, self._made_for = {}, (width, sort, self._scales)
        made, self._made = self._made, {}
        lines = []
        for each in shown:
            chosen = self.chosen if each == at else None
            if chosen is not None:
                lines.append(iteration_line(chosen, width, True, sort, self._scales))
                if each in made:
                    self._made[each] = made[each]
            else:
                line = made.get(each) or iteration_line(self._read[each], width, False, sort, self._scales)
                self._made[each] = line
                lines.append(line)
        return [heading(width, sort, self._scales), *(lines or [((f" {self.nothing()}", "dim"),)])]

    # --- The cursor ---

    def action_choose_row(self, row: int) -> None:
        """Move the cursor to this row."""
        rows = self.rows
        if len(rows):
            self._at = rows.at(max(0, min(row, len(rows) - 1)))
        self.post_message(self.Moved())

    def action_follow(self) -> None:
        """Follow the newest, or the top."""
        self._at = None
        self.post_message(self.Moved())

    def action_first_row(self) -> None:
        """Go to the first row, and follow it if the table is sorted."""
        if self.follows_top:
            self.action_follow()
        else:
            self.action_choose_row(0)

    def action_last_row(self) -> None:
        """Go to the last row, and follow the newest unless the table is sorted."""
        if self.follows_top:
            self.action_choose_row(len(self.rows) - 1)
        else:
            self.action_follow()

    def action_scroll_by(self, rows: int) -> None:
        """Move the cursor; past the end that is followed, follow it."""
        row, followed = self.row, self._followed
        if row == followed and (row + rows < 0 if followed == 0 and len(self.rows) > 1 else row + rows > followed):
            self.action_follow()
        else:
            self.action_choose_row(row + rows)

    def _jump(self, wanted: Sequence[int]) -> bool:
        """Move to the next of these indices, from the top again at the end. False if none of them is a row."""
        row = self.rows.after(self.row, wanted)
        if row is None:
            return False
        self.action_choose_row(row)
        return True

    def jump_to_failed(self) -> bool:
        """Move to the next one that failed. False without any."""
        raise NotImplementedError

    def jump_to_outlier(self) -> bool:
        """Move to the next outlier. False without any."""
        raise NotImplementedError

    def jump_to_slowest(self) -> bool:
        """Move to the one with the highest latency. False without any."""
        raise NotImplementedError

    # --- Filter and order ---

    def list_as(self, listing: Listing) -> None:
        """List others, or in another order. The cursor stays where it can, and goes to a new order's top."""
        at, resorted = self._at, listing.sort != self.listing.sort
        self.listing = listing
        if resorted:
            self._at, self._first = None, 0
        elif at is not None and len(self.rows):
            self._at = self.rows.at(self.rows.near(at))
        self.post_message(self.Moved())

    def sort_by(self, sort: Sort) -> None:
        """Sort the table."""
        self.list_as(Listing(self.listing.typed, sort))

    def sort_next(self) -> None:
        """Sort by the next column."""
        self.sort_by(following(self.listing.sort, self.size.width, self._scales))

    def on_click(self, event: Click) -> None:
        sort = self.listing.sort
        if event.y == 0:
            if (column := column_at(event.x, self.size.width, sort, self._scales)) is not None:
                self.sort_by(sorting.clicked(sort, column))
        elif 1 <= event.y <= min(self.size.height - 1, len(self.rows) - self._first):
            self.action_choose_row(self._first + event.y - 1)
