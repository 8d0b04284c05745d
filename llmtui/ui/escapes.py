"""What the monitor tells the terminal besides the picture: its title, and that the run has ended. Pure text."""

from __future__ import annotations

from collections.abc import Mapping

from llmtui.model import RunState
from llmtui.text import sanitize
from llmtui.ui.actions.registry import Phase

#: Ask the terminal to remember its title, and to take it back. One that cannot has none afterwards.
KEEP_TITLE = "\x1b[22;0t"
GIVE_BACK_TITLE = "\x1b]2;\x07\x1b[23;0t"
BELL = "\x07"

_WORDS: dict[Phase, str] = {"connecting": "starting", "gone": "engine gone"}


def title_words(run: RunState, phase: Phase) -> str:
    """`llmtui 12/39 running`."""
    count = f" {run.finished}/{run.total}" if run.total else ""
    return f"llmtui{count} {_WORDS.get(phase, phase)}"


def set_title(words: str) -> str:
    """The sequence that gives the terminal this title (OSC 2)."""
    return f"\x1b]2;{sanitize(words, 80)}\x07"


def notification(words: str, environ: Mapping[str, str]) -> str:
    """The sequence that has the terminal notify the desktop (OSC 9), through tmux too where that lets it pass."""
    told = f"\x1b]9;{sanitize(words, 200)}\x07"
    if not environ.get("TMUX"):
        return told
    # tmux itself marks the window for the bell, also where it swallows the rest.
    escaped = told.replace("\x1b", "\x1b\x1b")
    return f"{BELL}\x1bPtmux;{escaped}\x1b\\"
