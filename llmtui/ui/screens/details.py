"""The details of one backend: iterations, the answer and timeline of the selected one, and the server's log."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.geometry import Size
from textual.message import Message

from llmtui.runview.launches import launch_words, load_words
from llmtui.runview.loads import level_titles
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.text.model_names import without_folder
from llmtui.ui.layout import details_layout_for
from llmtui.ui.screens.detail_parts import Answer, Clocks, ServerLog, Timeline
from llmtui.ui.screens.listing import ListingScreen
from llmtui.ui.text.format import cores, memory, name_text, shape
from llmtui.ui.text.spans import Line, Span, justify, width_of, wrap
from llmtui.ui.view_state import ViewState
from llmtui.ui.views import details as details_view
from llmtui.ui.views.attempts import attempt_sentence, shown_attempt
from llmtui.ui.views.backend_state import progress_of, sign_and_word
from llmtui.ui.views.power import summary_facts
from llmtui.ui.views.turn_facts import under_way
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header, Ranking
from llmtui.ui.widgets.iterations import Iterations
from llmtui.ui.widgets.painted import Lines

#: The shortest time between two requests for the server's log.
LOG_EVERY_S = 2.0
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
        if (tick := backend_view.tick) is not None:
            left.append((f"  {under_way(tick, level_titles(view.run_view.plan))}", "accent"))
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
        facts += summary_facts(shown.summary)
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


class DetailsScreen(ListingScreen):
    """The details of the backend that is selected in the view."""

    AUTO_FOCUS = "Iterations"

    class LogWanted(Message):
        """Asks for the last lines of this backend's server."""

        def __init__(self, backend: str) -> None:
            super().__init__()
            self.backend = backend

    def __init__(self, view: ViewState, keys: Mapping[str, str]) -> None:
        super().__init__(view, keys)
        self._log = self._banner = False
        #: The level that was shown when the page was drawn last, None if it was not drawn since it opened.
        self._level: int | None = None
        self._asked: tuple[str, int, float] = _NEVER

    def compose(self) -> ComposeResult:
        table = Iterations(self.view, id="iterations")
        yield Header(self.view, id="header")
        yield Facts(self.view, id="facts")
        yield from self.filter_line(table)
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
            "filter": int(self.filtering),
            "iterations": parts.table - self.filtering,
            "timeline": parts.timeline,
            "texts": parts.texts,
            "server-log": parts.log,
            "ranking": parts.ranking,
            "footer": parts.footer,
        }
        self.place_rows(rows)
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

    def forget(self) -> None:
        super().forget()
        self._log, self._asked, self._level = False, _NEVER, None

    def follow(self) -> None:
        if (self.view.banner is not None) != self._banner:
            self.place(self.size)
        self._ask()
        self._narrow()
        super().follow()

    def _narrow(self) -> None:
        """List only the turns of a level once its key was pressed here."""
        level, before, self._level = self.view.level, self._level, self.view.level_shown
        if level is not None and before not in (None, self._level):
            following = self.view.run_view.plan.load.search and not self._level
            self.filter_by("" if following else f"at:{level.title.split()[0]}")

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
