"""The last line: the keys that apply now, each also a button."""

from __future__ import annotations

from collections.abc import Mapping

from textual.events import Click
from textual.message import Message

from llmtui.ui.commands import footer_commands, key_word
from llmtui.ui.lines import Line, Span
from llmtui.ui.view import View
from llmtui.ui.widgets.lines import Lines

#: What goes first where not all fit.
_LESS_WANTED = (
    "more",
    "log",
    "export_as",
    "sort",
    "rerun_all",
    "hold",
    "detach",
    "maximise",
    "verdict",
    "stop",
    "hide",
    "metric",
    "table",
    "chart",
    "rerun",
    "pause",
    "export",
    "server_log",
    "back",
)


class Footer(Lines):
    """Keys and words from the registry of commands."""

    class Chosen(Message):
        """A command was clicked."""

        def __init__(self, command: str) -> None:
            super().__init__()
            self.command = command

    def __init__(self, view: View, keys: Mapping[str, str], *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._keys = keys
        self._spots: list[tuple[int, int, str]] = []

    def content(self, width: int, height: int) -> list[Line]:
        situation = self.view.situation()
        entries = [(c.id, key_word(self._keys[c.id]), c.word(situation)) for c in footer_commands(situation)]
        for least in _LESS_WANTED:
            if sum(len(key) + len(word) + 3 for _, key, word in entries) <= width:
                break
            if least == "hold" and situation.held:
                # The way out of it stays in sight.
                continue
            entries = [e for e in entries if e[0] != least]
        spans: list[Span] = []
        self._spots = []
        x = 0
        for command, key, word in entries:
            spans += [(f" {key}", "key"), (f" {word} ", "dim")]
            size = len(key) + len(word) + 3
            self._spots.append((x, x + size, command))
            x += size
        return [tuple(spans)]

    def on_click(self, event: Click) -> None:
        for start, end, command in self._spots:
            if start <= event.x < end:
                self.post_message(self.Chosen(command))
