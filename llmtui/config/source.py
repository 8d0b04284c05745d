"""The source of a run without a config: the command that names the same race. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

_PROGRAM = "llmtui"


def command_of(words: Sequence[str], model: str | None) -> str:
    """Return the command with these words and this value of --model."""
    return shlex.join([_PROGRAM, *words, *(["--model", model] if model is not None else [])])


def words_of(source: str) -> list[str]:
    """Return what follows `llmtui` in the command that a run was started with, [] if its source is not a command.

    A history may be from anyone: quote the words before showing them as part of a command.
    """
    try:
        program, *words = shlex.split(source)
    except ValueError:
        return []
    return words if program == _PROGRAM else []
