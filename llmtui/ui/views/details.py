"""One backend maximised, as lines: its iterations as a table, the two clocks, the answer, the server's log. Pure."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from rich.cells import cell_len

from llmtui.format import plural
from llmtui.model import Iteration
from llmtui.runview.run import BackendView
from llmtui.text import sanitize, sanitize_lines
from llmtui.ui.layout import (
    CLOCK_NOTES_WIDTH,
    CLOCKS_SIDE_WIDTH,
    CLOCKS_WIDE_SIDE_WIDTH,
    DETAILS_ALL_FACTS,
    DETAILS_FACTS,
    DETAILS_FOOTER,
    DETAILS_MORE_FACTS,
    TALL_HEADER,
    TIMELINE_TITLE_WIDTH,
    TIMELINE_WHOLE_TITLE_WIDTH,
    WIDE,
)
from llmtui.ui.text.format import DASH, number, value_text
from llmtui.ui.text.spans import Line, Role, Span, clip, fit, pad, width_of, wrap

# --- The table of iterations ---


class Column(NamedTuple):
    """A column of the table; of those that do not fit the one of the highest `rank` goes first."""

    title: str
    width: int
    rank: int
    left: bool = False


_COLUMNS = (
    Column("att", 3, 5),
    Column("#", 6, 0),
    Column("phase", 8, 7, left=True),
    Column("latency s", 9, 0),
    Column("TTFT s", 7, 1),
    Column("ITL ms", 7, 4),
    Column("tok/s", 6, 2),
    Column("tokens", 6, 3),
    Column("counted by", 10, 12, left=True),
    Column("server s", 8, 6),
    Column("rest s", 7, 9),
    Column("foreign", 7, 8),
    Column("refused", 7, 11),
    Column("finish", 8, 10, left=True),
)
_ERROR = Column("error", 5, 0, left=True)
#: With so much room the columns stand further apart.
_AIRY = 150


def columns_for(width: int) -> tuple[list[Column], int]:
    """The columns that fit, without the error's, which takes the rest; and the blanks between them."""
    gap = 2 if width >= _AIRY else 1
    kept = list(_COLUMNS)
    while len(kept) > 1 and 1 + sum(c.width + gap for c in kept) + _ERROR.width > width:
        kept.remove(max(kept, key=lambda c: c.rank))
    return kept, gap


def iteration_cells(iteration: Iteration) -> dict[str, str]:
    """One iteration as the table's cells, in plain text, by column."""
    foreign = DASH if iteration.foreign_cpu is None else f"{iteration.foreign_cpu:.2f}"
    return {
        "att": str(iteration.attempt),
        "#": str(iteration.iteration),
        "phase": "warm-up" if iteration.phase == "warmup" else "measured",
        "latency s": number(iteration.latency_s, room=9),
        "TTFT s": number(iteration.ttft_s, room=7),
        "ITL ms": value_text("itl", iteration.itl_s, 7),
        "tok/s": number(iteration.tokens_per_s, 1),
        "tokens": number(iteration.output_tokens, 0),
        "counted by": iteration.token_source or DASH,
        "server s": number(iteration.server_s, room=8),
        "rest s": number(iteration.transport_and_client_s, room=7),
        "refused": str(iteration.refused or DASH),
        "foreign": foreign + ("~" if iteration.disturbed else ""),
        "finish": sanitize(iteration.finish_reason or "", 40) or DASH,
        "error": _error_words(iteration),
    }


def _error_words(iteration: Iteration) -> str:
    error = iteration.error
    if error is None:
        return ""
    refused = f"refused {iteration.refused} x, then " if iteration.refused else ""
    return f"{refused}{error.kind}: {sanitize(error.message, 200)}"


def heading(width: int) -> Line:
    """The table's first line."""
    columns, gap = columns_for(width)
    cells = [pad(c.title, c.width, right=not c.left) for c in [*columns, _ERROR]]
    return fit([(" " + (" " * gap).join(cells), "dim")], width)


def iteration_line(iteration: Iteration, width: int, cursor: bool) -> Line:
    """One iteration as a line; the one under the cursor has a sign before it."""
    columns, gap = columns_for(width)
    cells = iteration_cells(iteration)
    if iteration.phase == "warmup" and not any(c.title == "phase" for c in columns):
        cells["#"] = f"w{cells['#']}"
    role: Role = "strong" if cursor else "dim" if iteration.phase == "warmup" else ""
    line: list[Span] = [(">" if cursor else " ", "focus")]
    for column in columns:
        if iteration.error is not None and column.title not in ("att", "#", "phase"):
            # It has no numbers: its words take their place.
            break
        text = pad(cells[column.title], column.width, right=not column.left) + " " * gap
        doubted = column.title == "foreign" and iteration.disturbed
        line.append((text, "warn" if doubted else role))
    return fit([*line, (cells["error"], "bad")], width)


def which(iteration: Iteration) -> str:
    """What an iteration is called."""
    word = "warm-up" if iteration.phase == "warmup" else "iteration"
    return f"attempt {iteration.attempt}, {word} {iteration.iteration}"


# --- Parts of the screen ---


@dataclasses.dataclass(frozen=True)
class Parts:
    """How many rows each part has; 0 is not shown. `side`: the clocks have a column of their own beside the answer."""

    header: int
    facts: int
    table: int
    timeline: int
    texts: int
    log: int
    verdict: int
    footer: int
    side: int


def _fact_rows(width: int, height: int) -> int:
    if height < DETAILS_FACTS:
        return 0
    if height < DETAILS_MORE_FACTS:
        return 1
    if height < TALL_HEADER:
        return 2
    return 4 if height >= DETAILS_ALL_FACTS and width < WIDE else 3


def parts_for(width: int, height: int, banner: bool = False, log: bool = False) -> Parts:
    """The parts at a terminal's size: with a `banner` to be read, and with the server's `log` in the answer's place."""
    header = 2 if height >= TALL_HEADER else 1
    footer = 1 if height >= DETAILS_FOOTER else 0
    verdict = 1 if height >= DETAILS_ALL_FACTS or (banner and height >= DETAILS_FACTS) else 0
    facts = _fact_rows(width, height)
    rest = height - header - footer - verdict - facts
    timeline = 0 if rest < 7 else 4 if rest < 12 else 5 if rest < 22 else 6 if rest < 28 else min(12, 4 + rest // 5)
    tail = 0 if rest < 28 else 6 if rest < 34 else 9
    left = rest - timeline - tail
    texts = 0 if left < 5 else round(left * 0.45)
    table = left - texts
    if log and (texts or tail):
        texts, tail = 0, texts + tail
    return Parts(
        header,
        facts,
        table,
        timeline,
        texts,
        tail,
        verdict,
        footer,
        side=62 if width >= CLOCKS_WIDE_SIDE_WIDTH else 38 if width >= CLOCKS_SIDE_WIDTH else 0,
    )


def titled(iteration: Iteration, width: int) -> str:
    """The timeline's title, as long as there is room."""
    name = which(iteration)
    if width < TIMELINE_TITLE_WIDTH:
        return name
    return f"{name}: arrivals" + (" since it was written" if width >= TIMELINE_WHOLE_TITLE_WIDTH else "")


def rule(title: str, right: str, width: int, focused: bool = False) -> Line:
    """A line that begins a part: its name, and at the other end what there is to know of it."""
    stroke = "━" if focused else "─"
    role: Role = "focus" if focused else "rule"
    title = clip(title, width - 4)
    end: list[Span] = [(f" {right} ", "dim"), (stroke, role)]
    if not right or len(right) + cell_len(title) + 6 > width:
        end = []
    line: list[Span] = [(stroke, role), (f" {title} ", "title")]
    return (*line, (stroke * max(0, width - width_of(line) - width_of(end)), role), *end)


# --- The two clocks ---

SILENT = "this server tells nothing of itself"


def clock_lines(iteration: Iteration, width: int) -> list[Line]:
    """What the server says of its time beside ours, phase by phase, in seconds; in words where it says nothing.

    The rest of a phase is ours less the server's: queue, transport and client.
    """
    ttft, latency = iteration.ttft_s, iteration.latency_s
    decode = latency - ttft if latency is not None and ttft is not None else None
    load, prefill, served = iteration.server_load_s, iteration.server_prefill_s, iteration.server_decode_s
    silent = load is None and prefill is None and served is None
    if latency is None:
        return []
    first = None if prefill is None else prefill + (load or 0.0)
    rows: list[tuple[str, float | None, float | None, float | None, str]] = [
        ("prefill", prefill, ttft, _less(ttft, first), "TTFT"),
        ("decode", served, decode, _less(decode, served), "first to last token"),
        ("in all", iteration.server_s, latency, iteration.transport_and_client_s, "latency"),
    ]
    if load is not None:
        rows.insert(0, ("load", load, None, None, ""))
    lines: list[Line] = [((text, "warn"),) for text in wrap(SILENT, width, 2)] if silent else []
    notes = width >= CLOCK_NOTES_WIDTH
    titles = ("", "here") if silent else ("", "server", "here", "rest")
    lines.append((_clock_row(titles, "in seconds" if notes else "", "dim"),))
    for name, told, ours, rest, note in rows:
        values = (ours,) if silent else (told, ours, rest)
        texts = (name, *("" if v is None else number(v, room=8) for v in values))
        lines.append((_clock_row(texts, note if notes else "", "strong" if name == "in all" else ""),))
    if not silent:
        lines += [((text, "dim"),) for text in wrap("rest: queue, transport and client", width, 2)]
    return [fit(line, width) for line in lines]


def _clock_row(texts: tuple[str, ...], note: str, role: Role) -> Span:
    name, *values = texts
    return (pad(name, 7) + "".join(pad(v, 9, right=True) for v in values) + (f"  {note}" if note else ""), role)


def _less(ours: float | None, told: float | None) -> float | None:
    return ours - told if ours is not None and told is not None else None


# --- Texts ---


def wrapped(text: str, width: int, role: Role = "") -> list[Line]:
    """Text of several lines, each with its indent, in lines of at most `width` cells."""
    lines: list[Line] = []
    for line in sanitize_lines(text):
        if cell_len(line) <= width:
            lines.append(((line, role),))
            continue
        indent = line[: len(line) - len(line.lstrip())][: width // 2]
        lines += [((indent + part, role),) for part in wrap(line, width - len(indent), len(line))]
    return lines


def answer_title(backend_view: BackendView, chosen: Iteration | None, width: int) -> str:
    """What stands over the answer: how long it and the prompt are, who counted, why it ended, as far as it fits."""
    if chosen is None or chosen.error is not None or backend_view.state.failure is not None:
        return "what went wrong" if chosen is not None or backend_view.state.failure is not None else "answer"
    title = "answer"
    facts = [
        f"{plural(chosen.output_tokens, 'token')} by {chosen.token_source or 'count'}" if chosen.output_tokens else "",
        f"ended by {sanitize(chosen.finish_reason, 20)}" if chosen.finish_reason else "",
        f"prompt {chosen.prompt_tokens}" + (f" ({chosen.cached_tokens} cached)" if chosen.cached_tokens else "")
        if chosen.prompt_tokens
        else "",
    ]
    for fact in filter(None, facts):
        longer = f"{title}{', ' if ':' in title else ': '}{fact}"
        title = longer if cell_len(longer) <= width else title
    return title


def answer_lines(backend_view: BackendView, chosen: Iteration | None, whole: bool, width: int) -> list[Line]:
    """Why the backend or the chosen iteration failed, and what it answered, as far as that is still here."""
    lines: list[Line] = []
    for failure in (backend_view.state.failure, chosen.error if chosen is not None else None):
        if failure is not None and (not lines or failure != backend_view.state.failure):
            lines += [((text, "bad"),) for text in wrap(sanitize(failure.message), width, 6)]
            lines += [((text, ""),) for text in wrap(sanitize(failure.hint), width, 4)]
    if chosen is None:
        return lines or [(("no iteration yet", "dim"),)]
    answer = wrapped(chosen.text, width)
    if not whole and chosen.error is None:
        elsewhere = f"not kept here, it is in the history: llmtui export {sanitize(chosen.run)} --json -"
        answer = [((text, "dim"),) for text in wrap(elsewhere, width, 4)]
    if not answer and chosen.error is None:
        answer = [(("an empty answer", "dim"),)]
    return [*lines, (), *answer] if lines and answer else lines + answer


def log_lines(backend_view: BackendView, width: int) -> list[Line]:
    """The last lines that the server printed, as far as they are known here."""
    tail = backend_view.log_tail or backend_view.state.log_tail
    lines = [line for text in tail for line in wrapped(sanitize(text, 1000), width)]
    if lines:
        return lines
    if not backend_view.backend.launched:
        return [((clip("llmtui did not start this server: its log is where it was started", width), "dim"),)]
    return [(("it has printed nothing", "dim"),)]
