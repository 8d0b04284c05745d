"""The parts of a backend's panel: state, newest value, wait, figures, server."""

from __future__ import annotations

from rich.cells import cell_len

from llmtui.runview.backend import BackendView
from llmtui.runview.launches import load_words
from llmtui.stats.metrics import METRICS
from llmtui.text import sanitize
from llmtui.text.format import DASH, figure, plural, plus_minus
from llmtui.ui.charts.sparkline import large_digits
from llmtui.ui.text.format import cores, memory, parts_of
from llmtui.ui.text.spans import Line, Span, clip, fit, justify, progress_bar, wrap
from llmtui.ui.views.attempts import ShownAttempt, shown_attempt
from llmtui.ui.views.backend_state import PanelOptions, more_facts, progress_count, progress_of, sign_and_word, wait_of

#: The column of the names in the lines of backends.
_INDENT = 5


def state_line(backend_view: BackendView, options: PanelOptions, width: int) -> Line:
    """The state, and how many iterations are done."""
    right: list[Span] = []
    if backend_view.state.state not in ("unreachable", "missing"):
        right.append((progress_count(backend_view, options), "strong"))
    return justify([sign_and_word(backend_view, options)], right, width)


def activity(backend_view: BackendView, options: PanelOptions, width: int) -> Span:
    """What the large number is, or what is happening now."""
    if (progress := progress_of(backend_view, options)) is not None:
        return (f"{plural(progress.tokens, 'token')}, {progress.elapsed_s:.1f} s", "accent")
    last = backend_view.last
    if last is None:
        return ("", "")
    which = f"{'warm-up' if last.phase == 'warmup' else 'iteration'} {last.iteration}"
    if last.error is not None:
        return (f"{which} failed" if len(which) + 7 <= width else "failed", "dim")
    if last.loaded:
        texts = (f"{which} loaded the model: {figure(last.server_load_s, 's')}", f"{which} loaded the model")
        return (next((text for text in texts if len(text) <= width), "loaded the model"), "warn")
    full = f"{METRICS[options.metric].title}, {which}"
    return (full if len(full) <= width else which, "dim")


def failure_lines(backend_view: BackendView, width: int, rows: int) -> list[Line]:
    """The failure and its hint in at most `rows` rows."""
    failure = backend_view.state.failure
    if failure is None:
        return []
    # The hint says what to do: it gets its rows before the message takes all.
    hint = wrap(sanitize(failure.hint), width, max(1, rows // 2)) if failure.hint else []
    message = wrap(sanitize(failure.message), width, max(1, rows - len(hint) - (1 if rows > 5 else 0)))
    lines: list[Line] = [((text, "warn"),) for text in message]
    if hint and len(message) + len(hint) + 1 < rows:
        lines.append(())
    lines += [((text, ""),) for text in hint]
    return lines


def facts_below(backend_view: BackendView, options: PanelOptions, width: int, rows: int) -> list[Line]:
    """What follows a backend's line in `rows` rows: how to mend its failure, or its other facts."""
    if backend_view.state.failure is not None:
        texts = wrap(sanitize(backend_view.state.failure.hint), width - _INDENT, rows)
    else:
        texts = [""]
        for fact in more_facts(backend_view, options, shown_attempt(backend_view)):
            joined = f"{texts[-1]}   {fact}" if texts[-1] else fact
            if cell_len(joined) <= width - _INDENT:
                texts[-1] = joined
            else:
                texts.append(fact)
    lines: list[Line] = [fit([(" " * _INDENT + text, "dim")], width) for text in texts[:rows]]
    return lines + [((" " * width, ""),)] * (rows - len(lines))


def wait_lines(backend_view: BackendView, options: PanelOptions, width: int, rows: int) -> list[Line]:
    """What the backend waits for, how far it is, and the clock."""
    doing = sanitize(backend_view.state.doing) or (
        "starting the server" if backend_view.state.state == "loading" else ""
    )
    if options.lost or backend_view.state.state == "waiting":
        return [((text, ""),) for text in wrap(doing, width, rows)]
    share, clocks = wait_of(backend_view, options)
    below: list[Line] = []
    if share is not None:
        percent = f" {share * 100:3.0f}%"
        below.append((*progress_bar(share, width - len(percent)), (percent, "strong")))
    if clocks:
        below.append(((next((t for t in clocks if len(t) <= width), ""), "dim"),))
    below = below[: max(0, rows - 1)]
    return [*(((text, ""),) for text in wrap(doing, width, max(1, rows - len(below)))), *below]


def warmup_lines(warmed: int, options: PanelOptions, width: int, rows: int) -> list[Line]:
    """How many warm-ups are left, in the place of the plot, which has no point yet."""
    words: Line = ((clip(f"warming up, {options.warmups - warmed} to go", width), "dim"),)
    lines: list[Line] = [words, progress_bar(warmed / options.warmups, width)]
    return ([()] * (rows - 2) + lines)[-rows:]


def _pair(left: str, right: str, width: int) -> Line:
    """Two facts on a line, the second at the right edge; the first alone if both do not fit."""
    if len(left) + len(right) + 1 > width:
        return ((clip(left, width), ""),)
    return justify([(left, "")], [(right, "")], width)


def median_line(backend_view: BackendView, shown: ShownAttempt, options: PanelOptions, width: int) -> Line:
    """The median and how sure it is (half the width of its interval), with the attempt if it is an earlier one."""
    spread = shown.summary.spread(options.metric)
    if spread is None:
        return ()
    median, unit = parts_of(options.metric, spread.median)
    sure = plus_minus(shown.uncertainty(backend_view, options.metric), unit)
    words = ("median", "med.", "med")
    if shown.earlier:
        words = (f"attempt {shown.attempt}: median", f"attempt {shown.attempt}:", f"#{shown.attempt}")
    texts = [f"{word} {median} {unit}" for word in words]
    text = next((text for text in texts if len(text) <= width), texts[-1])
    if not shown.earlier:
        # A shorter word leaves room for the interval.
        text = next((text for text in texts if len(text) + len(sure) + 1 <= width), text)
    return _dim(_pair(text, sure, width)) if shown.earlier else _pair(text, sure, width)


#: In place of TTFT and tokens/s, the longest one that fits.
_IN_ONE_PIECE = ("not streamed: it came in one piece", "not streamed", "whole")


def speed_lines(shown: ShownAttempt, width: int, tall: bool, hidden: bool = False) -> list[Line]:
    """TTFT and tokens/s: on one line if both fit, else on two if the panel is `tall`.

    `hidden`: the server counts tokens that it does not send, so tokens/s is unknown.
    """
    summary = shown.summary
    if summary.n and summary.ttft is None and summary.tokens_per_s is None and summary.itl is None:
        return [((next((words for words in _IN_ONE_PIECE if len(words) <= width), ""), "warn"),)]
    ttft = summary.ttft.median if summary.ttft else None
    speed = summary.tokens_per_s.median if summary.tokens_per_s else None
    left = f"TTFT {figure(ttft, 's')}"
    right = figure(speed, "tokens/s") if speed is not None or not hidden else "hidden tokens"
    right = right if right != DASH else "- tok/s"
    short = right.replace("tok/s", "t/s").removesuffix(" tokens")
    # In a narrow panel, the unit of the time comes right after its figure.
    close = left.replace(" ms", "ms").replace(" s", "s")
    for one, two in ((left, right), (left, short), (close, short)):
        if len(one) + len(two) + 1 <= width:
            left, right = one, two
            break
    apart = tall and len(left) + len(right) + 1 > width
    lines = [_pair(left, "", width), _pair(right, "", width)] if apart else [_pair(left, right, width)]
    return [_dim(line) for line in lines] if shown.earlier else lines


def _dim(line: Line) -> Line:
    return tuple((text, "dim") for text, _ in line)


def server_lines(backend_view: BackendView, width: int, rows: int) -> list[Line]:
    """Weights, load time, memory and CPU of the server."""
    weights = sanitize(backend_view.weights, 40)
    loads = load_words(backend_view.state) or [""]
    load = next((text for text in loads if len(weights) + len(text) + 1 <= width), loads[-1])
    if rows == 1:
        # The weights are in the table too.
        facts = [fact for fact in (loads[-1], memory(backend_view.rss_bytes), cores(backend_view.cpu_cores)) if fact]
        texts = [apart.join(facts[:n]) for n in (3, 2, 1) for apart in (", ", " ")]
        return [((next((text for text in texts if len(text) <= width), ""), "dim"),)]
    first = _pair(weights, load, width) if weights else ((load, ""),)
    second = _pair(memory(backend_view.rss_bytes), cores(backend_view.cpu_cores), width)
    return [_dim(first), _dim(second)]


def value_lines(backend_view: BackendView, options: PanelOptions, width: int, large: bool, rows: int) -> list[Line]:
    """The newest value, or its error in at most `rows` rows."""
    last = backend_view.last
    if last is not None and last.error is not None:
        lines: list[Line] = [((text, "bad"),) for text in wrap(sanitize(last.error.message), width, rows)]
        blank: list[Line] = [()] * ((3 if large else 1) - len(lines))
        return lines + blank
    value, unit = parts_of(options.metric, METRICS[options.metric].value(last)) if last else ("", "s")
    if large:
        if not value:
            return [(), (), ()]
        drawn = large_digits(value, unit, width, options.role) if options.marker != "ascii" else None
        if drawn is not None:
            return drawn
        return [(), ((value, options.role), (f" {unit}", "dim")), ()]
    return [((value, "strong"), (f" {unit}", "dim"))] if value else [()]
