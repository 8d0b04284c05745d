"""The details of one backend: iterations, the answer and timeline of the selected one, and the server's log."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Click
from textual.geometry import Size
from textual.message import Message
from textual.widgets import Input, Label

from llmtui.runview.launches import launch_words, load_words
from llmtui.runview.loads import level_titles
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.text.model_names import without_folder
from llmtui.ui.layout import details_layout_for
from llmtui.ui.listing import Listing
from llmtui.ui.screens.overlay import Overlay
from llmtui.ui.text.format import cores, memory, name_text, shape
from llmtui.ui.text.spans import Line, Span, justify, width_of, wrap
from llmtui.ui.view_state import ViewState
from llmtui.ui.views import details as details_view
from llmtui.ui.views import timeline
from llmtui.ui.views.attempts import attempt_sentence, shown_attempt
from llmtui.ui.views.backend_state import progress_of, sign_and_word
from llmtui.ui.views.iteration_filter import SHORT_SYNTAX, SYNTAX
from llmtui.ui.views.turn_facts import turn_lines
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header, Ranking
from llmtui.ui.widgets.iterations import Iterations
from llmtui.ui.widgets.painted import Lines
from llmtui.ui.widgets.scrolling import ScrollingLines
from llmtui.ui.widgets.search import SearchLine

#: The shortest time between two requests for the server's log.
LOG_EVERY_S = 2.0
#: Up to this many iterations are filtered with each character that is typed.
FILTER_WHILE_TYPED = 20_000
_NEVER = ("", -1, float("-inf"))


class Facts(Lines):
    """The backend's state, figures and server, in three or four lines."""

    def content(self, width: int, height: int) -> list[Line]:
        view = self.view
        backend_view = view.backend_view
        if backend_view is None:
            return []
        index = view.names.index(view.selected)
        look = view.panel_options(index, focused=True)
        left: list[Span] = [
            (f" {index + 1} ", "dim"),
            (f"{shape(index)} ", look.role),
            (name_text(backend_view.backend.name), "title"),
            (f"  {sanitize(backend_view.backend.language, 20)}", "dim"),
            ("  ", ""),
            sign_and_word(backend_view, look),
        ]
        if look.hidden:
            left.append(("  hidden", "warn"))
        if (progress := progress_of(backend_view, look)) is not None:
            left.append((f"  {plural(progress.tokens, 'token')}, {progress.elapsed_s:.1f} s", "accent"))
        right: list[Span] = [(f"{backend_view.finished}/{backend_view.state.planned} ", "strong")]
        words = f"  {backend_view.backend.start_words}"
        if width_of(left) + width_of(right) + len(words) < width:
            left.insert(4, (words, "dim"))
        shown = shown_attempt(backend_view)
        spread = shown.summary.spread(view.metric)
        facts: list[str] = []
        if comparison := attempt_sentence(backend_view, view.metric):
            facts.append(comparison)
        if spread is not None:
            of = f"attempt {shown.attempt}, " if shown.earlier else ""
            facts.append(of + details_view.figures_of(backend_view, shown, view.metric))
        facts += details_view.arrival_facts(backend_view)
        if shown.summary.disturbed:
            facts.append(f"{shown.summary.disturbed} busy (~)")
        server = [
            sanitize(without_folder(backend_view.model), 80),
            sanitize(backend_view.weights, 20),
            sanitize(backend_view.state.version, 60),
            launch_words(backend_view.state, look.launches),
            *load_words(backend_view.state)[:1],
            memory(backend_view.rss_bytes),
            cores(backend_view.cpu_cores),
            plural(backend_view.state.threads, "thread") if backend_view.state.threads else "",
            backend_view.slots_words,
            sanitize(backend_view.state.url or backend_view.backend.url, 80),
            sanitize(backend_view.state.note, 120),
            sanitize(backend_view.backend.program, 200),
        ]
        lines = wrap(";  ".join(facts), width - 1, max(1, height - 2)) or [""]
        return [
            justify(left, right, width),
            *(((" " + text, ""),) for text in lines),
            ((_as_fit(server, width), "dim"),),
        ]


def _as_fit(facts: list[str], width: int) -> str:
    """Join as many of the facts as fit, each of them whole."""
    text = " "
    for fact in facts:
        joined = f"{text},  {fact}" if text.strip() else text + fact
        text = joined if fact and cell_len(joined) <= width else text
    return text


class Timeline(Lines):
    """When each token of the selected iteration arrived."""

    def __init__(self, view: ViewState, table: Iterations, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._table = table

    def content(self, width: int, height: int) -> list[Line]:
        view, table = self.view, self._table
        chosen = table.chosen
        if chosen is None:
            return [details_view.rule("arrivals", "", width)]
        levels = level_titles(view.run_view.plan)
        title = details_view.rule(details_view.timeline_title(chosen, width, levels), table.where(), width)
        if (turn := table.chosen_turn) is not None:
            return [title, *turn_lines(turn, width, height - 1)]
        if chosen.error is not None and not chosen.arrivals_ns:
            return [title, (("failed: no arrivals to draw", "dim"),)]
        if not table.whole:
            words = (
                f"arrivals are shown for the newest iterations; for all: llmtui export {sanitize(chosen.run)} --json -"
            )
            return [title, *(((text, "dim"),) for text in wrap(words, width, 3))]
        role = view.panel_options(view.names.index(view.selected), focused=True).role
        lines = timeline.drawn(chosen, width - 2, height - 1, view.options.marker, role)
        return [title, *(((" ", ""), *line) for line in lines)]

    def on_click(self, event: Click) -> None:
        if event.y == 0:
            self._table.action_follow()


class FilterNote(Lines):
    """What can be typed as a filter, then how many iterations it leaves."""

    def __init__(self, view: ViewState, table: Iterations, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._table = table

    def content(self, width: int, height: int) -> list[Line]:
        if not self.view.listing.typed.strip():
            return [((SYNTAX if width > len(SYNTAX) else SHORT_SYNTAX, "dim"),)]
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

    def __init__(self, view: ViewState, table: Iterations, *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._table = table
        self.clocks = False
        self._about: tuple[int, int] | None = None
        self._made: tuple[object, list[Line]] = (None, [])

    def content(self, width: int, height: int) -> list[Line]:
        backend_view, table = self.view.backend_view, self._table
        chosen = table.chosen
        if backend_view is None:
            return []
        about = (id(backend_view), table.at)
        if about != self._about:
            self._about, self._top = about, 0
        key = (about, chosen, table.whole, backend_view.state.failure, self.clocks, width)
        if self._made[0] != key:
            lines = details_view.answer_lines(backend_view, chosen, table.whole, width - 2)
            if self.clocks and chosen is not None and (clocks := details_view.clock_lines(chosen, width - 2)):
                lines = [*lines, (), *clocks]
            self._made = (key, lines)
        return self.windowed(
            lambda room: details_view.answer_title(backend_view, chosen, room), self._made[1], width, height
        )


class Clocks(Lines):
    """The server's own times beside the measured ones."""

    def __init__(self, view: ViewState, table: Iterations, *, id: str) -> None:  # noqa: A002
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


class DetailsScreen(Overlay):
    """The details of the backend that is selected in the view."""

    AUTO_FOCUS = "Iterations"

    class LogWanted(Message):
        """Asks for the last lines of this backend's server."""

        def __init__(self, backend: str) -> None:
            super().__init__()
            self.backend = backend

    def __init__(self, view: ViewState, keys: Mapping[str, str]) -> None:
        super().__init__(view, keys)
        self._log = self._banner = self._filtering = False
        self._asked: tuple[str, int, float] = _NEVER

    def compose(self) -> ComposeResult:
        table = Iterations(self.view, id="iterations")
        yield Header(self.view, id="header")
        yield Facts(self.view, id="facts")
        with Horizontal(id="filter"):
            yield Label(" / ")
            yield SearchLine(id="filter-line")
            yield FilterNote(self.view, table, id="filter-note")
        yield table
        yield Timeline(self.view, table, id="timeline")
        with Horizontal(id="texts"):
            yield Answer(self.view, table, id="answer")
            yield Clocks(self.view, table, id="clocks")
        yield ServerLog(self.view, id="server-log")
        yield Ranking(self.view, id="ranking")
        yield Footer(self.view, self._keys, id="footer")

    def place(self, size: Size) -> None:
        self._banner = self.view.banner is not None
        parts = details_layout_for(size.width, size.height, self._banner, self._log)
        rows = {
            "header": parts.header,
            "facts": parts.facts,
            "filter": int(self._filtering),
            "iterations": parts.table - self._filtering,
            "timeline": parts.timeline,
            "texts": parts.texts,
            "server-log": parts.log,
            "ranking": parts.ranking,
            "footer": parts.footer,
        }
        for name, height in rows.items():
            part = self.query_one(f"#{name}")
            part.display = height > 0
            part.styles.height = max(1, height)
        clocks = self.query_one(Clocks)
        clocks.display = parts.side > 0
        clocks.styles.width = parts.side
        self.query_one(Answer).clocks = not parts.side

    def toggle_log(self) -> None:
        """Show the server's last lines instead of the answer, or the answer again."""
        self._log = not self._log
        self.place(self.size)
        log = self.query_one(ServerLog)
        self.set_focus(log if self._log and log.display else self.table)
        self.follow()

    def on_iterations_moved(self) -> None:
        self.follow()

    @property
    def table(self) -> Iterations:
        """The list of iterations."""
        return self.query_one(Iterations)

    # --- The filter ---

    def ask_filter(self) -> None:
        """Let the user type a filter."""
        if not self._filtering:
            self._filtering = True
            self.place(self.size)
        self.set_focus(self.query_one(SearchLine))
        self.follow()

    def clear_filter(self) -> bool:
        """List all iterations again. Return whether there was a filter, or one was about to be typed."""
        if not self._filtering:
            return False
        self._filtering = False
        self.query_one(SearchLine).value = ""
        self._list_typed("")
        self.place(self.size)
        self.set_focus(self.table)
        return True

    def on_input_changed(self, event: Input.Changed) -> None:
        # Many iterations take long to read: they are read when the filter is complete.
        if self._filtering and self.table.count <= FILTER_WHILE_TYPED:
            self._list_typed(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if not event.value.strip():
            self.clear_filter()
            return
        self._list_typed(event.value)
        self.set_focus(self.table)

    def _list_typed(self, typed: str) -> None:
        if typed != self.view.listing.typed:
            self.table.list_as(Listing(typed, self.view.listing.sort))

    def forget(self) -> None:
        super().forget()
        self._log, self._asked, self._filtering = False, _NEVER, False
        self.view.listing = Listing()
        self.query_one(SearchLine).value = ""

    def follow(self) -> None:
        if (self.view.banner is not None) != self._banner:
            self.place(self.size)
        self._ask()
        for widget in self.query(Lines):
            widget.redraw()

    def _ask(self) -> None:
        """Ask for the server's log if it is visible and iterations have finished since."""
        backend_view = self.view.backend_view
        if backend_view is None or not backend_view.backend.launched or not self.query_one(ServerLog).display:
            return
        name, count, when = self._asked
        now = self.view.now()
        other = name != self.view.selected
        if other or (len(backend_view.listed) != count and now - when >= LOG_EVERY_S):
            self._asked = (self.view.selected, len(backend_view.listed), now)
            self.post_message(self.LogWanted(self.view.selected))
