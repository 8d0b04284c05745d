"""The parts of a backend's details: the two clocks, the answer, the server's log."""

from __future__ import annotations

from rich.cells import cell_len

from llmtui.model import Failure, Iteration, rest_s
from llmtui.runview.backend import BackendView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text import sanitize, sanitize_lines
from llmtui.text.format import DASH, figures, left_out_text, loaded_text, plural, plus_minus, scale_of, unit_of
from llmtui.ui.layout import CLOCK_NOTES_WIDTH, TIMELINE_TITLE_WIDTH, TIMELINE_WHOLE_TITLE_WIDTH
from llmtui.ui.text.spans import Line, Role, Span, clip, fit, pad, width_of, wrap
from llmtui.ui.views.attempts import ShownAttempt
from llmtui.ui.views.iteration_table import iteration_name

# --- Titles ---


def timeline_title(iteration: Iteration, width: int, name: str = "") -> str:
    """Return the timeline's title, longer if there is room. `name` is that of the iteration, if it has another one."""
    name = name or iteration_name(iteration)
    if iteration.in_one_piece:
        return f"{name}: not streamed" + (": it came in one piece" if width >= TIMELINE_TITLE_WIDTH else "")
    if width < TIMELINE_TITLE_WIDTH:
        return name
    return f"{name}: arrivals" + (" since the request" if width >= TIMELINE_WHOLE_TITLE_WIDTH else "")


def rule(title: str, right: str, width: int, focused: bool = False) -> Line:
    """Draw the line above a part: its title on the left, a remark on the right."""
    stroke = "━" if focused else "─"
    role: Role = "focus" if focused else "rule"
    title = clip(title, width - 4)
    end: list[Span] = [(f" {right} ", "dim"), (stroke, role)]
    if not right or len(right) + cell_len(title) + 6 > width:
        end = []
    line: list[Span] = [(stroke, role), (f" {title} ", "title")]
    return (*line, (stroke * max(0, width - width_of(line) - width_of(end)), role), *end)


def figures_of(backend_view: BackendView, shown: ShownAttempt, metric: MetricKey) -> str:
    """A metric's median with its interval, its range, deviation and bad end; empty without samples."""
    spread = shown.summary.spread(metric)
    if spread is None:
        return ""
    unit, (median, least, most) = figures([spread.median, spread.min, spread.max], METRICS[metric].unit)
    sure = plus_minus(shown.uncertainty(backend_view, metric), unit)
    stddev = scale_of([spread.stddev], METRICS[metric].unit, unit).text(spread.stddev)
    text = f"{METRICS[metric].title}: median {median} {unit} {sure}".rstrip() + f", {least} to {most}, sd {stddev}"
    if (tail := shown.tail(backend_view, metric)) is None:
        return text
    _, (value, limit) = figures([tail.value, tail.limit], METRICS[metric].unit, unit)
    to = "down to" if METRICS[metric].higher_is_better else "up to"
    return f"{text}, {METRICS[metric].bad_end_title} {value} ({to} {limit})"


# --- The two clocks ---

SILENT = "no timings from this server"


def clock_lines(iteration: Iteration, width: int) -> list[Line]:
    """Draw the server's own timings beside ours, phase by phase; say so if it reports none.

    The other time of a phase is ours minus the server's: queue, transport and client. Ours ends with the last token; a
    server's clock goes on to the token that ends an answer and is not sent, which makes the difference negative.
    """
    ttft, latency = iteration.ttft_s, iteration.latency_s
    decode = latency - ttft if latency is not None and ttft is not None else None
    load, prefill, served = iteration.server_load_s, iteration.server_prefill_s, iteration.server_decode_s
    silent = load is None and prefill is None and served is None
    if latency is None:
        return []
    first = None if prefill is None else prefill + (load or 0.0)
    rows: list[tuple[str, float | None, float | None, float | None, str]] = [
        ("prefill", prefill, ttft, rest_s(ttft, first), "TTFT"),
        ("decode", served, decode, rest_s(decode, served), "first to last token"),
        ("total", iteration.server_s, latency, iteration.transport_and_client_s, "latency"),
    ]
    if load is not None:
        left_out = iteration.loaded and iteration.phase == "measured"
        rows.insert(0, ("load", load, None, None, "of the model: in no figure" if left_out else ""))
    lines: list[Line] = [((text, "warn"),) for text in wrap(SILENT, width, 2)] if silent else []
    notes = width >= CLOCK_NOTES_WIDTH
    unit = unit_of([ttft, latency], "s")
    columns = [
        ("server", [row[1] for row in rows]),
        ("here", [row[2] for row in rows]),
        ("other", [r[3] for r in rows]),
    ]
    cells = [
        [f"{title} {unit}", *("" if text == DASH else text for text in figures(values, "s", unit)[1])]
        for title, values in (columns[1:2] if silent else columns)
    ]
    widths = [max(9, *(len(cell) + 1 for cell in column)) for column in cells]
    names, remarks = ["", *(row[0] for row in rows)], ["", *(row[4] for row in rows)]
    for at, (name, remark) in enumerate(zip(names, remarks, strict=True)):
        role: Role = "dim" if not at else "strong" if name == "total" else ""
        values = "".join(column[at].rjust(wide) for column, wide in zip(cells, widths, strict=True))
        note = f"  {remark}" if remark and notes else ""
        lines.append((((pad(name, 7) + values + note), role),))
    if not silent:
        words = "other: queue, transport and client"
        if any(row[3] is not None and row[3] < 0 for row in rows):
            words += "; negative: the server's time goes on after the last token that it sent"
        lines += [((text, "dim"),) for text in wrap(words, width, 3)]
    return [fit(line, width) for line in lines]


# --- Texts ---


def wrapped(text: str, width: int) -> list[Line]:
    """Wrap text to lines of at most `width` cells, each with the indent of its line in the text."""
    lines: list[Line] = []
    for line in sanitize_lines(text):
        if cell_len(line) <= width:
            lines.append(((line, ""),))
            continue
        indent = line[: len(line) - len(line.lstrip())][: width // 2]
        lines += [((indent + part, ""),) for part in wrap(line, width - len(indent), len(line))]
    return lines


def arrival_facts(backend_view: BackendView) -> list[str]:
    """Say of how many answers nothing but the latency, or no rate, could be measured, and which values are left out."""
    if not backend_view.summary.n:
        return []
    whole, hidden = backend_view.evidence.whole, len(backend_view.evidence.hidden)
    facts = [f"{whole} not streamed: the answer came in one piece"] if whole else []
    facts += [f"{hidden} with tokens that the server counts and does not send"] if hidden else []
    summary = backend_view.summary
    facts += [loaded_text(summary.loaded, summary.n)] if summary.loaded else []
    return [*facts, left_out_text(summary.left_out)] if summary.left_out else facts


def answer_title(failure: Failure | None, chosen: Iteration | None, width: int) -> str:
    """Return the title of the answer, with its length, why it ended, and the prompt's length, as far as they fit.

    `failure` is that of the backend.
    """
    if chosen is None or chosen.error is not None or failure is not None:
        return "error" if chosen is not None or failure is not None else "answer"
    title = "answer"
    facts = [
        plural(chosen.output_tokens, "token") + (f" by {chosen.token_source}" if chosen.token_source else "")
        if chosen.output_tokens
        else "",
        f"{chosen.hidden_tokens} hidden" if chosen.hidden_tokens else "",
        f"ended by {sanitize(chosen.finish_reason, 20)}" if chosen.finish_reason else "",
        f"prompt {chosen.prompt_tokens}" + (f" ({chosen.cached_tokens} cached)" if chosen.cached_tokens else "")
        if chosen.prompt_tokens
        else "",
    ]
    for fact in filter(None, facts):
        longer = f"{title}{', ' if ':' in title else ': '}{fact}"
        title = longer if cell_len(longer) <= width else title
    return title


def answer_lines(
    of_backend: Failure | None, chosen: Iteration | None, elsewhere: str, width: int, nothing: str
) -> list[Line]:
    """Draw why the backend or the chosen iteration failed, and the answer.

    `elsewhere` says where the answer is, "" if `chosen` has it; `nothing` that nothing is chosen.
    """
    lines: list[Line] = []
    for failure in (of_backend, chosen.error if chosen is not None else None):
        if failure is not None and (not lines or failure != of_backend):
            lines += [((text, "bad"),) for text in wrap(sanitize(failure.message), width, 6)]
            lines += [((text, ""),) for text in wrap(sanitize(failure.hint), width, 4)]
    if chosen is None:
        return lines or [((nothing, "dim"),)]
    answer = wrapped(chosen.text, width)
    if elsewhere and chosen.error is None:
        answer = [((text, "dim"),) for text in wrap(elsewhere, width, 4)]
    if not answer and chosen.error is None:
        answer = [(("empty answer", "dim"),)]
    return [*lines, (), *answer] if lines and answer else lines + answer


def log_lines(backend_view: BackendView, width: int, past: bool = False) -> list[Line]:
    """Draw the last lines of the server's log that the client has. `past`: of a run of the history."""
    tail = backend_view.log_tail or backend_view.state.log_tail
    lines = [line for text in tail for line in wrapped(sanitize(text, 1000), width)]
    if lines:
        return lines
    if not backend_view.backend.launched:
        return [((clip("llmtui did not start this server, so it cannot show its log", width), "dim"),)]
    text = "the history keeps a server's log only if the server failed" if past else "no output yet"
    return [((clip(text, width), "dim"),)]
