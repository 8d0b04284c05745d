"""One backend's panel as lines: framed at any height from four rows on, or one line. Pure."""

from __future__ import annotations

import dataclasses

from rich.cells import cell_len

from llmtui.config.schema import Marker
from llmtui.format import plural
from llmtui.model import RESTING, Progress
from llmtui.runview.run import BackendView
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.text import sanitize
from llmtui.ui.charts.sparkline import big, scatter
from llmtui.ui.text.format import (
    HIDDEN_SIGN,
    LOST_SIGN,
    STATE_ROLES,
    STATE_SIGNS,
    around,
    clock,
    cores,
    memory,
    number,
    shape,
    state_word,
    unit,
    value_text,
)
from llmtui.ui.text.spans import SERIES, Line, Role, Span, bar, box, clip, fit, pad, spread_out, width_of, wrap
from llmtui.ui.views.attempts import Standing, attempt_note, standing

#: Below this height (frame included) the last value is one row instead of three.
BIG_FROM = 13
#: From so many rows within the frame on, what does not fit beside something else has a row of its own.
_TALL = 9
#: From this share, and after so long, how far a wait got tells how long it still takes.
_TELLS_FROM = 0.03
_TELLS_AFTER_S = 2.0
#: A bar on a backend's line has so many cells.
_BAR_MIN, _BAR_MAX = 6, 16


@dataclasses.dataclass(frozen=True)
class Look:
    """How the monitor shows a backend now: its place in the plan and what the user chose."""

    index: int
    metric: MetricKey = "latency"
    marker: Marker = "braille"
    focused: bool = False
    hidden: bool = False
    waited_s: float = 0.0
    #: How many warm-ups come before the first measured iteration.
    warmups: int = 0
    #: Whether the engine has gone: nothing that is unfinished goes on.
    lost: bool = False

    @property
    def ascii_only(self) -> bool:
        """Whether the panel keeps to ASCII."""
        return self.marker == "ascii"

    @property
    def mark(self) -> str:
        """The backend's shape, or the sign in its place where the charts leave it out."""
        return HIDDEN_SIGN if self.hidden else shape(self.index, self.ascii_only)

    @property
    def role(self) -> Role:
        """The backend's colour."""
        return SERIES[self.index % len(SERIES)]


def _over(backend_view: BackendView, look: Look) -> bool:
    """Whether the engine went before this backend was done."""
    return look.lost and backend_view.state.state not in RESTING


def sign_and_word(backend_view: BackendView, look: Look, short: bool = False) -> Span:
    """The backend's state with its sign and colour."""
    if _over(backend_view, look):
        return (f"{LOST_SIGN} {'gone' if short else 'engine gone'}", "bad")
    state = backend_view.state.state
    return (f"{STATE_SIGNS[state]} {state_word(state)}", STATE_ROLES[state])


def progress_of(backend_view: BackendView, look: Look) -> Progress | None:
    """The tokens that are arriving now."""
    return None if look.lost else backend_view.progress


def _warmed(backend_view: BackendView, look: Look) -> int | None:
    """How many of the warm-ups are over, None when it is not warming up."""
    if backend_view.state.state != "warmup" or not look.warmups or look.lost:
        return None
    # Taken up again, an attempt warms up anew.
    over = backend_view.now.warmups
    return over if over <= look.warmups else (over - 1) % look.warmups + 1


def _finished(backend_view: BackendView, look: Look) -> str:
    if (warmed := _warmed(backend_view, look)) is not None and not backend_view.finished:
        return f"{warmed}/{look.warmups}"
    return f"{backend_view.finished}/{backend_view.state.planned}" if backend_view.state.planned else ""


def _state_line(backend_view: BackendView, look: Look, width: int) -> Line:
    right: list[Span] = []
    if backend_view.state.state not in ("unreachable", "missing"):
        right.append((_finished(backend_view, look), "strong"))
    return spread_out([sign_and_word(backend_view, look)], right, width)


def _activity(backend_view: BackendView, look: Look, width: int) -> Span:
    """What the big number is, or what is happening at this moment."""
    if (progress := progress_of(backend_view, look)) is not None:
        return (f"{plural(progress.tokens, 'token')}, {progress.elapsed_s:.1f} s", "accent")
    last = backend_view.last
    if last is None:
        return ("", "")
    which = f"{'warm-up' if last.phase == 'warmup' else 'iteration'} {last.iteration}"
    if last.error is not None:
        return (f"{which} failed" if len(which) + 7 <= width else "failed", "dim")
    full = f"{METRICS[look.metric].title}, {which}"
    return (full if len(full) <= width else which, "dim")


def _failure_lines(backend_view: BackendView, width: int, rows: int) -> list[Line]:
    failure = backend_view.state.failure
    if failure is None:
        return []
    # The hint says what to do next: it gets its rows before the message takes all.
    hint = wrap(sanitize(failure.hint), width, max(1, rows // 2)) if failure.hint else []
    message = wrap(sanitize(failure.message), width, max(1, rows - len(hint) - (1 if rows > 5 else 0)))
    lines: list[Line] = [((text, "warn"),) for text in message]
    if hint and len(message) + len(hint) + 1 < rows:
        lines.append(())
    lines += [((text, ""),) for text in hint]
    return lines


def _wait(backend_view: BackendView, look: Look) -> tuple[float | None, list[str]]:
    """Of a wait: the share that is over (None where nobody can know) and its clock, from the longest to the shortest.

    The time to go is told by how far it got, or by how long the same took before; none is made up. In its first second
    a wait has no clock.
    """
    waited, share, left = look.waited_s, backend_view.state.progress, None
    usual = backend_view.state.usual_load_s
    if share is not None:
        if share >= _TELLS_FROM and waited >= _TELLS_AFTER_S:
            left = waited * (1 - share) / share
    elif usual is not None and backend_view.state.state == "loading":
        if waited < usual:
            share, left = waited / usual, usual - waited
        elif waited >= usual + 1:
            return None, [f"{clock(waited)}, usually {clock(usual)}", clock(waited)]
    if waited < 1:
        return share, []
    if left is None:
        return share, [clock(waited)]
    # Both clocks change in the same instant: a second costs one redraw.
    rest = f"{clock(int(left + waited) - int(waited))} to go"
    return share, [f"{clock(waited)}, {rest}", rest]


def _wait_lines(backend_view: BackendView, look: Look, width: int, rows: int) -> list[Line]:
    doing = sanitize(backend_view.state.doing) or (
        "starting the server" if backend_view.state.state == "loading" else ""
    )
    if look.lost or backend_view.state.state == "waiting":
        return [((text, ""),) for text in wrap(doing, width, rows)]
    share, told = _wait(backend_view, look)
    below: list[Line] = []
    if share is not None:
        percent = f" {share * 100:3.0f} %"
        below.append((*bar(share, width - len(percent)), (percent, "strong")))
    if told:
        below.append(((next((t for t in told if len(t) <= width), ""), "dim"),))
    below = below[: max(0, rows - 1)]
    return [*(((text, ""),) for text in wrap(doing, width, max(1, rows - len(below)))), *below]


def _wait_spans(backend_view: BackendView, look: Look, room: int) -> Line:
    """A wait on the rest of a backend's line: at what it is, a bar where the share is known, its clock."""
    doing = f" {sanitize(backend_view.state.doing)}" if backend_view.state.doing else ""
    if look.lost:
        return ()
    if backend_view.state.state == "waiting":
        return ((doing, "dim"),)
    share, told = _wait(backend_view, look)
    percent = f" {share * 100:.0f} %" if share is not None else ""
    spans: list[Span] = [(doing, "dim")]
    left = room - cell_len(doing) - len(percent)
    least = _BAR_MIN + 1 if share is not None else 0
    words = next((f"  {t}" for t in told if len(t) + 2 + least <= left), "")
    size = min(_BAR_MAX, left - 1 - len(words))
    if share is not None and size >= _BAR_MIN:
        spans += [(" ", ""), *bar(share, size)]
    spans += [(percent, "strong"), (words, "dim")]
    return tuple(spans)


def _warming(warmed: int, look: Look, width: int, rows: int) -> list[Line]:
    """In the place of the plot that has no point yet: how far the warm-ups are."""
    words: Line = ((clip(f"warming up, {look.warmups - warmed} to go", width), "dim"),)
    lines: list[Line] = [words, bar(warmed / look.warmups, width)]
    return ([()] * (rows - 2) + lines)[-rows:]


def _pair(left: str, right: str, width: int) -> Line:
    """Two facts on a line, the second at the right edge; the first alone where both do not fit."""
    if len(left) + len(right) + 1 > width:
        return ((clip(left, width), ""),)
    return spread_out([(left, "")], [(right, "")], width)


def _median_line(kept: Standing, look: Look, width: int) -> Line:
    spread = kept.summary.spread(look.metric)
    if spread is None:
        return ()
    figure = value_text(look.metric, spread.median, 8)
    if kept.earlier:
        words = (f"attempt {kept.attempt}: median", f"attempt {kept.attempt}:", f"#{kept.attempt}")
        word = next((w for w in words if len(w) + len(figure) + 1 <= width), words[-1])
    else:
        word = "median"
    text = f"{word} {figure}"
    spare = around(look.metric, spread.stddev, 8, look.ascii_only)
    for short in ("med.", "med"):
        if len(text) + len(spare) + 1 > width:
            text = f"{short} {figure}" if not kept.earlier else text.replace("median", short)
    return _dim(_pair(text, spare, width)) if kept.earlier else _pair(text, spare, width)


def _speed_lines(kept: Standing, width: int, tall: bool) -> list[Line]:
    """TTFT and tokens/s: on one line where both fit, else on two where the panel is `tall`."""
    summary = kept.summary
    ttft = summary.ttft.median if summary.ttft else None
    speed = summary.tokens_per_s.median if summary.tokens_per_s else None
    left = f"TTFT {number(ttft, room=8)}"
    right = f"{number(speed, 1)} tok/s"
    if ttft is not None and len(left) + len(right) + 3 <= width:
        left += " s"
    short = right.replace("tok/s", "t/s")
    if len(left) + len(right) + 1 > width >= len(left) + len(short) + 1:
        right = short
    apart = tall and len(left) + len(right) + 1 > width
    lines = [_pair(left, "", width), _pair(right, "", width)] if apart else [_pair(left, right, width)]
    return [_dim(line) for line in lines] if kept.earlier else lines


def _dim(line: Line) -> Line:
    return tuple((text, "dim") for text, _ in line)


def _server_lines(backend_view: BackendView, width: int, rows: int) -> list[Line]:
    load = f"load {backend_view.state.load_s:.1f} s" if backend_view.state.load_s is not None else ""
    if rows == 1:
        # The weights stand in the table too.
        facts = [fact for fact in (load, memory(backend_view.rss_bytes), cores(backend_view.cpu_cores)) if fact]
        texts = [apart.join(facts[:n]) for n in (3, 2, 1) for apart in (", ", " ")]
        return [((next((text for text in texts if len(text) <= width), ""), "dim"),)]
    weights = sanitize(backend_view.weights, 40)
    first = _pair(weights, load, width) if weights else ((load, ""),)
    second = _pair(memory(backend_view.rss_bytes), cores(backend_view.cpu_cores), width)
    return [_dim(first), _dim(second)]


def _value_lines(backend_view: BackendView, look: Look, width: int, large: bool, rows: int) -> list[Line]:
    """The newest value, or its error in at most so many rows."""
    last = backend_view.last
    if last is not None and last.error is not None:
        lines: list[Line] = [((text, "bad"),) for text in wrap(sanitize(last.error.message), width, rows)]
        blank: list[Line] = [()] * ((3 if large else 1) - len(lines))
        return lines + blank
    value = value_text(look.metric, METRICS[look.metric].of(last), 8) if last else ""
    if large:
        if not value:
            return [(), (), ()]
        drawn = big(value, unit(look.metric), width, look.role) if look.marker != "ascii" else None
        if drawn is not None:
            return drawn
        return [(), ((value, look.role), (f" {unit(look.metric)}", "dim")), ()]
    return [((value, "strong"), (f" {unit(look.metric)}", "dim"))] if value else [()]


def _body(backend_view: BackendView, look: Look, width: int, rows: int) -> list[Line]:
    state = backend_view.state.state
    kept = standing(backend_view)
    medians: list[Line] = []
    if kept.summary.n:
        medians = [_median_line(kept, look, width), *_speed_lines(kept, width, rows >= _TALL)]
    lines: list[Line] = [_state_line(backend_view, look, width)]
    rows -= 1
    if state in ("failed", "unreachable", "missing"):
        keep = len(medians) if backend_view.summary.n and rows >= 5 else 0
        failure = _failure_lines(backend_view, width, rows - keep)
        lines += failure
        if keep:
            lines += [()] * (rows - keep - len(failure))
            lines += medians
        return lines
    if state in ("waiting", "preparing", "loading") and backend_view.last is None:
        keep = len(medians) if kept.earlier and rows >= 4 else 0
        waiting = _wait_lines(backend_view, look, width, rows - keep)
        if keep:
            lines += [*waiting, *[()] * (rows - keep - len(waiting)), *medians]
            return lines
        return lines + waiting
    large = rows + 3 >= BIG_FROM
    # Where nothing was measured yet, an error has the place of the figures.
    room = 3 if large else 1
    value = _value_lines(backend_view, look, width, large, room if medians else max(room, rows - 2))
    lines += value
    rows -= len(value)
    if rows >= 4:
        lines.append((_activity(backend_view, look, width),))
        rows -= 1
    elif progress_of(backend_view, look) is not None and not large:
        lines[-1] = (_activity(backend_view, look, width),)
    rest = medians[: max(0, rows)]
    rows -= len(rest)
    server = _server_lines(backend_view, width, rows)
    plot = rows - len(server)
    if plot >= 2:
        spread = kept.summary.spread(look.metric)
        figures = kept.figures(backend_view)
        role: Role = "dim" if kept.earlier else look.role
        median = spread.median if spread else None
        slots = max(backend_view.state.planned, figures.measured)
        if (warmed := _warmed(backend_view, look)) is not None and not kept.summary.n:
            rest += _warming(warmed, look, width, plot)
        else:
            rest += scatter(figures.points(look.metric), median, width, plot, look.marker, role, slots)
        rows = len(server)
    elif plot > 0:
        rest += [()] * plot
        rows = len(server)
    return lines + rest + server[: max(0, rows)]


def panel(backend_view: BackendView, look: Look, width: int, height: int) -> list[Line]:
    """The panel of `backend_view` in exactly `width` by `height` cells; at most three rows high it is one line."""
    if height < 4 or width < 12:
        return [row(backend_view, look, width)]
    name: list[Span] = [
        (f"{look.index + 1} ", "dim"),
        (f"{look.mark} ", look.role),
        (sanitize(backend_view.backend.name, 60), "title"),
    ]
    corner: Span = ("hidden", "warn") if look.hidden else (sanitize(backend_view.backend.language, 12), "dim")
    compared = attempt_note(backend_view, look.metric)
    refused = f"refused {backend_view.refused} x" if backend_view.refused else ""
    remarks: list[Span] = [(compared, "accent"), (refused, "warn"), (sanitize(backend_view.state.note, 120), "dim")]
    bottom: list[Span] = []
    for text, role in remarks:
        # Whole words only: what has no room on the edge stands in the details.
        room = width - 5 - width_of(bottom)
        if bottom and text and cell_len(text) + 2 <= room:
            bottom.append((f"  {text}", role))
        elif not bottom and (told := next(iter(wrap(text, room, 1)), "")):
            bottom.append((told, role))
    if bottom and width_of(name) + len(corner[0]) + 6 > width and not look.hidden:
        # The language would take their place: the table has it too.
        corner = ("", "")
    return box(
        _body(backend_view, look, width - 4, height - 2),
        width,
        height,
        left=name,
        right=[corner] if corner[0] else (),
        bottom=bottom,
        focused=look.focused,
    )


def row(backend_view: BackendView, look: Look, width: int) -> Line:
    """The backend on one line: number, shape, name, state, progress, last value, median, speed."""
    state = backend_view.state.state
    title = sanitize(backend_view.backend.name, 60)
    if width < 40:
        last = backend_view.last
        text = value_text(look.metric, METRICS[look.metric].of(last)) if last else ""
        sign, role = sign_and_word(backend_view, look)
        left: list[Span] = [(f"{look.index + 1} ", "dim"), (f"{look.mark} ", look.role), (title, "")]
        value: Span = ("hidden", "warn") if look.hidden else (pad(text, 6, right=True), "strong")
        return spread_out(left, [(f"{sign[0]} ", role), value], width)
    name_width = min(16, max(8, width // 6))
    word, role = sign_and_word(backend_view, look, short=True)
    head: list[Span] = [
        (">" if look.focused else " ", "focus"),
        (f"{look.index + 1} ", "dim"),
        (f"{look.mark} ", look.role),
        (pad(title, name_width) + " ", "title" if look.focused else ""),
        (word, role),
    ]
    hidden: list[Span] = [(", hidden", "warn")] if look.hidden else []
    if backend_view.state.failure is not None and state in ("failed", "unreachable", "missing"):
        line: list[Span] = [*head, *hidden]
        line.append(
            (": " + "".join(wrap(sanitize(backend_view.state.failure.message), width - width_of(line) - 2, 1)), "")
        )
        hint = f"; {sanitize(backend_view.state.failure.hint)}" if backend_view.state.failure.hint else ""
        if width_of(line) + len(hint) <= width:
            line.append((hint, "dim"))
        return fit(line, width)
    kept = standing(backend_view)
    if state in ("waiting", "preparing", "loading") and backend_view.last is None and not kept.earlier:
        return fit([*head, *hidden, *_wait_spans(backend_view, look, width - width_of([*head, *hidden]))], width)
    head[-1] = (pad(word, 9) + " ", role)
    count = _finished(backend_view, look)
    # Where the line has no room for more, the word takes the newest value's place.
    newest: Span = ("  hidden", "warn") if look.hidden and width < 60 else _now(backend_view, look)
    tail: list[Span] = [(pad(count, max(7, len(count)), right=True), "")]
    if (room := width - width_of([*head, *tail])) < width_of([newest]):
        text = newest[0].strip()
        if len(text) > room - 1 and not text.endswith("error"):
            # Without its unit, which the chart's title has too.
            text = " ".join(text.split()[: 2 if " tok " in text else 1])
        newest = (pad(text, room, right=True), newest[1])
    tail.append(newest)
    spread = kept.summary.spread(look.metric)
    quiet: Role = "dim" if kept.earlier else ""
    if spread is not None:
        tail.append((f"  median {value_text(look.metric, spread.median, 7):>7}", quiet))
    speed = kept.summary.tokens_per_s
    figure = f"{number(speed.median, 1):>7} tok/s" if speed is not None and look.metric != "tokens_per_s" else ""
    return fit(
        [*head, *tail, *_extras(backend_view, look, kept, (figure, quiet), width - width_of([*head, *tail]))], width
    )


def _now(backend_view: BackendView, look: Look) -> Span:
    """The newest value, or the tokens that are arriving, in 15 cells."""
    last = backend_view.last
    role: Role
    if (progress := progress_of(backend_view, look)) is not None:
        text, role = f"{progress.tokens} tok {progress.elapsed_s:.1f} s", "accent"
    elif last is not None and last.error is not None:
        text, role = last.error.kind + " error", "bad"
    else:
        value = value_text(look.metric, METRICS[look.metric].of(last), 8) if last else ""
        text, role = f"{value} {unit(look.metric)}" if last else "", "strong"
    return (" " + pad(text, 14, right=True), role)


def _extras(backend_view: BackendView, look: Look, kept: Standing, speed: Span, room: int) -> list[Span]:
    """What of speed, "hidden" and the attempt fits on the rest of a line; the speed, which is elsewhere, yields."""
    note = attempt_note(backend_view, look.metric)
    if kept.earlier:
        notes = [f"  of attempt {kept.attempt}", f"  of #{kept.attempt}"]
    else:
        notes = [f"  {note}", f"  {note.replace('attempt ', '#')}"] if note else []
    spans: list[Span] = []
    choices: list[tuple[list[str], Role]] = [(["  hidden"] if look.hidden else [], "warn"), (notes, "accent")]
    for texts, role in choices:
        if text := next((t for t in texts if len(t) <= room), ""):
            spans.append((text, role))
            room -= len(text)
    return [speed, *spans] if speed[0] and len(speed[0]) <= room else spans
