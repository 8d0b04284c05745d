"""One backend's panel as lines: framed at any height from four rows on, or one line. Pure."""

from __future__ import annotations

import dataclasses

from rich.cells import cell_len

from llmtui.engine.board import Lane
from llmtui.format import plural
from llmtui.model import RESTING, Progress
from llmtui.plain import plain
from llmtui.stats.summary import METRIC_TITLES, Metric, metric_value
from llmtui.ui.attempts import Standing, attempt_note, standing
from llmtui.ui.lines import SERIES, Line, Role, Span, bar, box, clip, fit, pad, spread_out, width_of, wrap
from llmtui.ui.minis import big, scatter
from llmtui.ui.options import Marker
from llmtui.ui.words import (
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
    metric: Metric = "latency"
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


def _over(lane: Lane, look: Look) -> bool:
    """Whether the engine went before this backend was done."""
    return look.lost and lane.state.state not in RESTING


def sign_and_word(lane: Lane, look: Look, short: bool = False) -> Span:
    """The backend's state with its sign and colour."""
    if _over(lane, look):
        return (f"{LOST_SIGN} {'gone' if short else 'engine gone'}", "bad")
    state = lane.state.state
    return (f"{STATE_SIGNS[state]} {state_word(state)}", STATE_ROLES[state])


def progress_of(lane: Lane, look: Look) -> Progress | None:
    """The tokens that are arriving now."""
    return None if look.lost else lane.progress


def _warmed(lane: Lane, look: Look) -> int | None:
    """How many of the warm-ups are over, None when it is not warming up."""
    if lane.state.state != "warmup" or not look.warmups or look.lost:
        return None
    # Taken up again, an attempt warms up anew.
    over = lane.now.warmups
    return over if over <= look.warmups else (over - 1) % look.warmups + 1


def _finished(lane: Lane, look: Look) -> str:
    if (warmed := _warmed(lane, look)) is not None and not lane.finished:
        return f"{warmed}/{look.warmups}"
    return f"{lane.finished}/{lane.state.planned}" if lane.state.planned else ""


def _state_line(lane: Lane, look: Look, width: int) -> Line:
    right: list[Span] = []
    if lane.state.state not in ("unreachable", "missing"):
        right.append((_finished(lane, look), "strong"))
    return spread_out([sign_and_word(lane, look)], right, width)


def _activity(lane: Lane, look: Look, width: int) -> Span:
    """What the big number is, or what is happening at this moment."""
    if (progress := progress_of(lane, look)) is not None:
        return (f"{plural(progress.tokens, 'token')}, {progress.elapsed_s:.1f} s", "accent")
    last = lane.last
    if last is None:
        return ("", "")
    which = f"{'warm-up' if last.phase == 'warmup' else 'iteration'} {last.iteration}"
    if last.error is not None:
        return (f"{which} failed" if len(which) + 7 <= width else "failed", "dim")
    full = f"{METRIC_TITLES[look.metric]}, {which}"
    return (full if len(full) <= width else which, "dim")


def _failure_lines(lane: Lane, width: int, rows: int) -> list[Line]:
    failure = lane.state.failure
    if failure is None:
        return []
    # The hint says what to do next: it gets its rows before the message takes all.
    hint = wrap(plain(failure.hint), width, max(1, rows // 2)) if failure.hint else []
    message = wrap(plain(failure.message), width, max(1, rows - len(hint) - (1 if rows > 5 else 0)))
    lines: list[Line] = [((text, "warn"),) for text in message]
    if hint and len(message) + len(hint) + 1 < rows:
        lines.append(())
    lines += [((text, ""),) for text in hint]
    return lines


def _wait(lane: Lane, look: Look) -> tuple[float | None, list[str]]:
    """Of a wait: the share that is over (None where nobody can know) and its clock, from the longest to the shortest.

    The time to go is told by how far it got, or by how long the same took before; none is made up. In its first second
    a wait has no clock.
    """
    waited, share, left = look.waited_s, lane.state.progress, None
    usual = lane.state.usual_load_s
    if share is not None:
        if share >= _TELLS_FROM and waited >= _TELLS_AFTER_S:
            left = waited * (1 - share) / share
    elif usual is not None and lane.state.state == "loading":
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


def _wait_lines(lane: Lane, look: Look, width: int, rows: int) -> list[Line]:
    doing = plain(lane.state.doing) or ("starting the server" if lane.state.state == "loading" else "")
    if look.lost or lane.state.state == "waiting":
        return [((text, ""),) for text in wrap(doing, width, rows)]
    share, told = _wait(lane, look)
    below: list[Line] = []
    if share is not None:
        percent = f" {share * 100:3.0f} %"
        below.append((*bar(share, width - len(percent)), (percent, "strong")))
    if told:
        below.append(((next((t for t in told if len(t) <= width), ""), "dim"),))
    below = below[: max(0, rows - 1)]
    return [*(((text, ""),) for text in wrap(doing, width, max(1, rows - len(below)))), *below]


def _wait_spans(lane: Lane, look: Look, room: int) -> Line:
    """A wait on the rest of a backend's line: at what it is, a bar where the share is known, its clock."""
    doing = f" {plain(lane.state.doing)}" if lane.state.doing else ""
    if look.lost:
        return ()
    if lane.state.state == "waiting":
        return ((doing, "dim"),)
    share, told = _wait(lane, look)
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


def _server_lines(lane: Lane, width: int, rows: int) -> list[Line]:
    load = f"load {lane.state.load_s:.1f} s" if lane.state.load_s is not None else ""
    if rows == 1:
        # The weights stand in the table too.
        facts = [fact for fact in (load, memory(lane.rss_bytes), cores(lane.cpu_cores)) if fact]
        texts = [apart.join(facts[:n]) for n in (3, 2, 1) for apart in (", ", " ")]
        return [((next((text for text in texts if len(text) <= width), ""), "dim"),)]
    weights = plain(lane.weights, 40)
    first = _pair(weights, load, width) if weights else ((load, ""),)
    second = _pair(memory(lane.rss_bytes), cores(lane.cpu_cores), width)
    return [_dim(first), _dim(second)]


def _value_lines(lane: Lane, look: Look, width: int, large: bool, rows: int) -> list[Line]:
    """The newest value, or its error in at most so many rows."""
    last = lane.last
    if last is not None and last.error is not None:
        lines: list[Line] = [((text, "bad"),) for text in wrap(plain(last.error.message), width, rows)]
        blank: list[Line] = [()] * ((3 if large else 1) - len(lines))
        return lines + blank
    value = value_text(look.metric, metric_value(last, look.metric), 8) if last else ""
    if large:
        if not value:
            return [(), (), ()]
        drawn = big(value, unit(look.metric), width, look.role) if look.marker != "ascii" else None
        if drawn is not None:
            return drawn
        return [(), ((value, look.role), (f" {unit(look.metric)}", "dim")), ()]
    return [((value, "strong"), (f" {unit(look.metric)}", "dim"))] if value else [()]


def _body(lane: Lane, look: Look, width: int, rows: int) -> list[Line]:
    state = lane.state.state
    kept = standing(lane)
    medians: list[Line] = []
    if kept.summary.n:
        medians = [_median_line(kept, look, width), *_speed_lines(kept, width, rows >= _TALL)]
    lines: list[Line] = [_state_line(lane, look, width)]
    rows -= 1
    if state in ("failed", "unreachable", "missing"):
        keep = len(medians) if lane.summary.n and rows >= 5 else 0
        failure = _failure_lines(lane, width, rows - keep)
        lines += failure
        if keep:
            lines += [()] * (rows - keep - len(failure))
            lines += medians
        return lines
    if state in ("waiting", "preparing", "loading") and lane.last is None:
        keep = len(medians) if kept.earlier and rows >= 4 else 0
        waiting = _wait_lines(lane, look, width, rows - keep)
        if keep:
            lines += [*waiting, *[()] * (rows - keep - len(waiting)), *medians]
            return lines
        return lines + waiting
    large = rows + 3 >= BIG_FROM
    # Where nothing was measured yet, an error has the place of the figures.
    room = 3 if large else 1
    value = _value_lines(lane, look, width, large, room if medians else max(room, rows - 2))
    lines += value
    rows -= len(value)
    if rows >= 4:
        lines.append((_activity(lane, look, width),))
        rows -= 1
    elif progress_of(lane, look) is not None and not large:
        lines[-1] = (_activity(lane, look, width),)
    rest = medians[: max(0, rows)]
    rows -= len(rest)
    server = _server_lines(lane, width, rows)
    plot = rows - len(server)
    if plot >= 2:
        spread = kept.summary.spread(look.metric)
        figures = kept.figures(lane)
        role: Role = "dim" if kept.earlier else look.role
        median = spread.median if spread else None
        slots = max(lane.state.planned, figures.measured)
        if (warmed := _warmed(lane, look)) is not None and not kept.summary.n:
            rest += _warming(warmed, look, width, plot)
        else:
            rest += scatter(figures.points(look.metric), median, width, plot, look.marker, role, slots)
        rows = len(server)
    elif plot > 0:
        rest += [()] * plot
        rows = len(server)
    return lines + rest + server[: max(0, rows)]


def panel(lane: Lane, look: Look, width: int, height: int) -> list[Line]:
    """The panel of `lane` in exactly `width` by `height` cells; at most three rows high it is one line."""
    if height < 4 or width < 12:
        return [row(lane, look, width)]
    name: list[Span] = [
        (f"{look.index + 1} ", "dim"),
        (f"{look.mark} ", look.role),
        (plain(lane.backend.name, 60), "title"),
    ]
    corner: Span = ("hidden", "warn") if look.hidden else (plain(lane.backend.language, 12), "dim")
    compared = attempt_note(lane, look.metric)
    refused = f"refused {lane.refused} x" if lane.refused else ""
    remarks: list[Span] = [(compared, "accent"), (refused, "warn"), (plain(lane.state.note, 120), "dim")]
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
        _body(lane, look, width - 4, height - 2),
        width,
        height,
        left=name,
        right=[corner] if corner[0] else (),
        bottom=bottom,
        focused=look.focused,
    )


def row(lane: Lane, look: Look, width: int) -> Line:
    """The backend on one line: number, shape, name, state, progress, last value, median, speed."""
    state = lane.state.state
    title = plain(lane.backend.name, 60)
    if width < 40:
        last = lane.last
        text = value_text(look.metric, metric_value(last, look.metric)) if last else ""
        sign, role = sign_and_word(lane, look)
        left: list[Span] = [(f"{look.index + 1} ", "dim"), (f"{look.mark} ", look.role), (title, "")]
        value: Span = ("hidden", "warn") if look.hidden else (pad(text, 6, right=True), "strong")
        return spread_out(left, [(f"{sign[0]} ", role), value], width)
    name_width = min(16, max(8, width // 6))
    word, role = sign_and_word(lane, look, short=True)
    head: list[Span] = [
        (">" if look.focused else " ", "focus"),
        (f"{look.index + 1} ", "dim"),
        (f"{look.mark} ", look.role),
        (pad(title, name_width) + " ", "title" if look.focused else ""),
        (word, role),
    ]
    hidden: list[Span] = [(", hidden", "warn")] if look.hidden else []
    if lane.state.failure is not None and state in ("failed", "unreachable", "missing"):
        line: list[Span] = [*head, *hidden]
        line.append((": " + "".join(wrap(plain(lane.state.failure.message), width - width_of(line) - 2, 1)), ""))
        hint = f"; {plain(lane.state.failure.hint)}" if lane.state.failure.hint else ""
        if width_of(line) + len(hint) <= width:
            line.append((hint, "dim"))
        return fit(line, width)
    kept = standing(lane)
    if state in ("waiting", "preparing", "loading") and lane.last is None and not kept.earlier:
        return fit([*head, *hidden, *_wait_spans(lane, look, width - width_of([*head, *hidden]))], width)
    head[-1] = (pad(word, 9) + " ", role)
    count = _finished(lane, look)
    # Where the line has no room for more, the word takes the newest value's place.
    newest: Span = ("  hidden", "warn") if look.hidden and width < 60 else _now(lane, look)
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
    return fit([*head, *tail, *_extras(lane, look, kept, (figure, quiet), width - width_of([*head, *tail]))], width)


def _now(lane: Lane, look: Look) -> Span:
    """The newest value, or the tokens that are arriving, in 15 cells."""
    last = lane.last
    role: Role
    if (progress := progress_of(lane, look)) is not None:
        text, role = f"{progress.tokens} tok {progress.elapsed_s:.1f} s", "accent"
    elif last is not None and last.error is not None:
        text, role = last.error.kind + " error", "bad"
    else:
        value = value_text(look.metric, metric_value(last, look.metric), 8) if last else ""
        text, role = f"{value} {unit(look.metric)}" if last else "", "strong"
    return (" " + pad(text, 14, right=True), role)


def _extras(lane: Lane, look: Look, kept: Standing, speed: Span, room: int) -> list[Span]:
    """What of speed, "hidden" and the attempt fits on the rest of a line; the speed, which is elsewhere, yields."""
    note = attempt_note(lane, look.metric)
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
