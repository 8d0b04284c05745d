"""What a panel and a backend's line show under a load: the turn under way, and the level that counts."""

from __future__ import annotations

from rich.cells import cell_len

from llmtui.model import Tick
from llmtui.runview.backend import BackendView
from llmtui.runview.level_figures import LevelFigures
from llmtui.text.format import DASH, figure, figure_parts, plural
from llmtui.ui.text.format import with_unit
from llmtui.ui.text.spans import Line, Role, Span, clip, justify
from llmtui.ui.views.attempts import shown_attempt
from llmtui.ui.views.backend_state import PanelOptions

#: The 95th percentile is on the line from this room on.
_WIDE_ROOM = 60


def tick_of(backend_view: BackendView, options: PanelOptions) -> Tick | None:
    """Return how far the turn under way is, None without one."""
    return None if options.lost else backend_view.tick


def now_lines(backend_view: BackendView, options: PanelOptions, width: int) -> list[Line]:
    """The turn under way in two lines: its level with the requests under way, and how far it is. Else the newest."""
    tick = tick_of(backend_view, options)
    if tick is not None:
        level = options.levels[tick.level - 1]
        flying = f"{tick.in_flight} in flight"
        short = f"{level.rate:g}/s: {flying}" if level.open else f"{tick.in_flight} of {level.streams} in flight"
        flying = _first([f"{level.title}: {flying}", short, flying], width)
        return [((flying, "accent"),), ((_first(_progress(tick), width), "dim"),)]
    if not backend_view.turns:
        return []
    newest = backend_view.turns[-1]
    title = options.levels[newest.level - 1].title
    which = f"{'warm-up ' if newest.phase == 'warmup' else ''}turn"
    if newest.error is not None:
        return [((_first([f"{which} at {title} failed", f"{which} failed"], width), "bad"),)]
    return [((_first([f"last: round {newest.round}, {title}", f"last: {title}"], width), "dim"),)]


def _progress(tick: Tick) -> list[str]:
    """How far a turn is, from the longest text to the shortest."""
    clock = f"{tick.elapsed_s:.0f} s"
    if tick.share == "settling":
        return [f"settling, {plural(tick.finished, 'answer')}, {clock}", f"settling, {clock}"]
    if tick.share == "tail":
        return [f"last answers of the turn, {clock}", f"last answers, {clock}"]
    failed = f", {tick.failed} failed" if tick.failed else ""
    count = f"{tick.counted}/{tick.requests} requests" if tick.requests else plural(tick.counted, "request")
    return [f"{count}, {clock}{failed}", f"{count}{failed}", count]


def level_lines(backend_view: BackendView, options: PanelOptions, width: int, rows: int) -> list[Line]:
    """The figures of the level that counts in at most `rows` lines, the most important first."""
    if options.level is None or rows < 1:
        return []
    shown = shown_attempt(backend_view)
    figures = backend_view.at_level(options.level.number, shown.attempt)
    if not figures.turns:
        return []
    role: Role = "dim" if shown.earlier else ""
    attempt = f"attempt {shown.attempt}, " if shown.earlier else ""
    head: Line = ((clip(f"{attempt}at {options.level.title}:", width), "dim"),)
    lines: list[Line] = []
    for left, right in _facts(figures):
        if cell_len(left) + cell_len(right) + 1 <= width:
            lines.append(justify([(left, role)], [(right, role)], width))
        else:
            lines += [((clip(text, width), role),) for text in (left, right) if text]
    if figures.unsuccessful:
        lines.insert(1, ((clip(f"{figures.unsuccessful} of {figures.requests} failed", width), "warn"),))
    return [head, *lines][:rows] if rows > 1 else lines[:1]


def _facts(figures: LevelFigures) -> list[tuple[str, str]]:
    """Pairs of facts that share a line if both fit."""
    facts = [(output_text(figures), requests_text(figures))]
    if figures.ttft is not None:
        p95 = f"p95 {figure(figures.ttft.p95, 's')}, " if figures.ttft.p95 is not None else ""
        facts.append((f"TTFT p50 {figure(figures.ttft.p50, 's')}", f"{p95}n {figures.ttft.n}"))
    if figures.tpot is not None:
        facts.append((f"TPOT p50 {figure(figures.tpot.p50, 'ms')}", ""))
    if figures.latency is not None:
        facts.append((f"latency p50 {figure(figures.latency.p50, 's')}", ""))
    return facts


def output_text(figures: LevelFigures) -> str:
    """The output tokens/s of all streams: "257 output tok/s"."""
    text = with_unit("output_tokens_per_s", figures.output_tokens_per_s)
    return f"output {text}" if text != DASH else "output - tok/s"


def requests_text(figures: LevelFigures) -> str:
    """The requests/s: "4.02 req/s"."""
    return with_unit("requests_per_s", figures.requests_per_s).replace("requests/s", "req/s")


def line_spans(backend_view: BackendView, options: PanelOptions, room: int) -> list[Span]:
    """What a backend's line shows of a load in `room` cells: the facts that matter most, in the order of columns."""
    tick, level = tick_of(backend_view, options), options.level
    figures = backend_view.at_level(level.number, shown_attempt(backend_view).attempt) if level is not None else None
    if figures is None or not figures.turns:
        lines = now_lines(backend_view, options, max(0, room - 2))
        return [("  ", ""), *lines[0]] if lines else []
    ttft = figures.ttft
    firsts = [", ".join(filter(None, pair)) for pair in _facts(figures)[1:2] if ttft is not None]
    if ttft is not None:
        firsts += [f"TTFT p50 {figure(ttft.p50, 's')} n {ttft.n}", f"TTFT {figure(ttft.p50, 's')}"]
    text, unit = figure_parts(figures.output_tokens_per_s, "tokens/s")
    output = f"output {text:>5} {unit}"
    flying = f"{tick.in_flight:>3} in flight" if tick is not None else " " * 13
    # By importance, each with its column, and from the longest form to the shortest.
    wanted: list[tuple[int, list[str], Role]] = [
        (1, [output, f"{text} {unit}"], "strong"),
        (2, firsts[1:] if room < _WIDE_ROOM else firsts, ""),
        (0, [flying], "accent"),
        (3, [requests_text(figures)], ""),
        *((4 + n, [left], "") for n, (left, _) in enumerate(_facts(figures)[2:])),
    ]
    chosen: dict[int, Span] = {}
    for place, texts, role in wanted:
        if fitting := next((text for text in texts if cell_len(text) + 2 <= room), ""):
            chosen[place] = (f"  {fitting}", role)
            room -= cell_len(fitting) + 2
    return [chosen[place] for place in sorted(chosen)]


def _first(texts: list[str], width: int) -> str:
    """The first text that fits, or the last one, cut."""
    return next((text for text in texts if cell_len(text) <= width), clip(texts[-1], width))
