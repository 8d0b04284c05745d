"""What the header says of a load: its levels, the length of a turn, the round, and which level runs and is shown."""

from __future__ import annotations

from pathlib import PurePath

from llmtui.model import Level
from llmtui.runview.loads import short_title
from llmtui.runview.origin import length_words
from llmtui.runview.run import RunView
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.ui.levels import running

#: The share of the header that the levels may take, and their most cells.
_LEVELS_SHARE, _LEVELS_MOST = 0.4, 60
_NAME = 24


def levels_text(run_view: RunView, shown: Level | None, width: int) -> str:
    """The levels, with brackets around the one that is shown: "closed loop 1 4 [8]", "closed loop [8] of 16 levels".

    A grid has no brackets: its levels are "closed loop 1 4, 6 lengths".
    """
    plan = run_view.plan
    levels = plan.levels
    whole = short_title(levels, plan.load)
    if plan.load.search or plan.load.cells or len(levels) < 2 or shown is None or levels[0].trace:
        return whole
    numbers = [f"{level.rate:g}" if level.open else str(level.streams) for level in levels]
    marked = " ".join(
        f"[{number}]" if level == shown else number for number, level in zip(numbers, levels, strict=True)
    )
    loop, unit = ("open", "/s") if levels[0].open else ("closed", "")
    whole = f"{loop} loop {marked}{unit}"
    room = min(_LEVELS_MOST, round(width * _LEVELS_SHARE))
    return whole if len(whole) <= room else f"{loop} loop [{shown.short_title}] of {len(levels)} levels"


def round_text(run_view: RunView, planned: int) -> str:
    """The round under way, or the newest one: "round 4/10"; before the first "10 rounds"."""
    views = run_view.backends.values()
    rounds = [view.tick.round for view in views if view.tick is not None and view.tick.phase == "measured"]
    rounds = rounds or [view.turns[-1].round for view in views if view.turns and view.turns[-1].phase == "measured"]
    return f"round {max(rounds)}/{planned}" if rounds else plural(planned, "round")


def length_text(run_view: RunView, shown: Level | None) -> str:
    """The most tokens of an answer: "64 tokens"; in a grid of the `shown` level."""
    plan = run_view.plan
    return length_words(plan, (shown.max_tokens if shown is not None else 0) or plan.config.max_tokens)


def turn_text(run_view: RunView, shown: Level | None) -> str:
    """How long a turn at the shown level is: "40 requests a turn", "20 s a turn"; "" for a trace."""
    load = run_view.plan.load
    if shown is None or shown.trace:
        return ""
    if load.duration_s:
        return f"{load.duration_s:g} s a turn"
    return f"{plural(load.requests_of(shown), 'request')} a turn"


def prompts_text(run_view: RunView) -> str:
    """Where the prompts come from: "prompts chat.jsonl", "mix chat"; "" if all requests have the same one."""
    prompts = run_view.plan.prompts
    if prompts.mix:
        return f"mix {sanitize(prompts.mix, _NAME)}"
    return f"prompts {sanitize(PurePath(prompts.file).name, _NAME)}" if prompts.file else ""


def levels_now(run_view: RunView, shown: Level | None) -> str:
    """Which level runs and which one is shown, of several: "4 streams running, 8 shown"; "" for one level."""
    if shown is None or len(run_view.levels_shown) < 2:
        return ""
    now = running(run_view)
    if now is None:
        return f"{shown.title} shown"
    return f"{now.title} running" + (f", {shown.short_title} shown" if now != shown else " and shown")
