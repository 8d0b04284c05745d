"""The requests of one turn: all of them as a table, and the answer and token timeline of the selected one."""

from __future__ import annotations

from collections.abc import Mapping

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.geometry import Size
from textual.message import Message

from llmtui.model import Requests
from llmtui.runview.loads import level_titles
from llmtui.text.format import plural
from llmtui.ui.layout import details_layout_for
from llmtui.ui.screens.detail_parts import Answer, Clocks, Timeline
from llmtui.ui.screens.listing import ListingScreen
from llmtui.ui.text.format import name_text, shape
from llmtui.ui.text.spans import Line, Span, justify
from llmtui.ui.view_state import ViewState
from llmtui.ui.views.iteration_table import iteration_name
from llmtui.ui.views.turn_facts import turn_lines
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header, Ranking
from llmtui.ui.widgets.painted import Lines
from llmtui.ui.widgets.requests import RequestTable

#: The cursor rests this long on a request before its answer is fetched: to read it takes some time of the engine.
REST_S = 0.1
#: The pause between two pieces of a filter's work, for keys that were pressed meanwhile.
_PIECE_S = 0.01


class TurnFacts(Lines):
    """The turn, how many of its requests have arrived, and its figures."""

    def content(self, width: int, height: int) -> list[Line]:
        view = self.view
        page, backend_view = view.request_page, view.backend_view
        if page is None or backend_view is None:
            return []
        turn, requests = page.requests.turn, page.requests
        index = view.names.index(view.selected)
        left: list[Span] = [
            (f" {index + 1} ", "dim"),
            (f"{shape(index)} ", view.panel_options(index, focused=True).role),
            (name_text(backend_view.backend.name), "title"),
            (f"  {iteration_name(turn, level_titles(view.run_view.plan))}", ""),
        ]
        right: list[Span] = [(f"{plural(len(requests), 'request')} ", "strong")]
        if not requests.complete:
            of = f" of {requests.total}" if requests.total else ""
            right = [(f"loading {len(requests)}{of} requests ", "accent")]
        return [justify(left, right, width), *turn_lines(turn, width, height - 1, requests.slo)]


class RequestsScreen(ListingScreen):
    """The requests of the turn that `view.request_page` has."""

    AUTO_FOCUS = "RequestTable"

    class Wanted(Message):
        """Asks for a request with its answer."""

        def __init__(self, command: Requests) -> None:
            super().__init__()
            self.command = command

    def __init__(self, view: ViewState, keys: Mapping[str, str]) -> None:
        super().__init__(view, keys)
        #: What the cursor rests on, and whether it was asked for.
        self._resting: object = None

    def compose(self) -> ComposeResult:
        table = RequestTable(self.view, id="requests")
        yield Header(self.view, id="header")
        yield TurnFacts(self.view, id="facts")
        yield from self.filter_line(table)
        yield table
        yield Timeline(self.view, table, id="timeline")
        with Horizontal(id="texts"):
            yield Answer(self.view, table, id="answer", of_backend=False)
            yield Clocks(self.view, table, id="clocks")
        yield Ranking(self.view, id="ranking")
        yield Footer(self.view, self._keys, id="footer")

    def place(self, size: Size) -> None:
        parts = details_layout_for(size.width, size.height, self.view.banner is not None)
        self.place_rows(
            {
                "header": parts.header,
                "facts": parts.facts,
                "filter": int(self.filtering),
                # This page does not show the log of the server.
                "requests": parts.table + parts.log - self.filtering,
                "timeline": parts.timeline,
                "texts": parts.texts,
                "ranking": parts.ranking,
                "footer": parts.footer,
            }
        )
        clocks = self.query_one(Clocks)
        clocks.display = parts.side > 0
        clocks.styles.width = parts.side
        self.query_one(Answer).clocks = not parts.side

    def follow(self) -> None:
        if (page := self.view.request_page) is None:
            return
        super().follow()
        table = self.query_one(RequestTable)
        if table.rows.behind:
            self.set_timer(_PIECE_S, self.follow)
        at = table.at
        resting = (id(page), at)
        if at >= 0 and resting != self._resting and table.elsewhere and not page.requests.unread(at):
            self._resting = resting
            self.set_timer(REST_S, lambda: self._ask(resting))

    def _ask(self, resting: object) -> None:
        """Ask for the request that the cursor rests on, if it still does."""
        page = self.view.request_page
        if page is not None and resting == self._resting:
            self.post_message(self.Wanted(page.requests.command_of(self.query_one(RequestTable).at)))

    def forget(self) -> None:
        super().forget()
        self._resting = None
