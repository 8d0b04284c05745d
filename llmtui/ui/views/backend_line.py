"""One backend on one line."""

from __future__ import annotations

from rich.cells import cell_len

from llmtui.model import FAILED
from llmtui.runview.backend import BackendView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text import sanitize
from llmtui.text.format import DASH, at_point
from llmtui.ui.layout import LINE_HIDDEN_WIDTH, LINE_SPACIOUS_WIDTH, NARROW
from llmtui.ui.text.format import name_text, parts_of, with_unit
from llmtui.ui.text.spans import Line, Role, Span, fit, justify, pad, progress_bar, width_of, wrap
from llmtui.ui.views.attempts import ShownAttempt, attempt_note, shown_attempt
from llmtui.ui.views.backend_state import (
    PanelOptions,
    more_facts,
    progress_count,
    progress_of,
    sign_and_word,
    wait_of,
)
from llmtui.ui.views.load_panel import line_spans, load_state

#: The fewest and the most cells of a bar.
_BAR_MIN, _BAR_MAX = 6, 16
#: The cells of a narrow line that are not its name: number, shape, state, value, and blanks.
_NARROW_FIGURES = 14


def backend_line(backend_view: BackendView, options: PanelOptions, width: int, alone: bool = True) -> Line:
    """Draw the backend on one line: number, shape, name, state, progress, newest value, median, tokens/s.

    If the line is `alone`, more facts follow as far as they fit.
    """
    state = backend_view.state.state
    name = backend_view.backend.name
    if width < NARROW:
        last = backend_view.last
        text = (
            with_unit(options.metric, METRICS[options.metric].value(last)) if last and not options.catching_up else ""
        )
        sign, role = sign_and_word(backend_view, options)
        title = name_text(name, width - _NARROW_FIGURES)
        left: list[Span] = [(f"{options.number} ", "dim"), (f"{options.mark} ", options.role), (title, "")]
        value: Span = ("hidden", "warn") if options.hidden else (text.rjust(7), "strong")
        return justify(left, [(f"{sign[0]} ", role), value], width)
    # Figures stay in their columns: a wider number takes its room from the name.
    name_width = min(16, max(8, width // 6)) + 1 - len(options.number)
    word, role = sign_and_word(backend_view, options, short=True)
    head: list[Span] = [
        (">" if options.focused else " ", "focus"),
        (f"{options.number} ", "dim"),
        (f"{options.mark} ", options.role),
        (pad(name_text(name, name_width), name_width) + " ", "title" if options.focused else ""),
        (word, role),
    ]
    hidden: list[Span] = [(", hidden", "warn")] if options.hidden else []
    if options.catching_up:
        return fit([*head, *hidden], width)
    if backend_view.state.failure is not None and state in FAILED:
        line: list[Span] = [*head, *hidden]
        line.append(
            (": " + "".join(wrap(sanitize(backend_view.state.failure.message), width - width_of(line) - 2, 1)), "")
        )
        hint = f"; {sanitize(backend_view.state.failure.hint)}" if backend_view.state.failure.hint else ""
        if width_of(line) + len(hint) <= width:
            line.append((hint, "dim"))
        return fit(line, width)
    shown = shown_attempt(backend_view)
    if state in ("waiting", "preparing", "loading") and backend_view.last is None and not shown.earlier:
        return fit([*head, *hidden, *_wait_spans(backend_view, options, width - width_of([*head, *hidden]))], width)
    if options.level is not None:
        word, role = load_state(backend_view, options, short=True)
        head[-1] = (pad(word, 9), role)
        head += hidden
        return fit([*head, *line_spans(backend_view, options, width - width_of(head))], width)
    head[-1] = (pad(word, 9) + " ", role)
    count = progress_count(backend_view, options)
    spacious = width >= LINE_SPACIOUS_WIDTH
    # On a narrow line, the word replaces the newest value.
    newest: Span = ("  hidden", "warn") if options.hidden and width < LINE_HIDDEN_WIDTH else _now(backend_view, options)
    tail: list[Span] = [(pad(count, max(7, len(count)), right=True), "")]
    if (room := width - width_of([*head, *tail])) < width_of([newest]):
        newest = (pad(_squeezed(newest[0], room - 1), room, right=True), newest[1])
    tail.append(newest)
    spread = shown.summary.spread(options.metric)
    quiet: Role = "dim" if shown.earlier else ""
    if spread is not None:
        word, text = f"  {'median' if spacious else 'med'} ", _aligned(options.metric, spread.median)
        if (room := width - width_of([*head, *tail]) - len(word)) < len(text):
            text = _squeezed(text, room)
        tail.append((word + text if text else "", quiet))
    speed, figure = shown.summary.tokens_per_s, ""
    if speed is not None and options.metric != "tokens_per_s":
        text, unit = parts_of("tokens_per_s", speed.median)
        figure = f" {at_point(text, 3, 2)} {unit if spacious else 't/s'}"
    line = [*head, *tail]
    line += _extras(backend_view, options, shown, (figure, quiet), width - width_of(line))
    for fact in more_facts(backend_view, options, shown) if alone else ():
        # A wider line has the same facts and more: none takes the place of one before it.
        if width_of(line) + cell_len(fact) + 3 > width:
            break
        line.append((f"   {fact}", "dim"))
    return fit(line, width)


def _now(backend_view: BackendView, options: PanelOptions) -> Span:
    """The newest value, or the tokens received so far, in 13 cells or more."""
    last = backend_view.last
    role: Role
    if (progress := progress_of(backend_view, options)) is not None:
        text, role = f"{progress.tokens} tok {progress.elapsed_s:.1f} s", "accent"
    elif last is not None and last.error is not None:
        text, role = last.error.kind + " error", "bad"
    else:
        text, role = _aligned(options.metric, METRICS[options.metric].value(last)) if last else "", "strong"
    return (" " + text.rjust(12), role)


def _aligned(metric: MetricKey, value: float | None) -> str:
    """A figure with its unit, whose point is in line with that of other lines: in 10 cells or more."""
    text, unit = parts_of(metric, value)
    return DASH.rjust(3) if text == DASH else f"{at_point(text, 3)} {'t/s' if unit == 'tok/s' else unit:2}"


def _squeezed(text: str, room: int) -> str:
    """The text with fewer blanks, or only the tokens of an answer; empty if a figure has no room for its unit."""
    words = text.split()
    for shorter in (" ".join(words), "".join(words)):
        if len(shorter) <= room:
            return shorter
    if words[1:2] == ["tok"]:
        return " ".join(words[:2])
    return text.strip() if words[-1:] == ["error"] else ""


def _extras(
    backend_view: BackendView, options: PanelOptions, shown: ShownAttempt, speed: Span, room: int
) -> list[Span]:
    """Speed, "hidden" and the attempt, as far as they fit; the speed, which is in the table too, is dropped first."""
    note = attempt_note(backend_view, options.metric)
    if shown.earlier:
        notes = [f"  of attempt {shown.attempt}", f"  of #{shown.attempt}"]
    else:
        notes = [f"  {note}", f"  {note.replace('attempt ', '#')}"] if note else []
    spans: list[Span] = []
    choices: list[tuple[list[str], Role]] = [(["  hidden"] if options.hidden else [], "warn"), (notes, "accent")]
    for texts, role in choices:
        if text := next((t for t in texts if len(t) <= room), ""):
            spans.append((text, role))
            room -= len(text)
    return [speed, *spans] if speed[0] and len(speed[0]) <= room else spans


def _wait_spans(backend_view: BackendView, options: PanelOptions, room: int) -> Line:
    """Describe a wait on the rest of the line: the reason, a bar if its progress is reported, and the time so far."""
    doing = f" {sanitize(backend_view.state.doing)}" if backend_view.state.doing else ""
    if options.lost:
        return ()
    if backend_view.state.state == "waiting":
        return ((doing, "dim"),)
    share, clocks = wait_of(backend_view, options)
    percent = f" {share * 100:.0f}%" if share is not None else ""
    spans: list[Span] = [(doing, "dim")]
    left = room - cell_len(doing) - len(percent)
    least = _BAR_MIN + 1 if share is not None else 0
    words = next((f"  {t}" for t in clocks if len(t) + 2 + least <= left), "")
    size = min(_BAR_MAX, left - 1 - len(words))
    if share is not None and size >= _BAR_MIN:
        spans += [(" ", ""), *progress_bar(share, size)]
    spans += [(percent, "strong"), (words, "dim")]
    return tuple(spans)
