"""Escape sequences for the terminal's title and for notifications."""

from __future__ import annotations

from collections.abc import Mapping

from llmtui.model import RunState
from llmtui.text import sanitize
from llmtui.ui.situation import Phase

#: Save the terminal's title, and restore it. A terminal that cannot save it has no title afterwards.
SAVE_TITLE = "\x1b[22;0t"
RESTORE_TITLE = "\x1b]2;\x07\x1b[23;0t"
BELL = "\x07"

_WORDS: dict[Phase, str] = {"connecting": "starting", "gone": "engine gone"}


def title_words(run: RunState, phase: Phase) -> str:
    """Return the title: `llmtui 12/39 running`."""
    count = f" {run.finished}/{run.total}" if run.total else ""
    return f"llmtui{count} {_WORDS.get(phase, phase)}"


def set_title(text: str) -> str:
    """Return the sequence that sets the terminal's title (OSC 2)."""
    return f"\x1b]2;{sanitize(text, 80)}\x07"


def notification(text: str, environ: Mapping[str, str]) -> str:
    """Return the sequence for a desktop notification (OSC 9). tmux passes it on if allow-passthrough is set."""
    sequence = f"\x1b]9;{sanitize(text, 200)}\x07"
    if not environ.get("TMUX"):
        return sequence
    # The bell marks the window in tmux even if the rest is dropped.
    escaped = sequence.replace("\x1b", "\x1b\x1b")
    return f"{BELL}\x1bPtmux;{escaped}\x1b\\"
