"""The parts of the pages that list iterations or requests: timeline, answer, clocks, server log, filter."""

from __future__ import annotations

from collections.abc import Callable

from textual.events import Click

from llmtui.model import Turn
from llmtui.runview.probes import calmest
from llmtui.ui.text.spans import Line, wrap
from llmtui.ui.view_state import ViewState
from llmtui.ui.views import details as details_view
from llmtui.ui.views import timeline
from llmtui.ui.views.beside import level_lines
from llmtui.ui.views.turn_facts import turn_lines
from llmtui.ui.widgets.listed import Listed
from llmtui.ui.widgets.painted import Lines
from llmtui.ui.widgets.scrolling import ScrollingLines


class Timeline(Lines):
    """When each token of the selected iteration arrived."""

    def __init__(self, view: ViewState, table: Listed, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._table = table

    def content(self, width: int, height: int) -> list[Line]:
        view, table = self.view, self._table
        chosen = table.chosen
        if chosen is None:
            return [details_view.rule("arrivals", "", width)]
        title = details_view.rule(table.title(chosen, width), table.where(), width)
        if (turn := table.chosen_turn) is not None:
            below = self._at_level(turn, width)
            return [title, *turn_lines(turn, width, height - 1, view.run_view.plan.slo, below)]
        if chosen.error is not None and not chosen.arrivals_ns:
            return [title, (("failed: no arrivals to draw", "dim"),)]
        if words := table.arrivals_elsewhere:
            return [title, *(((text, "dim"),) for text in wrap(words, width, 3))]
        if not chosen.arrivals_ns and chosen.turn:
            return [title, (("no arrivals: nothing of an answer came", "dim"),)]
        role = view.panel_options(view.names.index(view.selected), focused=True).role
        lines = timeline.drawn(chosen, width - 2, height - 1, view.options.marker, role)
        return [title, *(((" ", ""), *line) for line in lines)]

    def _at_level(self, turn: Turn, width: int) -> list[Line]:
        """The probe and the questions of conversations in all turns at the level of a turn."""
        backend_view, levels = self.view.backend_view, self.view.run_view.levels_shown
        level = next((level for level in levels if level.number == turn.level), None)
        if backend_view is None or level is None:
            return []
        figures = backend_view.at_level(turn.level, turn.attempt)
        return level_lines(figures, level, calmest(backend_view, levels, turn.attempt), width)

    def on_click(self, event: Click) -> None:
        if event.y == 0:
            self._table.action_follow()


class FilterNote(Lines):
    """What can be typed as a filter, then how many iterations it leaves."""

    def __init__(self, view: ViewState, table: Listed, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._table = table

    def content(self, width: int, height: int) -> list[Line]:
        if not self._table.listing.typed.strip():
            long, short = self._table.syntax
            return [((long if width > len(long) else short, "dim"),)]
        return [((f" {len(self._table.rows)} of {self._table.count}", "warn"), (", esc clears", "dim"))]


class Scrolled(ScrollingLines):
    """A title and lines below it that scroll."""

    title_rows = 1

    def __init__(self, view: ViewState, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._top = 0

    def windowed(self, title: Callable[[int], str], lines: list[Line], width: int, height: int) -> list[Line]:
        """Return the title and the visible part of `lines`. `title` gets the width it may take, in cells."""
        room = max(1, height - 1)
        self._top = max(0, min(self._top, len(lines) - room))
        shown = lines[self._top : self._top + room]
        seen = f"{self._top + 1}-{self._top + len(shown)} of {len(lines)}" if len(shown) < len(lines) else ""
        rule = details_view.rule(title(width - len(seen) - 8), seen, width, self.has_focus)
        return [rule, *(((" ", ""), *line) for line in shown)]

    def forget(self) -> None:
        """Go back to the top."""
        self._top = 0

    def move_by(self, rows: int) -> None:
        self._top = max(0, self._top + rows)


class Answer(Scrolled):
    """The answer of the selected iteration, or why it failed; then the clocks if they have no widget of their own."""

    def __init__(self, view: ViewState, table: Listed, *, id: str, of_backend: bool = True) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._table = table
        self.clocks = False
        #: Whether a failure of the backend is shown too.
        self._of_backend = of_backend
        self._about: object = None
        self._made: tuple[object, list[Line]] = (None, [])

    def content(self, width: int, height: int) -> list[Line]:
        backend_view, table = self.view.backend_view, self._table
        chosen = table.chosen
        if backend_view is None:
            return []
        about = table.about
        if about != self._about:
            self._about, self._top = about, 0
        failure = backend_view.state.failure if self._of_backend else None
        key = (about, chosen, table.elsewhere, failure, self.clocks, width)
        if self._made[0] != key:
            nothing = "nothing finished yet" if backend_view.level else "no iteration yet"
            lines = details_view.answer_lines(failure, chosen, table.elsewhere, width - 2, nothing)
            if chosen is not None and (facts := table.facts(chosen)):
                of_request: list[Line] = [((text, "dim"),) for text in wrap(facts, width - 2, 4)]
                lines = [*of_request, *lines]
            if self.clocks and chosen is not None and (clocks := details_view.clock_lines(chosen, width - 2)):
                lines = [*lines, (), *clocks]
            self._made = (key, lines)
        return self.windowed(
            lambda room: details_view.answer_title(failure, chosen, room), self._made[1], width, height
        )


class Clocks(Lines):
    """The server's own times beside the measured ones."""

    def __init__(self, view: ViewState, table: Listed, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._table = table

    def content(self, width: int, height: int) -> list[Line]:
        chosen = self._table.chosen
        lines = details_view.clock_lines(chosen, width - 2) if chosen is not None else []
        return [details_view.rule("clocks", "", width), *(((" ", ""), *line) for line in lines)]


class ServerLog(Scrolled):
    """The last lines of the server's log, the newest at the bottom."""

    def __init__(self, view: ViewState, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._follows = True

    def content(self, width: int, height: int) -> list[Line]:
        backend_view = self.view.backend_view
        if backend_view is None:
            return []
        lines = details_view.log_lines(backend_view, width - 2, self.view.past is not None)
        if self._follows:
            self._top = len(lines)
        shown = self.windowed(lambda _: "the server's last lines", lines, width, height)
        self._follows = self._top >= len(lines) - max(1, height - 1)
        return shown

    def forget(self) -> None:
        self._follows = True

    def move_by(self, rows: int) -> None:
        self._follows = False
        super().move_by(rows)
