"""What a command of the user is, and the sections of the help. llmtui.ui.actions.registry has all commands."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from llmtui.ui.situation import Situation

Group = Literal["Backend", "Run", "Charts", "Table", "Screens", "Details", "Verdict", "Application"]
#: The sections of the help: each says where its keys work.
SECTIONS: dict[Group, str] = {
    "Backend": "The selected backend",
    "Run": "The run",
    "Charts": "Charts of the main screen",
    "Table": "Table of the main screen, and of the details",
    "Screens": "Other screens",
    "Details": "Details of a backend",
    "Verdict": "The verdict",
    "Application": "Everywhere",
}


def _always(_: Situation) -> bool:
    return True


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the user. `label` is its word in the footer, `short` a shorter one for narrow terminals.

    `refusal` says why it does not apply.
    """

    id: str
    key: str
    label: str
    help: str
    group: Group
    applies: Callable[[Situation], bool] = _always
    label_now: Callable[[Situation], str] | None = None
    refusal: str = ""
    footer: bool = True
    #: Whether the engine carries it out.
    engine: bool = False
    short: str = ""
    #: Whether it is for a load with several levels only: a race has no word of it.
    load: bool = False
    #: Whether the footer shows it for a run of the history, although it does not for others.
    footer_of_past: bool = False

    def word(self, situation: Situation, narrow: bool = False) -> str:
        """The footer's word for this command in `situation`."""
        if narrow and self.short:
            return self.short
        return self.label_now(situation) if self.label_now else self.label
