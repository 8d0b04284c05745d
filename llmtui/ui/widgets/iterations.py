"""A table of the selected backend's iterations, with a cursor. Only visible lines are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Click
from textual.message import Message

from llmtui.model import Iteration, Turn
from llmtui.runview.backend import BackendView
from llmtui.runview.loads import level_titles, worded
from llmtui.runview.samples import Samples
from llmtui.ui.listing import Listing
from llmtui.ui.text.spans import Line
from llmtui.ui.view_state import ViewState
from llmtui.ui.views import iteration_rows, sorting
from llmtui.ui.views.iteration_filter import iteration_filter
from llmtui.ui.views.iteration_table import (
    NO_SCALES,
    Scales,
    column_at,
    column_of,
    following,
    heading,
    iteration_line,
    most_on_top,
    scales_of,
    sort_value,
)
from llmtui.ui.views.scroll import window
from llmtui.ui.views.sorting import Sort
from llmtui.ui.widgets.scrolling import ScrollingLines


def rows_of(samples: Samples, listing: Listing) -> iteration_rows.Rows:
    """Return the rows of a table that lists `samples` as the user chose."""
    column = column_of(listing.sort)
    value = (lambda i: sort_value(i, column)) if column is not None else None
    return iteration_rows.Rows(samples, iteration_filter(listing.typed), value, most_on_top(listing.sort))


class Iterations(ScrollingLines):
    """Every iteration of the backend, or those that the filter leaves, in the order that the user chose.

    Until the cursor is moved it follows the newest, in a sorted table the topmost.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "first_row", show=False),
        Binding("end", "last_row", show=False),
    ]
    title_rows = 1

    class Moved(Message):
        """Another iteration is selected, or others are listed."""

    def __init__(self, view: ViewState, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._backend_view: BackendView | None = None
        self._rows: tuple[tuple[str, str], iteration_rows.Rows] | None = None
        self._at: int | None = None
        self._first = 0
        self._made: dict[int, Line] = {}
        self._made_for: tuple[int, Sort, Scales] | None = None
        #: The iterations in sight, by index, and how their figures are shown.
        self._read: dict[int, Iteration] = {}
        self._scales: Scales = NO_SCALES
        self._chosen: tuple[int, Iteration, bool] | None = None

    @property
    def count(self) -> int:
        """The number of iterations, listed or not."""
        return len(self._current.listed) if self._current else 0

    @property
    def _current(self) -> BackendView | None:
        backend_view = self.view.backend_view
        if backend_view is not self._backend_view:
            self._backend_view, self._at, self._first, self._chosen = backend_view, None, 0, None
            self._rows = None
            self._made.clear()
            self._read.clear()
        return backend_view

    @property
    def rows(self) -> iteration_rows.Rows:
        """The rows of the table."""
        backend_view, listing = self._current, self.view.listing
        asked = (listing.typed, listing.sort.column)
        if self._rows is None or self._rows[0] != asked:
            samples = backend_view.listed if backend_view is not None else Samples()
            self._rows = (asked, rows_of(samples, listing))
        rows = self._rows[1]
        rows.descending = most_on_top(listing.sort)
        rows.update()
        return rows

    def forget(self) -> None:
        """Follow the newest again."""
        self._backend_view = self._rows = None

    @property
    def at(self) -> int:
        """The index of the selected iteration, or -1."""
        rows = self.rows
        if self._at is not None:
            return min(self._at, self.count - 1)
        return rows.at(self._followed) if len(rows) else -1

    @property
    def _followed(self) -> int:
        """The row that the cursor follows: the newest iteration's, or the top."""
        return 0 if self.view.listing.sort.column else len(self.rows) - 1

    @property
    def row(self) -> int:
        """The row of the cursor, or -1."""
        return self._followed if self._at is None else self.rows.near(self.at)

    @property
    def follows(self) -> bool:
        """Whether the cursor follows the newest iteration, or the top."""
        return self._at is None

    @property
    def chosen(self) -> Iteration | None:
        """The iteration under the cursor. It stays complete even if newer ones push it out of memory."""
        at, backend_view = self.at, self._current
        if backend_view is None or at < 0:
            return None
        if self._chosen is None or self._chosen[0] != at:
            self._chosen = (at, backend_view.listed[at], backend_view.listed.whole(at))
        return self._chosen[1]

    @property
    def chosen_turn(self) -> Turn | None:
        """The turn under the cursor, None in a race."""
        at, backend_view = self.at, self._current
        return backend_view.turns[at] if backend_view is not None and 0 <= at < len(backend_view.turns) else None

    @property
    def whole(self) -> bool:
        """Whether the selected iteration has its answer and arrivals."""
        return self.chosen is not None and self._chosen is not None and self._chosen[2]

    def where(self) -> str:
        """Say where the cursor is, and how it gets back to what it follows."""
        if not self.view.listing.plain:
            return f"row {self.row + 1} of {len(self.rows)}" if len(self.rows) else ""
        newer = self.count - 1 - self.at
        return "follows newest" if self.follows else f"end: newest ({newer} newer)" if newer else "end: follow"

    def content(self, width: int, height: int) -> list[Line]:
        backend_view, at, row, rows = self._current, self.at, self.row, self.rows
        sort = self.view.listing.sort
        if backend_view is None:
            return []
        self._first, end = window(len(rows), height - 1, max(0, row), self._first)
        shown = list(map(rows.at, range(self._first, end)))
        self._read = {each: self._read.get(each) or backend_view.listed[each] for each in shown}
        self._scales = scales_of(self._read.values(), backend_view.summary, level_titles(self.view.run_view.plan))
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
        nothing = worded(
            "no iteration matches the filter" if self.count else "no iteration yet", self.view.run_view.plan
        )
        return [heading(width, sort, self._scales), *(lines or [((f" {nothing}", "dim"),)])]

    # --- The cursor ---

    def action_choose_row(self, row: int) -> None:
        """Move the cursor to this row."""
        rows = self.rows
        if len(rows):
            self._at = rows.at(max(0, min(row, len(rows) - 1)))
        self.post_message(self.Moved())

    def action_follow(self) -> None:
        """Follow the newest, or the top of a sorted table."""
        self._at = None
        self.post_message(self.Moved())

    def action_first_row(self) -> None:
        """Go to the first row, and follow it in a sorted table."""
        if self.view.listing.sort.column:
            self.action_follow()
        else:
            self.action_choose_row(0)

    def action_last_row(self) -> None:
        """Go to the last row, and follow the newest unless the table is sorted."""
        if self.view.listing.sort.column:
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

    def jump(self, find: Callable[[BackendView], Sequence[int]]) -> bool:
        """Move to the next of the iterations that `find` returns, from the top again at the end. False without any."""
        backend_view = self._current
        row = self.rows.after(self.row, find(backend_view)) if backend_view is not None else None
        if row is None:
            return False
        self.action_choose_row(row)
        return True

    def jump_to_slowest(self) -> bool:
        """Move to the measured iteration with the highest latency. False without any."""
        backend_view = self._current
        at = iteration_rows.slowest(backend_view, self.rows) if backend_view is not None else None
        if at is None:
            return False
        self.action_choose_row(self.rows.near(at))
        return True

    # --- Filter and order ---

    def list_as(self, listing: Listing) -> None:
        """List other iterations, or in another order. The cursor stays where it can, and goes to a new order's top."""
        at, resorted = self._at, listing.sort != self.view.listing.sort
        self.view.listing = listing
        if resorted:
            self._at, self._first = None, 0
        elif at is not None and len(self.rows):
            self._at = self.rows.at(self.rows.near(at))
        self.post_message(self.Moved())

    def sort_by(self, sort: Sort) -> None:
        """Sort the table."""
        self.list_as(Listing(self.view.listing.typed, sort))

    def sort_next(self) -> None:
        """Sort by the next column."""
        self.sort_by(following(self.view.listing.sort, self.size.width, self._scales))

    def on_click(self, event: Click) -> None:
        sort = self.view.listing.sort
        if event.y == 0:
            if (column := column_at(event.x, self.size.width, sort, self._scales)) is not None:
                self.sort_by(sorting.clicked(sort, column))
        elif 1 <= event.y <= min(self.size.height - 1, len(self.rows) - self._first):
            self.action_choose_row(self._first + event.y - 1)
