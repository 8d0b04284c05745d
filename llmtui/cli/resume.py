"""`llmtui resume`: the plan of a run that has iterations missing."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llmtui.cli.history import opened, with_store
from llmtui.cli.present import complete
from llmtui.cli.racing import COMMAND_LINE, SentConfig, plan_of
from llmtui.config.file import DEFAULT_FILE, DEFAULT_SOURCE
from llmtui.config.launch import as_now
from llmtui.config.lineup import usual
from llmtui.config.ollama_host import ollama_url
from llmtui.config.places import Place
from llmtui.config.schema import MAX_BACKENDS, Config, ConfigError, UiConfig, load, load_named_by_history, parse
from llmtui.config.source import words_of
from llmtui.config.sweeps import with_variants
from llmtui.load.prompt_files.inspection import check_unchanged
from llmtui.model import Backend, Plan
from llmtui.model.errors import UsageError
from llmtui.store.errors import NoRunError
from llmtui.store.rows import StoredRun
from llmtui.text.redaction import HIDDEN


def resumable(
    run: str,
    path: str,
    config: str | None,
    words: Sequence[str] = (),
    model: str | None = None,
    sent: SentConfig | None = None,
) -> tuple[Plan, UiConfig]:
    """Return the plan of `run` with the secrets that the history does not store, and the settings of the monitor.

    Both come from the config that the run was made from, from `config`, or from the one that another machine `sent`.
    For a run without a config, the user has to name the same backends again, as `words` and `model`: nothing is
    contacted that only a history names. Raises StoreError, and UsageError or ConfigError.
    """
    with opened(path) as store:
        stored = store.load(run)
        if stored.state == "running":
            raise NoRunError(store.running_words(stored.plan.run))
    plan = stored.plan
    see = f"to see it: llmtui open {with_store(plan.run, path)}"
    if plan.imported is not None:
        raise NoRunError(f"run {plan.run} was imported, so it cannot be continued; {see}")
    if _is_complete(stored):
        raise NoRunError(f"run {plan.run} is complete; {see}")
    if words or model is not None:
        settings, wanted = plan_of(_words(plan, config, words, sent), model, (), {}, (), sent=sent)
        wanted = msgspec.structs.replace(wanted, config=msgspec.structs.replace(plan.config, model=wanted.config.model))
        candidates = _by_name(plan, {b.name: [b] for b in wanted.backends}, COMMAND_LINE)
    else:
        _refuse_without_words(plan)
        trust = f"llmtui resume {plan.run} --config FILE"
        if sent is not None:
            settings = parse(sent.text, source=sent.name, folder=Path.cwd())
        else:
            settings = load(Path(config)) if config else load_named_by_history(plan.source, trust)
        wanted, candidates = _candidates(settings, plan)
    model_now = wanted.config.model if words or model is not None else settings.run.model
    if model_now != plan.config.model:
        # The path of a file to open is never taken from the history alone.
        raise _changed(plan, settings.place.section("run").key("model"))
    folder = Path(settings.source).parent if sent is None else Path.cwd()
    chosen = []
    for old, fresh in zip(plan.backends, candidates, strict=True):
        differences = [_difference(old, _public(one, wanted), folder) for one in fresh]
        if all(differences):
            known = old.name in {b.name for b in settings.backend}
            place = settings.place_of(old.name) if known else settings.place.backend(0, f"backend {old.name!r}")
            raise _changed(plan, place.key(differences[0]))
        chosen.append(fresh[differences.index("")])
    check_unchanged(plan.prompts)
    return msgspec.structs.replace(plan, backends=chosen), settings.ui


def _is_complete(stored: StoredRun) -> bool:
    """Whether nothing of a run is missing: neither an iteration, nor a whole turn at a level, nor the end of a search.

    As the engine sees it (llmtui.engine.backend_run), whose import would take half a second.
    """
    if stored.plan.load.search:
        # A level at which a server failed has turns missing, and is a result.
        return stored.state == "done" and all(state.state == "done" for state in stored.states)
    done = {(i.backend, i.attempt, i.iteration, 0) for i in stored.iterations if i.phase == "measured"}
    whole = (turn for turn in stored.turns if (turn.phase, turn.state) == ("measured", "whole"))
    done |= {(turn.backend, turn.attempt, turn.round, turn.level) for turn in whole}
    levels = [level.number for level in stored.plan.levels] or [0]
    return all(
        (state.name, state.attempt, number, level) in done
        for state in stored.states
        for number in range(1, max(stored.plan.config.iterations, state.planned) + 1)
        for level in levels
    )


def _candidates(settings: Config, plan: Plan) -> tuple[Plan, list[list[Backend]]]:
    """Return the entries of the config for a run, and what each backend of the run can be, here and now.

    Raises ConfigError if there is none.
    """
    names = [backend.name for backend in plan.backends]
    # A backend of a grid has another name than its table.
    any_name = any(backend.unnamed for backend in settings.backend) or bool(settings.sweep)
    wanted = settings.plan() if any_name else settings.plan(only=tuple(names))
    try:
        whole = with_variants(complete(wanted), settings.grid, settings.place.sweep(0), MAX_BACKENDS)
        now = {b.name: b for b in whole.backends}
    except UsageError:
        now = {}
    ollama = ollama_url(os.environ.get("OLLAMA_HOST", ""))
    before = {b.name: usual(b, ollama) for b in wanted.backends if b.open}
    found = {name: [*([now[name]] if name in now else []), *before.get(name, [])] for name in names}
    return wanted, _by_name(plan, found, settings.source)


def _by_name(plan: Plan, found: Mapping[str, list[Backend]], source: str) -> list[list[Backend]]:
    """Return what was found for each backend of `plan`. Raises ConfigError if there is nothing for one."""
    for backend in plan.backends:
        if not found.get(backend.name):
            raise ConfigError(f"{source}: {backend.name!r} of run {plan.run} is not here now; start its server again")
    return [found[backend.name] for backend in plan.backends]


def _words(plan: Plan, config: str | None, words: Sequence[str], sent: SentConfig | None) -> list[str]:
    """Return the words that name the race again. Raises UsageError if only the history names the config."""
    if config or words or sent is not None:
        return [*([config] if config else []), *words]
    _refuse_without_words(plan)
    if plan.source != DEFAULT_SOURCE:
        raise UsageError(f"run {plan.run} was started from a config; name it too, with --config FILE")
    return [str(DEFAULT_FILE)]


def _refuse_without_words(plan: Plan) -> None:
    """Raise UsageError if the run has no config, with the words that it was started with."""
    if words := words_of(plan.source):
        again = shlex.join(["llmtui", "resume", plan.run, *words])
        raise UsageError(f"run {plan.run} was started without a config; name the same backends again: {again}")


def _public(backend: Backend, wanted: Plan) -> Backend:
    """Return `backend` as the plan of a run stores it, without the secrets of any entry."""
    return msgspec.structs.replace(wanted, backends=[backend, *wanted.backends]).public().backends[0]


def _difference(old: Backend, new: Backend, folder: Path) -> str:
    """Return the first setting in which a stored backend differs from that of the config, "" if there is none."""
    # Version 0.1.0 stored paths as they are written. A program may have moved: its version says which one it is.
    old = msgspec.structs.replace(as_now(old, new, folder), program=new.program)
    before, now = msgspec.to_builtins(old), msgspec.to_builtins(new)
    return next((key for key in sorted(before.keys() | now.keys()) if not _same(before.get(key), now.get(key))), "")


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
