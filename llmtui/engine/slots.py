"""How many requests at a time the servers that llmtui launches should compute: the same number for all."""

from __future__ import annotations

import math

import msgspec

from llmtui.model import Plan, RunConfig
from llmtui.model.mixes import parse_mix
from llmtui.servers.placeholders import uses
from llmtui.servers.recipe_parts import CONTEXT_STEP, CONTEXT_TOKENS, MAX_SLOTS, SHARED_TOKENS

#: For an open loop without a cap: how many of its requests are under way depends on the server.
OPEN_SLOTS = 8


def slots_of(plan: Plan) -> int:
    """Return the slots for the largest level of a plan, at most `MAX_SLOTS`; 1 for a race."""
    wanted = (OPEN_SLOTS if level.open and not level.cap else level.slots for level in plan.levels)
    return min(MAX_SLOTS, max(wanted, default=1))


def launch_config(plan: Plan) -> RunConfig:
    """Return the config for the launch of servers: with a context for the longest request of a mix.

    Where many slots would need too much memory for that, the lengths of a published mix become smaller instead.
    """
    config = plan.config
    if not plan.prompts.mix or config.context_tokens:
        return config
    mix = parse_mix(plan.prompts.mix)
    # A prompt may be a little longer than planned.
    needed = math.ceil(1.02 * mix.longest) + CONTEXT_STEP
    if mix.scalable:
        needed = min(needed, max(CONTEXT_TOKENS, SHARED_TOKENS // slots_of(plan)))
    return msgspec.structs.replace(config, context_tokens=needed)


def slots_note(plan: Plan) -> str:
    """What to say of levels for which the servers that llmtui gives slots to get too few; "" if there are none."""
    above = [level.title for level in plan.levels if level.slots > MAX_SLOTS]
    if not above or not any(backend.on_shared_file or uses(backend, "{slots}") for backend in plan.backends):
        return ""
    return f"a server that llmtui launches gets at most {MAX_SLOTS} slots: at {above[0]} requests wait in its queue"
