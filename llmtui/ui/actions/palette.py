"""The command palette: every command that applies now, found by any word for it, with its key."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual.command import DiscoveryHit, Hit, Hits, Provider

from llmtui.ui.actions.command import Command
from llmtui.ui.actions.keys import key_word
from llmtui.ui.actions.registry import COMMANDS
from llmtui.ui.actions.search import score, texts_of

if TYPE_CHECKING:
    from llmtui.ui.app import MonitorApp

#: Room for the keys, so that the descriptions are aligned.
_KEYS_WIDTH = 7


class CommandsProvider(Provider):
    """Searches the registry of commands."""

    @property
    def _monitor(self) -> MonitorApp:
        return cast("MonitorApp", self.app)

    def _applying(self) -> list[Command]:
        situation = self._monitor.view.situation()
        return [command for command in COMMANDS if command.applies(situation)]

    def _shown(self, command: Command) -> Text:
        key = key_word(self._monitor.keys[command.id])
        return Text.assemble((f"{key:<{_KEYS_WIDTH}}", "bold"), command.help)

    def _run(self, command: Command) -> functools.partial[None]:
        return functools.partial(self._monitor.choose_command, command.id)

    async def discover(self) -> Hits:
        for command in self._applying():
            yield DiscoveryHit(self._shown(command), self._run(command), text=command.help)

    async def search(self, query: str) -> Hits:
        for command in self._applying():
            if (found := score(query, texts_of(command))) > 0:
                yield Hit(found, self._shown(command), self._run(command), text=command.help)
