"""The last line: the keys that apply now. A click on one runs its command."""

from __future__ import annotations

from collections.abc import Mapping

from textual.events import Click
from textual.message import Message

from llmtui.ui.actions.footer_order import by_importance, footer_commands
from llmtui.ui.actions.keys import key_word
from llmtui.ui.layout import WIDE
from llmtui.ui.text.spans import Line, Span
from llmtui.ui.view_state import ViewState
from llmtui.ui.widgets.painted import Lines


class Footer(Lines):
    """Keys and words from the registry of commands, or the question that the rerun key asks."""

    class Chosen(Message):
        """A command was clicked."""

        def __init__(self, command: str) -> None:
            super().__init__()
            self.command = command

    def __init__(self, view: ViewState, keys: Mapping[str, str], *, id: str) -> None:  # noqa: A002
        super().__init__(view, id=id)
        self._keys = keys
        self._spots: list[tuple[int, int, str]] = []

    def content(self, width: int, height: int) -> list[Line]:
        if self.view.choice is not None:
            from llmtui.ui.views.rerun_choice import choice_line

            line, self._spots = choice_line(self.view.choice, {i: key_word(k) for i, k in self._keys.items()}, width)
            return [line]
        situation = self.view.situation()
        narrow = width < WIDE
        # A blank apart on a narrow terminal, two on others: the keys are bold.
        gap = 1 if narrow else 2
        entries = {c.id: (key_word(self._keys[c.id]), c.word(situation, narrow)) for c in footer_commands(situation)}
        # The most important take their room first. The last blanks of the line are not needed.
        room, shown, words = width + gap - 1, set[str](), set[str]()
        for command in by_importance(situation):
            # Two keys that do the same here are shown once.
            if command not in entries or entries[command][1] in words:
                continue
            if (size := sum(map(len, entries[command])) + 1 + gap) <= room:
                room -= size
                shown.add(command)
                words.add(entries[command][1])
        spans: list[Span] = []
        self._spots = []
        x = 0
        for command, (key, word) in entries.items():
            if command not in shown:
                continue
            spans += [(f" {key}", "key"), (f" {word}" + " " * (gap - 1), "dim")]
            size = len(key) + len(word) + 1 + gap
            self._spots.append((x, x + size, command))
            x += size
        if spans:
            spans[-1] = (spans[-1][0].rstrip(), "dim")
        return [tuple(spans)]

    def on_click(self, event: Click) -> None:
        for start, end, command in self._spots:
            if start <= event.x < end:
                self.post_message(self.Chosen(command))
