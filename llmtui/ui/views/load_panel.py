"""What a panel and a backend's line show under a load: the turn under way, and the level that is shown."""

from __future__ import annotations

from rich.cells import cell_len

from llmtui.model import Level, Tick
from llmtui.model.turn import Percentiles
from llmtui.runview.backend import BackendView
from llmtui.runview.level_figures import LevelFigures
from llmtui.text.format import DASH, figure, figure_parts, percent_text, plural, scale_of
from llmtui.ui.text.format import with_unit
from llmtui.ui.text.spans import Line, Role, Span, clip, justify, pad, width_of
from llmtui.ui.views.attempts import at_level, shown_attempt
from llmtui.ui.views.backend_state import PanelOptions, is_lost, progress_count, sign_and_word
from llmtui.ui.views.beside import panel_lines
from llmtui.ui.views.power import power_lines
from llmtui.ui.views.turns_spark import turns_spark

#: The cells of the turns on a line, and of a state there.
_SPARK_MOST, _STATE_CELLS = 12, 9


def tick_of(backend_view: BackendView, options: PanelOptions) -> Tick | None:
    """Return how far the turn under way is, None without one."""
    return None if options.lost else backend_view.tick


def load_state(backend_view: BackendView, options: PanelOptions, *, short: bool = False) -> Span:
    """The state in the words of a load: "under load", or "waits its turn"; `short`: the requests in flight, "waits"."""
    state = backend_view.state.state
    tick = tick_of(backend_view, options)
    usual = sign_and_word(backend_view, options, short)
    if options.catching_up or is_lost(backend_view, options) or state not in ("warmup", "running"):
        return usual
    if tick is not None:
        warm = tick.phase == "warmup"
        words = _flying(tick, options.levels[tick.level - 1])[-1] if short else "warming up" if warm else "under load"
        return ("▻ " if warm else "► ") + words, "accent" if warm else "good"
    if usual[1] == "warn" or not backend_view.turns:
        # Paused, or still before its first turn.
        return usual
    return ("· waits" if short else "· waits its turn"), "dim"


def load_state_line(backend_view: BackendView, options: PanelOptions, width: int) -> Line:
    """The state, and the requests in flight; between turns, the rounds that are done."""
    left = load_state(backend_view, options)
    tick = tick_of(backend_view, options)
    if tick is not None:
        flying = _flying(tick, options.levels[tick.level - 1])
        right: Span = (_first(flying, max(0, width - cell_len(left[0]) - 1)), "accent")
    elif backend_view.state.state in ("unreachable", "missing"):
        right = ("", "")
    else:
        right = (progress_count(backend_view, options), "strong")
        if cell_len(left[0]) + cell_len(right[0]) >= width:
            # The line of the turns has it too.
            right = ("", "")
    return justify([left], [right] if right[0] else [], width)


def _flying(tick: Tick, level: Level) -> list[str]:
    """The requests in flight, from the longest text to the shortest."""
    if level.open:
        return [f"{tick.in_flight} in flight", str(tick.in_flight)]
    return [
        f"{tick.in_flight} of {level.streams} in flight",
        f"{tick.in_flight} in flight",
        f"{tick.in_flight}/{level.streams}",
    ]


def now_line(backend_view: BackendView, options: PanelOptions, width: int) -> list[Line]:
    """The turn under way: its level, and how far it is. Else the newest one; nothing before the first."""
    tick = tick_of(backend_view, options)
    if tick is not None:
        level = options.levels[tick.level - 1]
        texts = [f"{name}: {text}" for name in (level.title, level.short_title) for text in _progress(tick)]
        return [((_first([*texts, _progress(tick)[-1]], width), "accent"),)]
    if not backend_view.turns:
        return []
    newest = backend_view.turns[-1]
    title = options.levels[newest.level - 1].title
    which = f"{'warm-up ' if newest.phase == 'warmup' else ''}turn"
    if newest.error is not None:
        return [((_first([f"{which} at {title} failed", f"{which} failed"], width), "bad"),)]
    last = [f"last: round {newest.round}, {title}", f"last: {title}"]
    return [((_first([*last, f"last: {options.levels[newest.level - 1].short_title}"], width), "dim"),)]


def _progress(tick: Tick) -> list[str]:
    """How far a turn is, from the longest text to the shortest."""
    clock = f"{tick.elapsed_s:.0f} s"
    if tick.share == "settling":
        return [f"settling, {plural(tick.finished, 'answer')}, {clock}", f"settling, {clock}"]
    if tick.share == "tail":
        return [f"last answers of the turn, {clock}", f"last answers, {clock}"]
    failed = f", {tick.failed} failed" if tick.failed else ""
    count = f"{tick.counted}/{tick.requests} requests" if tick.requests else plural(tick.counted, "request")
    least = f"{tick.counted}/{tick.requests}" if tick.requests else count
    return [f"{count}, {clock}{failed}", f"{count}{failed}", count, least]


def level_lines(backend_view: BackendView, options: PanelOptions, width: int, rows: int) -> list[Line]:
    """The figures of the level that is shown in at most `rows` lines, the most important first."""
    level = options.level
    if level is None or rows < 1:
        return []
    shown = shown_attempt(at_level(backend_view, level))
    figures = backend_view.at_level(level.number, shown.attempt)
    if not figures.turns:
        if not backend_view.turns or len(options.levels) < 2:
            return []
        waits = _first([f"no turn at {level.title} yet", f"no turn at {level.short_title} yet"], width)
        known: list[Line] = [((waits, "dim"),)]
        return [*known, ((clip(options.found, width), "accent"),)][:rows] if options.found else known
    role: Role = "dim" if shown.earlier else ""
    attempt = f"attempt {shown.attempt}: " if shown.earlier else ""
    speed = with_unit("output_tokens_per_s", figures.output_tokens_per_s)
    speed = speed if speed != DASH else "- tok/s"
    at = [f"{attempt}output {speed} at {level.title}", f"{attempt}{speed} at {level.title}"]
    at.append(f"{attempt}{speed} at {level.short_title}")
    at += [f"#{shown.attempt}: {speed} at {level.short_title}"] if shown.earlier else []
    requests = requests_text(figures)
    lines: list[Line] = []
    if both := [text for text in at if cell_len(text) + cell_len(requests) + 1 <= width]:
        lines.append(justify([(both[0], role or "strong")], [(requests, role)], width))
    else:
        # The title of the screen has the level too.
        speeds = at if shown.earlier else [*at, speed]
        lines += [((_first(speeds, width), role or "strong"),), ((clip(requests, width), role),)]
    if figures.unsuccessful:
        lines.append(((clip(f"{figures.unsuccessful} of {figures.requests} failed", width), "warn"),))
    for left, right in _facts(figures):
        if cell_len(left) + cell_len(right) + 1 <= width:
            lines.append(justify([(left, role)], [(right, role)], width))
        else:
            lines += [((clip(text, width), role),) for text in (left, right) if text]
    kept = [f"{text} kept the objectives" for text in kept_text(figures)]
    more: list[Line] = [((_first([*kept, *kept_text(figures)], width), role),)] if kept else []
    more += [((clip(options.found, width), "accent"),)] if options.found else []
    # After the rates and the TTFT, but before what the table has too.
    first = len(lines) - sum(len(pair) > 0 for pair in _facts(figures)[1:])
    more += power_lines(shown.summary, width, role)
    beside = [tuple((text, role or its) for text, its in line) for line in panel_lines(figures, width)]
    more += beside[: max(0, rows - first - len(more))]
    place = min(len(lines), max(1, rows - len(more)), first)
    lines[place:place] = more
    return lines[:rows]


def spark_line(backend_view: BackendView, options: PanelOptions, width: int) -> Line:
    """The turns at the level that is shown, and how many rounds are done."""
    count = progress_count(backend_view, options)
    word = "turns "
    spark = spark_spans(backend_view, options, width - len(word) - len(count) - 1)
    return justify([(word, "dim"), *spark], [(count, "strong")] if count else [], width) if spark else ()


def spark_spans(backend_view: BackendView, options: PanelOptions, width: int) -> list[Span]:
    """The turns at the level that is shown as bars, in at most `width` cells."""
    here = at_level(backend_view, options.level)
    shown = shown_attempt(here)
    figures = shown.figures(here)
    tick = tick_of(backend_view, options)
    level = options.level
    running = tick is not None and tick.phase == "measured" and level is not None and tick.level == level.number
    role: Role = "dim" if shown.earlier else options.role
    points = figures.points(options.metric)
    planned = backend_view.state.planned
    return turns_spark(points, figures.measured, planned, width, role, running) if figures.measured else []


def _facts(figures: LevelFigures) -> list[tuple[str, str]]:
    """Pairs of facts that share a line if both fit."""
    facts = []
    if figures.ttft is not None:
        p95 = f"p95 {figure(figures.ttft.p95, 's')}, " if figures.ttft.p95 is not None else ""
        facts.append((f"TTFT p50 {figure(figures.ttft.p50, 's')}", f"{p95}n {figures.ttft.n}"))
    if figures.tpot is not None:
        facts.append((f"TPOT p50 {figure(figures.tpot.p50, 'ms')}", ""))
    if figures.latency is not None:
        facts.append((f"latency p50 {figure(figures.latency.p50, 's')}", ""))
    return facts


def kept_text(figures: LevelFigures) -> list[str]:
    """The share of the requests that kept all objectives: ["94%"]; empty without objectives."""
    share = figures.attainment
    return [] if share is None else ["100%" if share == 1 else percent_text(min(share, 0.99)) if share else "0%"]


def requests_text(figures: LevelFigures) -> str:
    """The requests/s: "4.02 req/s"."""
    return with_unit("requests_per_s", figures.requests_per_s).replace("requests/s", "req/s")


def line_spans(backend_view: BackendView, options: PanelOptions, room: int) -> list[Span]:
    """What a backend's line shows of a load in `room` cells: the facts that matter most, in the order of columns."""
    level = options.level
    figures = None
    if level is not None:
        figures = backend_view.at_level(level.number, shown_attempt(at_level(backend_view, level)).attempt)
    if level is None or figures is None or not figures.turns:
        lines = now_line(backend_view, options, max(0, room - 2))
        return [("  ", ""), *lines[0]] if lines else []
    text, unit = figure_parts(figures.output_tokens_per_s, "tokens/s")
    slots = backend_view.state.slots
    few = f"{plural(slots, 'slot')}" if slots and slots < level.slots else ""
    count = progress_count(backend_view, options)
    # By importance, each with its column, and from the longest form to the shortest.
    wanted: list[tuple[int, list[str], Role]] = [
        (1, [f"{text:>5} {unit}", f"{text} {unit}"], "strong"),
        (3, _firsts(figures.ttft), ""),
        (4, [share.rjust(4) for share in kept_text(figures)], ""),
        (7, [few], "warn"),
    ]
    later: list[tuple[int, list[str], Role]] = [
        (0, [pad(count, max(5, len(count)), right=True)], ""),
        (2, [f"{requests_text(figures):>11}"], ""),
        *((5 + n, [left], "") for n, (left, _) in enumerate(_facts(figures)[1:3])),
    ]
    chosen: dict[int, list[Span]] = {}

    def choose(these: list[tuple[int, list[str], Role]], room: int) -> int:
        for place, texts, role in these:
            if fitting := next((text for text in texts if text and cell_len(text) + 2 <= room), ""):
                chosen[place] = [(f"  {fitting}", role)]
                room -= cell_len(fitting) + 2
        return room

    room = choose(wanted, room)
    spark = spark_spans(backend_view, options, min(room - 2, _SPARK_MOST))
    if spark:
        chosen[8] = [("  ", ""), *spark]
        room -= 2 + width_of(spark)
    choose(later, room)
    return [span for place in sorted(chosen) for span in chosen[place]]


def _firsts(ttft: Percentiles | None) -> list[str]:
    """The TTFT with its p95 and its n, from the longest text to the shortest, each in a column of one width."""
    if ttft is None:
        return []
    both = [ttft.p50, *([ttft.p95] if ttft.p95 is not None else [])]
    scale = scale_of(both, "s")
    figures = "/".join(scale.text(value).removeprefix("0") for value in both)
    return [f"TTFT {figures} {scale.unit} n {ttft.n}".ljust(23), f"TTFT {figures} n {ttft.n}"]


def _first(texts: list[str], width: int) -> str:
    """The first text that fits, or the last one, cut."""
    return next((text for text in texts if cell_len(text) <= width), clip(texts[-1], width))
