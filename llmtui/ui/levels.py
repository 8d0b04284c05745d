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


def stepped(view: ViewState, by: int) -> int:
    """The next value of `level_shown` (`by` 1) or the one before (-1), round and round. 0: no level was chosen.

    In a search 0 comes between the last level and the first: the screen then follows the search.
    """
    run_view, shown = view.run_view, view.level
    levels, head = run_view.levels_shown, run_view.plan.head_level
    if not levels or head is None:
        return 0
    numbers = [level.number for level in levels]
    at = numbers.index(shown.number) if shown is not None and shown.number in numbers else -1
    if not run_view.plan.load.search:
        number = numbers[(at + by) % len(numbers)]
        return 0 if number == head.number else number
    if view.level_shown and not 0 <= at + by < len(numbers):
        return 0
    return numbers[(at + by) % len(numbers)]


def running(run_view: RunView) -> Level | None:
    """The level of the turn under way, None without one."""
    tick = next((view.tick for view in run_view.backends.values() if view.tick is not None), None)
    return next((level for level in run_view.plan.levels if tick is not None and level.number == tick.level), None)


def followed(run_view: RunView) -> Level | None:
    """The level that the screen of a search shows until the user chooses one; None before its first turn.

    It is that of the turn under way or of the newest one, and at the end of the search the one of its result.
    """
    views = run_view.backends.values()
    if run_view.ended or all(view.state.state in RESTING for view in views):
        if not any(view.turns for view in views):
            return None
        # The first frame does not wait for the statistics to be imported.
        from llmtui.runview.search import result_level

        return result_level(run_view)
    if run_view.course is not None:
        number = run_view.course.level
    else:
        newest = max((view.turns[-1] for view in views if view.turns), key=lambda turn: turn.started_utc, default=None)
        number = newest.level if newest is not None else 0
    return next((level for level in run_view.plan.levels if level.number == number), None)


def pick(view: ViewState, number: int) -> bool:
    """Show the level with this number. Return whether that is another one; in a race it never is."""
    plan = view.run_view.plan
    if view.level is None or number == view.level.number:
        return False
    counts = plan.head_level is not None and number == plan.head_level.number and not plan.load.search
    view.level_shown = 0 if counts else number
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
