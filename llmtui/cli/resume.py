"""`llmtui resume`: the plan of a run that has iterations missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from llmtui.cli.history import opened
from llmtui.config.launch import as_now
from llmtui.config.places import Place
from llmtui.config.schema import ConfigError, UiConfig, load, load_named_by_history
from llmtui.model import Plan
from llmtui.store.errors import StoreError
from llmtui.text.redaction import HIDDEN


def resumable(run: str, path: str, config: str | None) -> tuple[Plan, UiConfig]:
    """Return the plan of `run` with the secrets that the history does not store, and the settings of the monitor.

    Both come from the config that the run was made from, or from `config`. Raises StoreError and ConfigError.
    """
    with opened(path) as store:
        stored = store.load(run)
    plan = stored.plan
    if stored.state == "running":
        raise StoreError(f"run {plan.run} is still running; try: llmtui attach {plan.run}")
    measured = {(i.backend, i.attempt, i.iteration) for i in stored.iterations if i.phase == "measured"}
    planned = range(1, plan.config.iterations + 1)
    if all((s.name, s.attempt, n) in measured for s in stored.states for n in planned):
        raise StoreError(f"run {plan.run} is complete; try: llmtui show {plan.run}")
    trust = f"llmtui resume {plan.run} --config FILE"
    settings = load(Path(config)) if config else load_named_by_history(plan.source, trust)
    if settings.run.model != plan.config.model:
        # The path of a file to open is never taken from the history alone.
        raise _changed(plan, settings.place.section("run").key("model"))
    fresh = settings.plan(only=tuple(b.name for b in plan.backends))
    public = {b.name: b for b in fresh.public().backends}
    for old in plan.backends:
        new = public[old.name]
        # Version 0.1.0 stored paths as they are written.
        before, now = msgspec.to_builtins(as_now(old, new, Path(settings.source).parent)), msgspec.to_builtins(new)
        for field in sorted(before.keys() | now.keys()):
            if not _same(before.get(field), now.get(field)):
                raise _changed(plan, settings.place_of(old.name).key(field))
    secret = {b.name: b for b in fresh.backends}
    return msgspec.structs.replace(plan, backends=[secret[b.name] for b in plan.backends]), settings.ui


def _same(before: Any, now: Any) -> bool:
    """Whether a stored setting is the one of the config. Stars in it may stand for text that 0.1.0 redacted."""
    if isinstance(before, str) and isinstance(now, str) and HIDDEN in before:
        return _matches(before.split(HIDDEN), now)
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(map(_same, before, now))
    if isinstance(before, dict) and isinstance(now, dict):
        return before.keys() == now.keys() and all(_same(value, now[key]) for key, value in before.items())
    return bool(before == now)


def _matches(parts: list[str], text: str) -> bool:
    """Whether `text` consists of `parts`, with anything in between. Linear, because a history is untrusted."""
    first, *middle, last = parts
    at = len(first)
    for part in middle:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return text.startswith(first) and text.endswith(last) and at + len(last) <= len(text)


def _changed(plan: Plan, setting: Place) -> ConfigError:
    return ConfigError(
        f"{setting} has changed since run {plan.run} was started; "
        "restore it, name the original file with --config, or start a new run"
    )
