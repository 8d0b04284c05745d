"""A table of the requests of one turn."""

from __future__ import annotations

from llmtui.model import Iteration
from llmtui.runview.turn_requests import TurnRequests
from llmtui.text import sanitize
from llmtui.ui.listing import Listing
from llmtui.ui.request_page import RequestPage
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.columns import Column
from llmtui.ui.views.details import timeline_title
from llmtui.ui.views.iteration_filter import REQUEST_SYNTAX, SHORT_REQUEST_SYNTAX, request_filter
from llmtui.ui.views.iteration_table import NO_SCALES, Scales, most_on_top, scales_of
from llmtui.ui.views.request_rows import RequestRows
from llmtui.ui.views.request_table import FIELDS, OF_FAILED, request_columns
from llmtui.ui.views.turn_facts import request_facts, request_name
from llmtui.ui.widgets.listed import Listed


class RequestTable(Listed):
    """Every request of the turn, or those that the filter leaves, in the order that the user chose.

    Until the cursor is moved it follows the topmost.
    """

    def __init__(self, view: ViewState, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._page: RequestPage | None = None
        self._rows: tuple[tuple[str, str], RequestRows] | None = None
        self._columns: tuple[tuple[bool, bool], tuple[Column[Iteration], ...]] | None = None

    @property
    def _current(self) -> TurnRequests | None:
        page = self.view.request_page
        if page is not self._page:
            self._page, self._at, self._first = page, None, 0
            self._rows = self._columns = None
            self._made.clear()
            self._read.clear()
        return page.requests if page is not None else None

    @property
    def count(self) -> int:
        return len(requests) if (requests := self._current) is not None else 0

    @property
    def columns(self) -> tuple[Column[Iteration], ...]:
        """All columns of the table but the error's."""
        requests = self._current
        if requests is None:
            return NO_SCALES.columns
        having = (requests.open, requests.prompts_differ)
        if self._columns is None or self._columns[0] != having:
            self._columns = (having, request_columns(requests))
        return self._columns[1]

    @property
    def rows(self) -> RequestRows:
        """The rows of the table."""
        requests, listing = self._current, self.listing
        assert requests is not None
        column = listing.sort.column
        asked = (listing.typed, column)
        if self._rows is None or self._rows[0] != asked:
            test = request_filter(listing.typed, requests.slo)
            rows = RequestRows(requests, test, FIELDS.get(column, ""), of_failed=column in OF_FAILED)
            self._rows = (asked, rows)
        rows = self._rows[1]
        rows.descending = most_on_top(listing.sort, self.columns)
        rows.update()
        return rows

    @property
    def listing(self) -> Listing:
        return self.view.request_page.listing if self.view.request_page is not None else Listing()

    @listing.setter
    def listing(self, listing: Listing) -> None:
        if self.view.request_page is not None:
            self.view.request_page.listing = listing

    @property
    def present(self) -> bool:
        return self._current is not None

    @property
    def follows_top(self) -> bool:
        return True

    def forget(self) -> None:
        self._page = None

    @property
    def about(self) -> object:
        return (id(self._page), self.at)

    @property
    def chosen(self) -> Iteration | None:
        """The request under the cursor, with its text and arrivals once they have been read."""
        requests = self._current
        at = self.at if requests is not None else -1
        if requests is None or at < 0:
            return None
        return requests.whole(at) or self._read.get(at) or self.read(at)

    @property
    def elsewhere(self) -> str:
        requests, at = self._current, self.at
        if requests is None or at < 0 or requests.whole(at) is not None:
            return ""
        problem = requests.unread(at)
        return f"its answer cannot be read: {sanitize(problem, 300)}" if problem else "its answer is being read"

    def title(self, chosen: Iteration, width: int) -> str:
        return timeline_title(chosen, width, request_name(chosen))

    def facts(self, chosen: Iteration) -> str:
        requests = self._current
        return "; ".join(request_facts(chosen, requests.slo if requests is not None else None))

    @property
    def syntax(self) -> tuple[str, str]:
        return REQUEST_SYNTAX, SHORT_REQUEST_SYNTAX

    def read(self, at: int) -> Iteration:
        assert self._page is not None
        request: Iteration = self._page.requests[at]
        return request

    def scales(self) -> Scales:
        return scales_of(self._read.values(), None, self.columns)

    def nothing(self) -> str:
        requests = self._current
        assert requests is not None
        if requests.problem:
            return f"the requests cannot be read: {sanitize(requests.problem, 300)}"
        if not requests.complete or (self.count and self.rows.behind):
            return "reading the requests"
        return "no request matches the filter" if self.count else "the history has no request of this turn"

    def where(self) -> str:
        count = len(self.rows) if self.present else 0
        return f"row {self.row + 1} of {count}" if count else ""

    # --- Jumps ---

    def jump_to_failed(self) -> bool:
        requests = self._current
        return requests is not None and self._jump(requests.failed)

    def jump_to_outlier(self) -> bool:
        return False

    def jump_to_slowest(self) -> bool:
        if (requests := self._current) is None:
            return False
        rows = self.rows
        if (at := requests.slowest(map(rows.at, range(len(rows))))) is None:
            return False
        self.action_choose_row(rows.near(at))
        return True
