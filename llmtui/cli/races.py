"""The monitor, and the further races that the user starts on its page of what is here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from llmtui.cli.present import look, nothing_here, places
from llmtui.config.frameworks import word_of
from llmtui.config.lineup import Group, one_server, others_than
from llmtui.config.schema import Config, UiConfig
from llmtui.config.source import command_of
from llmtui.link.process import EngineProcess
from llmtui.load.prompt_files.source import index_for
from llmtui.model import Backend, Found, Plan, RunConfig
from llmtui.model.errors import UsageError
from llmtui.ui.here import Here


class Races:
    """Starts the engines of one race after the other.

    Engines are started by a thread of their own: the monitor lowers the priority of its thread, and an engine inherits
    that of the thread that starts it.
    """

    def __init__(self, ui: UiConfig, store: str, urls: Sequence[str] | None = None) -> None:
        """`urls` are the places to look at; None: the usual ones."""
        self._ui = ui
        self._store = store
        self._urls = urls
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="engines")
        self._starter.submit(lambda: None).result()

    def start(self, plan: Plan) -> EngineProcess:
        """Start an engine for `plan`, after another one. Raises EngineError."""
        index = index_for(plan.prompts)
        return self._starter.submit(EngineProcess.start, plan, self._store, prompt_index=index).result()

    def here(self) -> Here:
        """What the page of the monitor needs: how to look, and how to write a config."""
        return Here(self._look, write_group)

    async def _look(self) -> Found:
        if self._urls is not None:
            return await look(self._urls)
        return await look(*places(os.environ.get("OLLAMA_HOST", "")))

    def first_plan(self, plan: Plan) -> Plan:
        """Return the plan of the race that the user chooses if nothing has the model. Raises UsageError if none."""
        from llmtui.ui.run import show_here

        here = self.here()
        show_here(plan, self._ui, here)
        chosen = self.next_plan(plan, here)
        if chosen is None:
            raise UsageError(nothing_here(plan, plan.config.model))
        return chosen

    def next_plan(self, plan: Plan, here: Here) -> Plan | None:
        """Return the plan of the race that the user chose after `plan`, None if none."""
        if here.chosen is None:
            return None
        race = here.chosen
        # The command that starts the same race: a run without a config is resumed with it.
        loaded = any(backend.on_shared_file for backend in race.backends)
        words = [word_of(backend.framework) if backend.on_shared_file else backend.url for backend in race.backends]
        model = (plan.config.model or None) if loaded else race.model
        backends = [_as_configured(backend, plan) for backend in race.backends]
        following = Config(run=plan.config, ui=self._ui, backend=backends).plan()
        others = others_than(race, here.known(plan))
        return msgspec.structs.replace(following, source=command_of(words, model), others=others)


def _as_configured(backend: Backend, plan: Plan) -> Backend:
    """Return `backend` with the settings that `plan` has for its server, such as its key."""
    for one in plan.backends:
        if backend.url and one.url and one_server(backend.url, one.url):
            return msgspec.structs.replace(one, name=backend.name, model=backend.model)
    return backend


def write_group(group: Group, run: RunConfig) -> str:
    """Write a config of a race with the settings of `run` into the working folder. Return a sentence on the file."""
    from llmtui.cli.init import group_text
    from llmtui.store.atomic import write_new

    path = Path("config.toml")
    number = 2
    while True:
        try:
            write_new(path, group_text(group, run))
        except FileExistsError:
            path = Path(f"config-{number}.toml")
            number += 1
            if number > 99:
                return "not written: there are too many configs in this folder"
        except OSError as error:
            return f"cannot write {path}: {error.strerror or error}"
        else:
            return f"wrote {path}; to race it again: llmtui {path}"
