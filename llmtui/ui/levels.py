"""Which level of a load the screen shows, and which one is running. Pure."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from llmtui.model import RESTING, Level
from llmtui.runview.run import RunView

if TYPE_CHECKING:
    from llmtui.ui.view_state import ViewState

#: What was found of each backend, and of which turns and state.
_FOUND: weakref.WeakKeyDictionary[RunView, dict[str, tuple[tuple[object, ...], str]]] = weakref.WeakKeyDictionary()


def stepped(run_view: RunView, shown: Level | None, by: int) -> int:
    """The number of the next level (`by` 1) or the one before (-1), round and round; 0 for the one that counts."""
    levels, head = run_view.levels_shown, run_view.plan.head_level
    if not levels or head is None:
        return 0
    numbers = [level.number for level in levels]
    at = numbers.index(shown.number) if shown is not None and shown.number in numbers else -1
    number = numbers[(at + by) % len(numbers)]
    # 0 follows the level that counts, if a search moves it.
    return 0 if number == head.number else number


def running(run_view: RunView) -> Level | None:
    """The level of the turn under way, None without one."""
    tick = next((view.tick for view in run_view.backends.values() if view.tick is not None), None)
    return next((level for level in run_view.plan.levels if tick is not None and level.number == tick.level), None)


def pick(view: ViewState, number: int) -> bool:
    """Show the level with this number. Return whether that is another one; in a race it never is."""
    head = view.run_view.plan.head_level
    if view.level is None or number == view.level.number:
        return False
    view.level_shown = 0 if head is not None and number == head.number else number
    return True


def found(run_view: RunView, name: str) -> str:
    """What a search has found of a backend, or the knee of a sweep, in a few words; "" without turns.

    That takes some 20 ms at 16 levels. So of a sweep it is found again after each of its rounds, not after each turn.
    """
    backend_view = run_view.backends[name]
    if not backend_view.turns:
        # The first frame does not wait for the statistics to be imported.
        return ""
    from llmtui.runview.search import search_text

    turns = len(backend_view.turns)
    at_a_time = 1 if run_view.plan.load.search else max(1, len(run_view.plan.levels))
    key = (turns // at_a_time, backend_view.state.attempt, backend_view.state.state in RESTING, run_view.ended)
    cache = _FOUND.setdefault(run_view, {})
    if name not in cache or cache[name][0] != key:
        cache[name] = (key, search_text(run_view, name))
    return cache[name][1]
