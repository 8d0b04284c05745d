"""The plan of a race: what the words and options of a command ask for, put together with what is on this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from llmtui.cli.output import report
from llmtui.cli.present import complete
from llmtui.cli.words import AtPath, Wanted, wanted
from llmtui.config import schema as configs
from llmtui.config.entries import named
from llmtui.config.lineup import wanted_model
from llmtui.config.named_secrets import named_secrets
from llmtui.config.places import Place
from llmtui.config.schema import MAX_BACKENDS, Config, checked_url, chosen_names
from llmtui.config.source import command_of
from llmtui.config.sweeps import with_variants
from llmtui.load.prompt_files.inspection import inspected, of_trace
from llmtui.model import Backend, Plan, redactor
from llmtui.model.errors import UsageError
from llmtui.text import sanitize
from llmtui.text.model_names import same_model

#: How messages call the words of a command.
COMMAND_LINE = "the command line"
_MAGIC = b"GGUF"
#: Ends of addresses that people copy from a client's settings. What is before them is the server's own address.
_ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/models", "/api/chat", "/api/generate", "/v1", "/api")


class SentConfig(NamedTuple):
    """The text of a config of another machine, and its name. Paths in it are relative to the working folder here."""

    text: str
    name: str


def plan_of(
    words: Sequence[str],
    model: str | None,
    only: Sequence[str],
    changes: Mapping[str, Any],
    commands: Iterable[str],
    *,
    or_choose: bool = False,
    sent: SentConfig | None = None,
) -> tuple[Config, Plan]:
    """Return the settings and the plan of the race that a command asks for.

    `words` are its arguments and `model` is the value of --model (see words.py); `only` and `changes` are its other
    options. `or_choose` is that of `complete`. `sent` goes before the config that llmtui finds. Raises UsageError, or
    ConfigError, which is one, and CommandError if a framework that is named is not here.
    """
    asked = wanted(words, at_path, commands, model)
    settings = _settings(asked, sent)
    settings = configs.changed(settings, {**changes, "model": asked.model} if asked.is_file else dict(changes))
    prompts = inspected(of_trace(settings.prompts, settings.load), trace=settings.load.trace)
    plan = msgspec.structs.replace(_plan(settings, asked, only, or_choose=or_choose), prompts=prompts)
    plan = with_variants(plan, settings.grid, settings.place.sweep(0), MAX_BACKENDS)
    if not asked.from_config:
        if difference := different_models(plan):
            report(difference)
        plan = msgspec.structs.replace(plan, source=redactor(plan)(command_of(words, model)))
    return settings, plan


def at_path(path: str) -> AtPath:
    """Say what is at a path. A pipe is not opened."""
    path = os.path.expanduser(path)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return "folder"
        if not stat.S_ISREG(mode):
            return "file"
        with open(path, "rb") as file:
            return "model" if file.read(len(_MAGIC)) == _MAGIC else "file"
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return "nothing"
    except OSError:
        return "file"  # opening it says why it cannot be read


def _settings(asked: Wanted, sent: SentConfig | None = None) -> Config:
    """Return the config that the words name, or the one that llmtui finds, with the backends that the words name."""
    if asked.from_config:
        if sent is not None and asked.config is None:
            settings = configs.parse(sent.text, source=sent.name, folder=Path.cwd())
        else:
            settings = configs.load(configs.find(asked.config), implicit=asked.config is None)
        return settings if asked.is_file or not asked.model else _with_model(settings, asked.model)
    settings = configs.load(configs.find(None), implicit=True, backends=False)
    if asked.alone:
        backends = configs.load(configs.DEFAULT_FILE).backend
    elif len(asked.backends) > MAX_BACKENDS:
        raise UsageError(f"{len(asked.backends)} backends are named; a run compares at most {MAX_BACKENDS}")
    else:
        backends = [
            _at(one) if isinstance(one, str) else named(Backend(framework=one.title), Place(COMMAND_LINE))
            for one in asked.backends
        ]
    run = settings.run
    if asked.model and not asked.is_file:
        run = msgspec.structs.replace(run, model="")
    return msgspec.structs.replace(settings, run=run, backend=backends)


def _at(url: str) -> Backend:
    """Return the entry for a server's address; a key among its parameters is a secret. Raises ConfigError."""
    from llmtui.wire import common

    secrets = named_secrets({"url": url})
    url = checked_url(url, Place("the address of a server"), secrets)
    return Backend(url=common.strip(url, *_ENDPOINTS), secrets=secrets)


def _with_model(settings: Config, model: str) -> Config:
    """Return `settings` with this name as the model of all servers. Raises UsageError for engines, which load files."""
    backends = []
    for backend in settings.backend:
        if backend.on_shared_file and backend.enabled:
            what = "a server that llmtui starts on" if backend.server else "an engine that loads"
            raise UsageError(
                f"--model {model!r} is not a file, and {sanitize(backend.name)!r} in {settings.source} is {what} "
                "a file; name a FILE.gguf"
            )
        backends.append(msgspec.structs.replace(backend, model="" if backend.open or backend.unnamed else model))
    run = msgspec.structs.replace(settings.run, model="")
    return msgspec.structs.replace(settings, run=run, backend=backends)


def _plan(settings: Config, asked: Wanted, only: Sequence[str], *, or_choose: bool) -> Plan:
    model = "" if asked.is_file else asked.model
    source = settings.source if asked.from_config else COMMAND_LINE
    if not any(backend.unnamed for backend in settings.backend):
        names = chosen_names(only, [backend.name for backend in settings.backend], source)
        return complete(settings.plan(only=names), model, named=bool(asked.backends), or_choose=or_choose)
    # The names of these backends are those of the servers that answer.
    plan = complete(settings.plan(), model, named=bool(asked.backends))
    if not only:
        return plan
    names = chosen_names(only, [backend.name for backend in plan.backends], source)
    return msgspec.structs.replace(plan, backends=[b for b in plan.backends if b.name in names])


def different_models(plan: Plan) -> str:
    """Return the sentence that the backends have different models, "" if they have not, as far as that is known."""
    models = {b.name: wanted_model(plan.config.model) if b.on_shared_file else b.model for b in plan.backends}
    known = {name: model for name, model in models.items() if model}
    if all(same_model(model, one) for model in known.values() for one in list(known.values())[:1]):
        return ""
    each = ", ".join(f"{sanitize(name, 40)} has {sanitize(model, 60)}" for name, model in known.items())
    return f"different models: {each}; a faster one may just have a smaller model. To choose one: --model NAME"
