"""How many requests at a time the servers that llmtui launches should compute: the same number for all."""

from __future__ import annotations

import math

import msgspec

from llmtui.model import Backend, Level, Plan, RunConfig
from llmtui.model.mixes import parse_mix
from llmtui.servers.placeholders import uses
from llmtui.servers.recipe_parts import CONTEXT_STEP, CONTEXT_TOKENS, MAX_SLOTS, SHARED_TOKENS, context_tokens

#: For an open loop without a cap: how many of its requests are under way depends on the server.
OPEN_SLOTS = 8
#: The tokens of a question that follows, with what a chat template puts around it.
QUESTION_TOKENS = 48


def slots_of(plan: Plan) -> int:
    """Return the slots for the largest level of a plan, at most `MAX_SLOTS`; 1 for a race."""
    wanted = (OPEN_SLOTS if level.open and not level.cap else level.slots for level in plan.levels)
    return min(MAX_SLOTS, max(wanted, default=1))


def launch_config(plan: Plan, backend: Backend) -> RunConfig:
    """Return the config for the launch of a backend's server: with its model and threads, and with a context for the
    longest request of a mix, a grid or a conversation.

    Where many slots would need too much memory for that, the lengths of a published mix become smaller instead.
    """
    config = plan.config
    model = backend.model if backend.on_shared_file else ""
    config = msgspec.structs.replace(config, threads=backend.threads or config.threads, model=model or config.model)
    levels: list[Level | None] = [*plan.levels] or [None]
    needed = max(_needed(plan, level) for level in levels)
    if config.context_tokens or not needed:
        return config
    return msgspec.structs.replace(config, context_tokens=needed)


def _needed(plan: Plan, level: Level | None) -> int:
    """The context for a request at a level, in tokens: of a conversation for its last one. 0: that of a race."""
    config, turns = plan.config_at(level), plan.prompts.turns
    single = _single(plan, level)
    if turns <= 1:
        return single
    return (single or context_tokens(config, slots_of(plan))) + (turns - 1) * (config.max_tokens + QUESTION_TOKENS)


def _single(plan: Plan, level: Level | None) -> int:
    """The context for a request at a level of a mix or a grid, in tokens; 0 if the run's own request decides it."""
    if name := plan.prompts_at(level).mix:
        mix = parse_mix(name)
        # A prompt may be a little longer than planned.
        needed = math.ceil(1.02 * mix.longest) + CONTEXT_STEP
        return min(needed, max(CONTEXT_TOKENS, SHARED_TOKENS // slots_of(plan))) if mix.scalable else needed
    return context_tokens(plan.config_at(level), slots_of(plan)) if level is not None and level.max_tokens else 0


def slots_note(plan: Plan) -> str:
    """What to say of levels for which the servers that llmtui gives slots to get too few; "" if there are none."""
    above = [level.title for level in plan.levels if level.slots > MAX_SLOTS]
    if not above or not any(backend.on_shared_file or uses(backend, "{slots}") for backend in plan.backends):
        return ""
    return f"a server that llmtui launches gets at most {MAX_SLOTS} slots: at {above[0]} requests wait in its queue"
