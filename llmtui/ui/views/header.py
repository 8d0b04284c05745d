"""The first lines of the screen: what is run, how far it is, how long it still takes."""

from __future__ import annotations

from typing import Literal

from llmtui.model import FAILED, Level
from llmtui.runview.origin import length_words
from llmtui.runview.run import RunView
from llmtui.text import sanitize
from llmtui.text.format import milliseconds, plural
from llmtui.text.model_names import model_family, without_folder
from llmtui.ui.layout import (
    HEADER_ABOUT_WIDTH,
    HEADER_ERROR_WIDTH,
    HEADER_FACTS_WIDTH,
    HEADER_MODEL_WIDTH,
    LEAST_HEIGHT,
    LEAST_WIDTH,
    NARROW,
)
from llmtui.ui.situation import Phase
from llmtui.ui.text.format import clock
from llmtui.ui.text.spans import Line, Role, Span, justify, progress_bar, width_of, wrap
from llmtui.ui.views.catching_up import CATCHING_UP
from llmtui.ui.views.load_header import length_text, levels_now, levels_text, prompts_text, round_text, turn_text
from llmtui.ui.views.time_left import TimeLeft

#: What the header says: the phase of the run, that the monitor is behind it, or that no run was started yet.
HeaderPhase = Phase | Literal["catching up", "choosing"]

_PHASES: dict[HeaderPhase, tuple[str, Role]] = {
    "catching up": (CATCHING_UP, "accent"),
    "choosing": ("choose a race", "accent"),
    "connecting": ("starting the engine", "accent"),
    "starting": ("starting", "accent"),
    "running": ("running", "good"),
    "paused": ("paused", "warn"),
    "done": ("done", "good"),
    "stopping": ("stopping", "warn"),
    "down": ("line down", "warn"),
    "gone": ("engine gone", "bad"),
    "stopped": ("stopped", "warn"),
    "died": ("died", "bad"),
}
_PHASE_SIGNS: dict[HeaderPhase, str] = {
    "catching up": "…",
    "choosing": "►",
    "connecting": "…",
    "starting": "…",
    "running": "►",
    "paused": "□",
    "done": "✓",
    "stopping": "□",
    "down": "…",
    "gone": "✗",
    "stopped": "□",
    "died": "✗",
}


def model_name(run_view: RunView) -> str:
    """Return the model under test, or how many different ones there are."""
    backend_views = list(run_view.backends.values())
    # The model of a backend that is not there does not matter for this run.
    present = [
        backend_view for backend_view in backend_views if backend_view.state.state not in FAILED
    ] or backend_views
    # The same model may have another name on each server: the shortest one is the plainest.
    names = sorted({sanitize(without_folder(view.model), 60) for view in present if view.model}, key=len)
    families = {model_family(name) for name in names}
    return names[0] if len(families) == 1 else f"{len(families)} models" if families else ""


def count_failed(run_view: RunView) -> int:
    """Return how many backends have failed or are not there."""
    return sum(backend_view.state.state in FAILED for backend_view in run_view.backends.values())


def too_small(width: int, height: int) -> list[Line]:
    """Say that the terminal is too small, in as many words as fit."""
    texts = (f"too small for llmtui: make it {LEAST_WIDTH}x{LEAST_HEIGHT} or larger", "too small")
    wrapped = [wrap(text, width, height) for text in texts]
    chosen = next((lines for lines in wrapped if lines and not lines[-1].endswith("…")), wrapped[-1])
    return [((text, "warn"),) for text in chosen]


def header_lines(
    run_view: RunView,
    phase: HeaderPhase,
    elapsed_s: float,
    left: TimeLeft | None,
    width: int,
    rows: int,
    own_error_s: float | None = None,
    failed: int = 0,
    behind: int | None = None,
    origin: tuple[str, ...] = (),
    level: Level | None = None,
) -> list[Line]:
    """Draw the header in `rows` (1 or 2) rows: what is run, progress, remaining time, and llmtui's own error.

    `failed` counts the failed backends, for screens that may not show them otherwise. `behind` counts the iterations
    since the screen was put on hold, None if it is live. `origin` says which run of the history this is, and `level` is
    the one of a load that is shown.
    """
    word, role = _PHASES[phase]
    sign = _PHASE_SIGNS[phase]
    if failed and width < NARROW:
        short: list[Span] = [(sign if elapsed_s >= 1 else f"{sign} {word}", role)]
        if behind is not None:
            short.append((f" {behind} behind", "warn"))
        elif elapsed_s >= 1:
            short.append((f" {clock(elapsed_s)}", "strong"))
        return [justify([(f" {failed} failed", "bad")], short, width)]
    right: list[Span] = [(f"{sign} {word}", role)]
    if elapsed_s >= 1 or phase in ("done", "stopped", "died"):
        right.append((f" {clock(elapsed_s)}", "strong"))
    if behind is not None:
        right.append((f", held, {behind} behind" if width >= NARROW else f", {behind} behind", "warn"))
    elif left is not None and phase == "running":
        right.append((f", {left.words(elapsed_s, width >= HEADER_ABOUT_WIDTH)}", "dim"))
    right.append((" ", ""))
    config = run_view.plan.config
    iterations = max([config.iterations, *(backend_view.state.planned for backend_view in run_view.backends.values())])
    start: list[Span] = [(" llmtui", "title")]
    if failed:
        start.append((f"  {failed} failed", "bad"))
    # In order of importance: a fact that does not fit is left out as a whole.
    launches = f"{config.launches}x" if config.launches > 1 else ""
    counts = f"{plural(iterations, 'iteration')} + {launches}{plural(config.warmup, 'warm-up')}"
    if run_view.plan.imported is not None:
        counts = plural(iterations, "iteration")
    if levels := run_view.plan.levels:
        counts = round_text(run_view, iterations)
    length = length_words(run_view.plan, config.max_tokens)
    facts = [
        length,
        counts,
        *([f"{config.launches} launches"] if launches else []),
        config.order,
    ]
    if (model := model_name(run_view)) and width >= HEADER_MODEL_WIDTH:
        facts.insert(0, model)
    if levels:
        facts.remove(counts)
        facts[facts.index(length)] = length_text(run_view, level)
        about = [levels_text(run_view, level, width), counts, turn_text(run_view, level), prompts_text(run_view)]
        facts[:0] = [fact for fact in about if fact]
    elif width < HEADER_FACTS_WIDTH:
        facts[facts.index(counts)] = f"{iterations}+{launches}{config.warmup}"
    facts[:0] = origin
    room = width - width_of(right) - 1
    for fact in facts:
        if width_of(start) + len(fact) + 2 <= room:
            start.append((f"  {fact}", ""))
    lines = [justify(start, right, width)]
    if rows > 1:
        run = run_view.run
        count = f" {run.finished}/{run.total}" if run.total else ""
        if own_error_s is not None and width >= HEADER_ERROR_WIDTH:
            count += f"  own error: p95 {milliseconds(own_error_s)} ms"
        if width >= HEADER_ERROR_WIDTH and (now := levels_now(run_view, level)):
            count = f"  {now}{count}"
        done = run.finished / run.total if run.total else 0.0
        lines.append(((" ", ""), *progress_bar(done, width - 2 - len(count)), (count + " ", "dim")))
    return lines
