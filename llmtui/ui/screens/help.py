"""All keys, generated from the registry of commands."""

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
x fastest: the median as a multiple of the best median
bars: mean, median, min, max; points: one shape per backend\
"""


def help_text(keys: Mapping[str, str]) -> Text:
    """The help screen's text: every command with its key, by group, then how to read the screen."""
    text = Text()
    # The longest key has its place, so that the words stand below each other.
    room = max(7, *(len(key_word(key)) + 2 for key in keys.values()))
    for group in ("Backend", "Run", "View", "Application"):
        text.append(f"{group}\n", "bold")
        rows = [(key_word(keys[c.id]), c.help) for c in COMMANDS if c.group == group]
        for key, words in [*rows, *_FIXED.get(group, [])]:
            text.append(f"  {key:<{room}}", "bold")
            text.append(f"{words}\n")
    text.append("Reading the screen\n", "bold")
    for line in _SIGNS.splitlines():
        text.append(f"  {line}\n")
    text.rstrip()
    return text


class HelpScreen(ModalScreen[None]):
    """Closes on escape, the help key or the quit key."""

    BINDINGS = [Binding("escape,question_mark,q,enter,ctrl+c", "dismiss_help", "Close", show=False)]

    def __init__(self, keys: Mapping[str, str]) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = "llmtui: keys"
            scroll.border_subtitle = "esc closes"
            yield Static(help_text(self._keys))

    def action_dismiss_help(self) -> None:
        self.dismiss(None)
