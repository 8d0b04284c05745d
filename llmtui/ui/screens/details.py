"""One backend maximised: every iteration of every attempt, the last answer, the failure and the server's log."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Static

from llmtui.engine.board import Lane
from llmtui.model import Iteration
from llmtui.plain import plain, plain_lines
from llmtui.ui import board_view, panel_view
from llmtui.ui.attempts import attempt_sentence, standing
from llmtui.ui.lines import Line, Span, ascii_text, fit, spread_out, wrap
from llmtui.ui.view import View
from llmtui.ui.widgets.footer import Footer
from llmtui.ui.widgets.header import Header, Verdict
from llmtui.ui.widgets.lines import Lines
from llmtui.ui.words import (
    DASH,
    around,
    cores,
    memory,
    number,
    plural,
    shape,
    value_text,
)

#: Title, width, and from which terminal width on a column is shown; fixed, so that a new row never moves the others.
_COLUMNS = (
    ("attempt", 7, 0),
    ("#", 4, 0),
    ("phase", 8, 0),
    ("latency s", 9, 0),
    ("TTFT s", 7, 0),
    ("ITL ms", 7, 100),
    ("tok/s", 6, 0),
    ("tokens", 6, 0),
    ("prompt", 6, 110),
    ("prefill s", 9, 120),
    ("decode s", 8, 120),
    ("foreign", 7, 90),
    ("error", 8, 0),
)
_LEFT = ("phase", "error")


def iteration_cells(iteration: Iteration) -> dict[str, str]:
    """One iteration as the table's cells, in plain text, by column."""
    foreign = DASH if iteration.foreign_cpu is None else f"{iteration.foreign_cpu:.2f}"
    return {
        "attempt": str(iteration.attempt),
        "#": str(iteration.iteration),
        "phase": "warm-up" if iteration.phase == "warmup" else "measured",
        "latency s": number(iteration.latency_s, room=9),
        "TTFT s": number(iteration.ttft_s, room=7),
        "ITL ms": value_text("itl", iteration.itl_s, 7),
        "tok/s": number(iteration.tokens_per_s, 1),
        "tokens": number(iteration.output_tokens, 0),
        "prompt": number(iteration.prompt_tokens, 0),
        "prefill s": number(iteration.server_prefill_s, room=9),
        "decode s": number(iteration.server_decode_s, room=8),
        "foreign": foreign + ("~" if iteration.disturbed else ""),
        "error": iteration.error.kind if iteration.error else "",
    }


class Facts(Lines):
    """What is known of the backend, in three or four lines."""

    def content(self, width: int, height: int) -> list[Line]:
        view = self.view
        lane = view.lane
        if lane is None:
            return []
        index = view.names.index(view.selected)
        look = view.look(index, focused=True)
        left: list[Span] = [
            (f" {index + 1} ", "dim"),
            (f"{shape(index)} ", look.role),
            (plain(lane.backend.name, 60), "title"),
            (f"  {plain(lane.backend.language, 20)}", "dim"),
            ("  ", ""),
            panel_view.sign_and_word(lane, look),
        ]
        if look.hidden:
            left.append(("  hidden", "warn"))
        if (progress := panel_view.progress_of(lane, look)) is not None:
            left.append((f"  {progress.tokens} tokens, {progress.elapsed_s:.1f} s", "accent"))
        right: list[Span] = [(f"{len(lane.measured)}/{lane.state.planned} ", "strong")]
        kept = standing(lane)
        spread = kept.summary.spread(view.metric)
        facts: list[str] = []
        if compared := attempt_sentence(lane, view.metric):
            facts.append(compared)
        if spread is not None:
            median, low, high = (value_text(view.metric, v, 8) for v in (spread.median, spread.min, spread.max))
            spare = around(view.metric, spread.stddev, 8, view.ascii_only)
            of = f"attempt {kept.attempt}, " if kept.earlier else ""
            facts.append(
                f"{of}{board_view.metric_words(view.metric)}: median {median} {spare}".rstrip() + f", {low} to {high}"
            )
        if kept.summary.disturbed:
            facts.append(f"{kept.summary.disturbed} disturbed by other work")
        server = [
            plain(lane.model, 80),
            plain(lane.weights, 20),
            plain(lane.state.version, 60),
            plural(lane.state.threads, "thread") if lane.state.threads else "",
            f"load {lane.state.load_s:.1f} s" if lane.state.load_s is not None else "",
            memory(lane.rss_bytes),
            cores(lane.cpu_cores),
            plain(lane.state.url or lane.backend.url, 80),
            plain(lane.state.note, 120),
        ]
        told = wrap(";  ".join(facts), width - 1, max(1, height - 2)) or [""]
        return [
            spread_out(left, right, width),
            *(((" " + text, ""),) for text in told),
            fit([(" " + ",  ".join(s for s in server if s), "dim")], width),
        ]


class DetailsScreen(Screen[None]):
    """Follows the backend that is selected in the view."""

    def __init__(self, view: View, keys: Mapping[str, str]) -> None:
        super().__init__()
        self.view = view
        self._keys = keys
        self._backend = ""
        self._listed = 0
        self._text = ""

    def compose(self) -> ComposeResult:
        yield Header(self.view, id="header")
        yield Facts(self.view, id="facts")
        yield DataTable(cursor_type="row", zebra_stripes=False)
        with VerticalScroll(id="texts"):
            yield Static(id="text", markup=False)
        yield Verdict(self.view, id="verdict")
        yield Footer(self.view, self._keys, id="footer")

    def on_mount(self) -> None:
        small = self.app.size.height < 20
        self.query_one(Header).styles.height = 1 if small else 2
        self.query_one(Facts).styles.height = 3 if small or self.app.size.width >= 120 else 4
        self.query_one(Verdict).display = not small
        table = self.query_one(DataTable)
        for title, width, wanted in _COLUMNS:
            if self.app.size.width >= wanted:
                heading = Text(title, justify="left" if title in _LEFT else "right")
                table.add_column(heading, width=width, key=title)
        table.focus()
        self.follow()

    def on_data_table_row_highlighted(self) -> None:
        self._show_text()

    def follow(self) -> None:
        """Bring the screen up to date: rows are only ever appended, unless another backend was selected."""
        lane = self.view.lane
        table = self.query_one(DataTable)
        if lane is None:
            return
        if self.view.selected != self._backend or len(lane.iterations) < self._listed:
            table.clear()
            self._backend, self._listed = self.view.selected, 0
        at_end = table.cursor_row >= table.row_count - 1
        titles = [str(key.value) for key in table.columns]
        for iteration in lane.iterations[self._listed :]:
            cells = iteration_cells(iteration)
            table.add_row(*(Text(cells[t], no_wrap=True, justify="left" if t in _LEFT else "right") for t in titles))
        if len(lane.iterations) != self._listed:
            self._listed = len(lane.iterations)
            if at_end:
                # Who looks at the newest iteration goes on looking at the newest.
                table.move_cursor(row=table.row_count - 1)
        self._show_text()
        for widget in self.query(Lines):
            widget.redraw()

    def _show_text(self) -> None:
        lane = self.view.lane
        if lane is None:
            return
        row = self.query_one(DataTable).cursor_row
        text = texts(lane, lane.iterations[row] if 0 <= row < len(lane.iterations) else None)
        if self.view.ascii_only:
            text = Text(ascii_text(text.plain))
        if text.plain != self._text:
            self._text = text.plain
            self.query_one("#text", Static).update(text)


def clocks(iteration: Iteration) -> str:
    """The server's clock against ours, in s: what it accounts for, and the rest; "" where it is silent."""
    rest = iteration.transport_and_client_s
    if rest is None:
        return ""
    told = {"load": iteration.server_load_s, "prefill": iteration.server_prefill_s, "decode": iteration.server_decode_s}
    server = " + ".join(f"{name} {value:.3f}" for name, value in told.items() if value is not None)
    return f"latency {iteration.latency_s:.3f} s = server's own {server} + transport and client {rest:.3f}"


def texts(lane: Lane, chosen: Iteration | None) -> Text:
    """The failure, the chosen iteration's error or answer, and the server's log, in plain text under headings."""
    text = Text()

    def part(title: str, lines: list[str]) -> None:
        kept = [line for line in lines if line]
        if kept:
            text.append(f"{title}\n", "bold")
            text.append("\n".join(kept) + "\n\n")

    if lane.state.failure is not None:
        part("what went wrong", [plain(lane.state.failure.message), plain(lane.state.failure.hint)])
    if chosen is not None:
        which = f"attempt {chosen.attempt}, {'warm-up' if chosen.phase == 'warmup' else 'iteration'} {chosen.iteration}"
        if chosen.error is not None:
            part(f"{which} failed", [plain(chosen.error.message), plain(chosen.error.hint)])
        part(f"answer of {which}", plain_lines(chosen.text))
        part(f"the two clocks of {which}", [clocks(chosen)])
    part("the server's last lines", [plain(line) for line in lane.state.log_tail])
    if not text.plain:
        text.append("no answer yet", "dim")
    text.rstrip()
    return text
