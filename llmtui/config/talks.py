"""Conversations: `turns` of [prompts], `users` and `think_s` of [load], and what they need of each other. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from llmtui.config.errors import ConfigError, show
from llmtui.config.places import Option, Place
from llmtui.model import Load, Prompts

#: The most turns of a conversation, and the longest mean think time in s.
MAX_TURNS = 100
MAX_THINK_S = 3600.0


def check_turns(prompts: Prompts, place: Place | Option) -> Prompts:
    """Return `prompts`. Raises ConfigError for turns out of range; `place` is that of [prompts]."""
    if not 0 <= prompts.turns <= MAX_TURNS:
        raise ConfigError(f"{place.key('turns')}: expected 1 to {MAX_TURNS}, got {show(prompts.turns)}")
    return prompts


def turns_changes(prompts: Prompts, given: dict[str, Any], option: Option) -> Prompts:
    """Take the option of the turns out of `given`, and return `prompts` with it. Raises ConfigError."""
    if (turns := given.pop("turns", None)) is None:
        return prompts
    if turns < 1:
        raise ConfigError(f"{option.key('turns')}: expected 1 to {MAX_TURNS}, got {show(turns)}")
    return check_turns(msgspec.structs.replace(prompts, turns=turns), option)


def check_talks(load: Load, prompts: Prompts, place: Place) -> None:
    """Raise ConfigError for conversations that no loop holds, and for think times without users; `place` is the
    file."""
    levels = load.levels
    if prompts.turns > 1 and (not levels or levels[0].open):
        loop = "an open loop sends single requests" if levels else "a race asks one question at a time"
        raise ConfigError(
            f"{place.section('prompts').key('turns')}: {loop}; for conversations set users in [load] (--users)"
        )
    if load.think_s and not (load.users or prompts.turns > 1):
        raise ConfigError(
            f"{place.section('load').key('think_s')}: is what users think between their questions; set users in [load] "
            "(--users) instead of concurrency"
        )
