"""A table of the selected backend's iterations, in a load of its turns."""

from __future__ import annotations

from llmtui.model import Iteration, Turn
from llmtui.runview.backend import BackendView
from llmtui.runview.loads import level_titles, worded
from llmtui.runview.samples import Samples
from llmtui.text import sanitize
from llmtui.ui.listing import Listing
from llmtui.ui.view_state import ViewState
from llmtui.ui.views import iteration_rows
from llmtui.ui.views.details import timeline_title
from llmtui.ui.views.iteration_filter import (
    SHORT_SYNTAX,
    SHORT_TURN_SYNTAX,
    SYNTAX,
    TURN_SYNTAX,
    iteration_filter,
)
from llmtui.ui.views.iteration_table import (
    Scales,
    column_of,
    columns_of,
    iteration_name,
    most_on_top,
    scales_of,
    sort_value,
)
from llmtui.ui.widgets.listed import Listed


def rows_of(samples: Samples, listing: Listing, levels: tuple[str, ...] = ()) -> iteration_rows.Rows:
    """Return the rows of a table that lists `samples` as the user chose. `levels` are the titles of those of a load."""
    column = column_of(listing.sort)
    value = (lambda i: sort_value(i, column)) if column is not None else None
    return iteration_rows.Rows(samples, iteration_filter(listing.typed, levels), value, most_on_top(listing.sort))


class Iterations(Listed):
    """Every iteration of the backend, or those that the filter leaves, in the order that the user chose.

    Until the cursor is moved it follows the newest, in a sorted table the topmost.
    """

    def __init__(self, view: ViewState, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._backend_view: BackendView | None = None
        self._rows: tuple[tuple[str, str], iteration_rows.Rows] | None = None
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
        backend_view, listing = self._current, self.listing
        asked = (listing.typed, listing.sort.column)
        if self._rows is None or self._rows[0] != asked:
            samples = backend_view.listed if backend_view is not None else Samples()
            self._rows = (asked, rows_of(samples, listing, level_titles(self.view.run_view.plan)))
        rows = self._rows[1]
        rows.descending = most_on_top(listing.sort)
        rows.update()
        return rows

    @property
    def listing(self) -> Listing:
        return self.view.listing

    @listing.setter
    def listing(self, listing: Listing) -> None:
        self.view.listing = listing

    @property
    def present(self) -> bool:
        return self._current is not None

    @property
    def follows_top(self) -> bool:
        return bool(self.listing.sort.column)

    def forget(self) -> None:
        """Follow the newest again."""
        self._backend_view = self._rows = None

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
        at, backend_view = self.at, self._current
        return backend_view.turns[at] if backend_view is not None and 0 <= at < len(backend_view.turns) else None

    @property
    def whole(self) -> bool:
        """Whether the selected iteration has its answer and arrivals."""
        return self.chosen is not None and self._chosen is not None and self._chosen[2]

    @property
    def about(self) -> object:
        return (id(self._current), self.at)

    @property
    def elsewhere(self) -> str:
        if (chosen := self.chosen) is None or self.whole:
            return ""
        return f"no longer in memory, but in the history: llmtui export {sanitize(chosen.run)} --json -"

    @property
    def arrivals_elsewhere(self) -> str:
        if (chosen := self.chosen) is None or self.whole:
            return ""
        return f"arrivals are shown for the newest iterations; for all: llmtui export {sanitize(chosen.run)} --json -"

    def title(self, chosen: Iteration, width: int) -> str:
        levels = level_titles(self.view.run_view.plan)
        return iteration_name(chosen, levels) if levels else timeline_title(chosen, width)

    @property
    def syntax(self) -> tuple[str, str]:
        return (TURN_SYNTAX, SHORT_TURN_SYNTAX) if self.view.run_view.plan.levels else (SYNTAX, SHORT_SYNTAX)

    def read(self, at: int) -> Iteration:
        assert self._backend_view is not None
        return self._backend_view.listed[at]

    def scales(self) -> Scales:
        assert self._backend_view is not None
        columns = columns_of(level_titles(self.view.run_view.plan))
        return scales_of(self._read.values(), self._backend_view.summary, columns)

    def nothing(self) -> str:
        text = "no iteration matches the filter" if self.count else "no iteration yet"
        return worded(text, self.view.run_view.plan)

    def where(self) -> str:
        if not self.listing.plain:
            return f"row {self.row + 1} of {len(self.rows)}" if len(self.rows) else ""
        newer = self.count - 1 - self.at
        return "follows newest" if self.follows else f"end: newest ({newer} newer)" if newer else "end: follow"

    # --- Jumps ---

    def jump_to_failed(self) -> bool:
        backend_view = self._current
        return backend_view is not None and self._jump(iteration_rows.failed(backend_view))

    def jump_to_outlier(self) -> bool:
        backend_view = self._current
        return backend_view is not None and self._jump(iteration_rows.outliers(backend_view))

    def jump_to_slowest(self) -> bool:
        """Move to the measured iteration with the highest latency. False without any."""
        backend_view = self._current
        at = iteration_rows.slowest(backend_view, self.rows) if backend_view is not None else None
        if at is None:
            return False
        self.action_choose_row(self.rows.near(at))
        return True
