"""One backend's panel as lines: framed at any height from four rows on, or one line. Pure."""

from __future__ import annotations

import dataclasses

from llmtui.engine.board import Lane
from llmtui.plain import plain
from llmtui.stats.summary import METRIC_TITLES, Metric, Summary, metric_value
from llmtui.ui.lines import SERIES, Line, Role, Span, bar, box, clip, fit, pad, spread_out, wrap
from llmtui.ui.minis import big, scatter
from llmtui.ui.options import Marker
from llmtui.ui.words import (
    STATE_ROLES,
    STATE_SIGNS,
    clock,
    cores,
    memory,
    number,
    percent,
    plural,
    shape,
    state_word,
    unit,
    value_text,
)

#: Below this height (frame included) the last value is one row instead of three.
BIG_FROM = 13


@dataclasses.dataclass(frozen=True)
class Look:
    """How the monitor shows a backend now: its place in the plan and what the user chose."""

    index: int
    metric: Metric = "latency"
    marker: Marker = "braille"
    focused: bool = False
    hidden: bool = False
    waited_s: float = 0.0

    @property
    def role(self) -> Role:
        """The backend's colour."""
        return SERIES[self.index % len(SERIES)]


def attempt_note(lane: Lane, metric: Metric) -> str:
    """How the current attempt compares with the one before: "attempt 2: -3.1 %"; empty on the first."""
    attempt = lane.state.attempt
    if attempt < 2:
        return ""
    now = lane.summary.spread(metric)
    then = lane.previous.spread(metric) if lane.previous else None
    change = percent(now.median, then.median) if now and then else ""
    return f"attempt {attempt}: {change}" if change else f"attempt {attempt}"


def attempt_sentence(lane: Lane, metric: Metric) -> str:
    """The same in full: "attempt 2, median 0.921 s, -3.1 % to attempt 1"; empty on the first attempt."""
    now = lane.summary.spread(metric)
    then = lane.previous.spread(metric) if lane.previous else None
    if lane.state.attempt < 2 or now is None or then is None:
        return ""
    earlier = max((i.attempt for i in lane.iterations if i.attempt < lane.state.attempt), default=1)
    return (
        f"attempt {lane.state.attempt}, median {value_text(metric, now.median)} {unit(metric)}, "
        f"{percent(now.median, then.median)} to attempt {earlier}"
    )


def _finished(lane: Lane) -> str:
    return f"{len(lane.measured)}/{lane.state.planned}" if lane.state.planned else ""


def _state_line(lane: Lane, look: Look, width: int) -> Line:
    state = lane.state.state
    word = f"{STATE_SIGNS[state]} {state_word(state)}"
    right: list[Span] = []
    if look.hidden:
        right.append(("hidden " if width >= 26 else "", "dim"))
    if state not in ("unreachable", "missing"):
        right.append((_finished(lane), "strong"))
    return spread_out([(word, STATE_ROLES[state])], right, width)


def _activity(lane: Lane, look: Look, width: int) -> Span:
    """What the big number is, or what is happening at this moment."""
    if (progress := lane.progress) is not None:
        return (f"{plural(progress.tokens, 'token')}, {progress.elapsed_s:.1f} s", "accent")
    if note := attempt_note(lane, look.metric):
        return (note, "accent")
    last = lane.last
    if last is None:
        return ("", "")
    which = "warm-up" if last.phase == "warmup" else "iteration"
    full = f"{METRIC_TITLES[look.metric]}, {which} {last.iteration}"
    return (full if len(full) <= width else f"{which} {last.iteration}", "dim")


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


def _wait_lines(lane: Lane, look: Look, width: int, rows: int) -> list[Line]:
    doing = plain(lane.state.doing) or ("starting the server" if lane.state.state == "loading" else "")
    lines: list[Line] = [((text, ""),) for text in wrap(doing, width, max(1, rows - 2))]
    if lane.state.progress is not None:
        share = f"{lane.state.progress * 100:3.0f} %"
        lines.append((*bar(lane.state.progress, width - len(share) - 1), (" " + share, "strong")))
    elif lane.state.state != "waiting" and look.waited_s >= 1:
        lines.append(((clock(look.waited_s), "dim"),))
    return lines


def _pair(left: str, right: str, width: int) -> Line:
    """Two facts on a line, the second at the right edge; the first alone where both do not fit."""
    if len(left) + len(right) + 1 > width:
        return ((clip(left, width), ""),)
    return spread_out([(left, "")], [(right, "")], width)


def _median_line(lane: Lane, look: Look, width: int) -> Line:
    spread = lane.summary.spread(look.metric)
    if spread is None:
        return ()
    text = f"median {value_text(look.metric, spread.median)}"
    around = f"±{value_text(look.metric, spread.stddev)}" if spread.stddev is not None else ""
    if len(text) + len(around) + 1 > width:
        text = text.replace("median", "med.")
    return _pair(text, around, width)


def _speed_line(lane: Lane, look: Look, width: int) -> Line:
    summary: Summary = lane.summary
    if not summary.n:
        return ()
    ttft = summary.ttft.median if summary.ttft else None
    speed = summary.tokens_per_s.median if summary.tokens_per_s else None
    left = f"TTFT {number(ttft)}"
    right = f"{number(speed, 1)} tok/s"
    if len(left) + len(right) + 1 > width:
        right = right.replace("tok/s", "t/s")
    return _pair(left, right, width)


def _server_lines(lane: Lane, width: int) -> list[Line]:
    load = f"load {lane.state.load_s:.1f} s" if lane.state.load_s is not None else ""
    weights = plain(lane.weights, 40)
    first = _pair(weights, load, width) if weights else ((load, ""),)
    second = _pair(memory(lane.rss_bytes), cores(lane.cpu_cores), width)
    return [tuple((text, "dim") for text, _ in line) for line in (first, second)]


def _value_lines(lane: Lane, look: Look, width: int, large: bool) -> list[Line]:
    last = lane.last
    if last is not None and last.error is not None:
        lines: list[Line] = [((text, "bad"),) for text in wrap(plain(last.error.message), width, 3 if large else 1)]
        blank: list[Line] = [()] * ((3 if large else 1) - len(lines))
        return lines + blank
    value = value_text(look.metric, metric_value(last, look.metric)) if last else ""
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
    lines: list[Line] = [_state_line(lane, look, width)]
    rows -= 1
    if state in ("failed", "unreachable", "missing"):
        keep = 2 if lane.summary.n and rows >= 5 else 0
        failure = _failure_lines(lane, width, rows - keep)
        lines += failure
        if keep:
            lines += [()] * (rows - keep - len(failure))
            lines += [_median_line(lane, look, width), _speed_line(lane, look, width)]
        return lines
    if state in ("waiting", "preparing", "loading") and not lane.current:
        return lines + _wait_lines(lane, look, width, rows)
    large = rows + 3 >= BIG_FROM
    lines += _value_lines(lane, look, width, large)
    rows -= 3 if large else 1
    if rows >= 4:
        lines.append((_activity(lane, look, width),))
        rows -= 1
    elif lane.progress is not None and not large:
        lines[-1] = (_activity(lane, look, width),)
    rest: list[Line] = [_median_line(lane, look, width), _speed_line(lane, look, width)][: max(0, rows)]
    rows -= len(rest)
    server = _server_lines(lane, width)
    plot = rows - len(server)
    if plot >= 2:
        spread = lane.summary.spread(look.metric)
        values = [metric_value(i, look.metric) for i in lane.measured]
        rest += scatter(
            values, spread.median if spread else None, width, plot, look.marker, look.role, lane.state.planned
        )
        rows = len(server)
    return lines + rest + server[: max(0, rows)]


def panel(lane: Lane, look: Look, width: int, height: int) -> list[Line]:
    """The panel of `lane` in exactly `width` by `height` cells; at most three rows high it is one line."""
    if height < 4 or width < 12:
        return [row(lane, look, width)]
    mark = "·" if look.hidden else shape(look.index, look.marker == "ascii")
    name: list[Span] = [(f"{look.index + 1} ", "dim"), (f"{mark} ", look.role), (plain(lane.backend.name, 60), "title")]
    note = plain(lane.state.note, 120)
    return box(
        _body(lane, look, width - 4, height - 2),
        width,
        height,
        left=name,
        right=[(plain(lane.backend.language, 12), "dim")] if lane.backend.language else (),
        bottom=[(note, "dim")] if note else (),
        focused=look.focused,
    )


def row(lane: Lane, look: Look, width: int) -> Line:
    """The backend on one line: number, shape, name, state, progress, last value, median, speed."""
    state = lane.state.state
    mark = "·" if look.hidden else shape(look.index, look.marker == "ascii")
    if width < 40:
        last = lane.last
        text = value_text(look.metric, metric_value(last, look.metric)) if last else ""
        sign = STATE_SIGNS[state]
        left: list[Span] = [(f"{look.index + 1} ", "dim"), (f"{mark} ", look.role), (plain(lane.backend.name, 60), "")]
        return spread_out(left, [(f"{sign} ", STATE_ROLES[state]), (pad(text, 6, right=True), "strong")], width)
    name_width = min(16, max(8, width // 6))
    head: list[Span] = [
        (">" if look.focused else " ", "focus"),
        (f"{look.index + 1} ", "dim"),
        (f"{mark} ", look.role),
        (pad(plain(lane.backend.name, 60), name_width) + " ", "title" if look.focused else ""),
        (f"{STATE_SIGNS[state]} {state_word(state)}", STATE_ROLES[state]),
    ]
    if lane.state.failure is not None and state in ("failed", "unreachable", "missing"):
        failure = lane.state.failure
        words = plain(failure.hint or failure.message)
        return fit([*head, (f": {words}", "")], width)
    if state in ("waiting", "preparing", "loading") and not lane.current:
        doing = plain(lane.state.doing)
        share = f" {lane.state.progress * 100:.0f} %" if lane.state.progress is not None else ""
        waited = f" {clock(look.waited_s)}" if not share and state != "waiting" and look.waited_s >= 1 else ""
        return fit([*head, (f" {doing}{share or waited}", "dim")], width)
    head[-1] = (pad(f"{STATE_SIGNS[state]} {state_word(state)}", 9) + " ", STATE_ROLES[state])
    last = lane.last
    spread = lane.summary.spread(look.metric)
    speed = lane.summary.tokens_per_s
    value: Span
    if lane.progress is not None:
        value = (pad(f"{lane.progress.tokens} tok {lane.progress.elapsed_s:.1f} s", 13, right=True), "accent")
    elif last is not None and last.error is not None:
        value = (pad(last.error.kind + " error", 13, right=True), "bad")
    else:
        text = f"{value_text(look.metric, metric_value(last, look.metric))} {unit(look.metric)}" if last else ""
        value = (pad(text, 13, right=True), "strong")
    tail: list[Span] = [(pad(_finished(lane), 7, right=True), ""), value]
    if spread is not None:
        tail.append((f"  median {value_text(look.metric, spread.median):>6}", ""))
    if speed is not None and look.metric != "tokens_per_s":
        tail.append((f"{number(speed.median, 1):>7} tok/s", ""))
    if note := attempt_note(lane, look.metric):
        tail.append((f"  {note}", "accent"))
    return fit([*head, *tail], width)
