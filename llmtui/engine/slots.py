"""How many requests at a time the servers that llmtui launches should compute: the same number for all."""

from __future__ import annotations

from llmtui.model import Plan
from llmtui.servers.placeholders import uses
from llmtui.servers.recipe_parts import MAX_SLOTS

#: For an open loop without a cap: how many of its requests are under way depends on the server.
OPEN_SLOTS = 8


def slots_of(plan: Plan) -> int:
    """Return the slots for the largest level of a plan, at most `MAX_SLOTS`; 1 for a race."""
    wanted = (OPEN_SLOTS if level.open and not level.cap else level.slots for level in plan.levels)
    return min(MAX_SLOTS, max(wanted, default=1))


def slots_note(plan: Plan) -> str:
    """What to say of levels for which the servers that llmtui gives slots to get too few; "" if there are none."""
    above = [level.title for level in plan.levels if level.slots > MAX_SLOTS]
    if not above or not any(backend.on_shared_file or uses(backend, "{slots}") for backend in plan.backends):
        return ""
    return f"a server that llmtui launches gets at most {MAX_SLOTS} slots: at {above[0]} requests wait in its queue"
