"""All keys, generated from the registry of commands. Each is also a button."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from llmtui.ui.commands import COMMANDS, key_word

_FIXED = {
    "Backend": [("1-9", "focus a backend; so do tab, the arrows and a click")],
    "Application": [("ctrl+p", "command palette"), ("ctrl+c", "as quit")],
}
_SIGNS = """\
* marks the best; #1: figures of attempt 1; (name): hidden
2~ are two iterations disturbed by other work
p95: of 20 iterations or more; v has what the data say
x fastest: the median as a multiple of the best median
bars: mean, median, min, max; points: one shape per backend\
"""


def help_rows(keys: Mapping[str, str]) -> list[tuple[str, Text]]:
    """The help screen's rows: every command with its key, by group, then how to read the screen.

    Each with the id of the command that a click on it carries out, "" where there is none.
    """
    rows: list[tuple[str, Text]] = []
    # The longest key has its place, so that the words stand below each other.
    room = max(7, *(len(key_word(key)) + 2 for key in keys.values()))

    def row(command: str, key: str, words: str) -> None:
        rows.append((command, Text.assemble((f"  {key:<{room}}", "bold"), words)))

    for group in ("Backend", "Run", "View", "Application"):
        rows.append(("", Text(group, "bold")))
        for command in COMMANDS:
            if command.group == group:
                row(command.id, key_word(keys[command.id]), command.help)
        for key, words in _FIXED.get(group, []):
            row("", key, words)
    rows.append(("", Text("Reading the screen", "bold")))
    rows += [("", Text(f"  {line}")) for line in _SIGNS.splitlines()]
    return rows


class Row(Static):
    """A line of the help; one of a command is a button."""

    def __init__(self, command: str, words: Text) -> None:
        super().__init__(words, classes="command" if command else "")
        self._command = command

    def on_click(self) -> None:
        if self._command:
            self.screen.dismiss(self._command)


class HelpScreen(ModalScreen[str]):
    """Closes on escape, the help key or the quit key. Dismissed with the id of a command that was clicked, or ""."""

    AUTO_FOCUS = "*"
    BINDINGS = [Binding("escape,question_mark,q,enter,ctrl+c", "dismiss_help", "Close", show=False)]

    def __init__(self, keys: Mapping[str, str]) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = "llmtui: keys"
            scroll.border_subtitle = "esc closes"
            for command, words in help_rows(self._keys):
                yield Row(command, words)

    def action_dismiss_help(self) -> None:
        self.dismiss("")
