"""Finds the line of a server's log that says why it ended, and what kind of trouble it was."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: llama.cpp's errors: the first one is the cause, the later ones follow from it.
_LLAMA = re.compile(r"^[\d.]+ E (?:srv|cmn)?\s*(?P<words>.*)$")
_PANIC = re.compile(r"^thread .* panicked at ")
_FRAME = re.compile(r"^\s*(\d+: |at |File \"|[\^~]+$)")
_TROUBLE = re.compile(
    r"error|fail|couldn't|cannot|can't|invalid|exception|not found|unable|denied|unknown|in use", re.IGNORECASE
)
_OWN = "[llmtui: "
_IN_USE = re.compile(
    r"address already in use|EADDRINUSE|\b(errno|os error) (98|48)\b|n['o]t bind|port (\S+ )?(is )?(already )?in use",
    re.IGNORECASE,
)
_MEMORY = re.compile(
    r"\bMemoryError\b|bad_alloc|out ?of ?memory|cannot allocate memory|(fail\w*|unable) to allocate|\bENOMEM\b",
    re.IGNORECASE,
)


def speaks_of_port(log: Sequence[str]) -> bool:
    """Whether a server says that somebody else has its port."""
    return any(_IN_USE.search(line) for line in log)


def speaks_of_memory(log: Sequence[str]) -> bool:
    """Whether a server says that it got no memory."""
    return any(_MEMORY.search(line) for line in log)


def reason(log: Sequence[str]) -> str:
    """The cause in the last lines of a log, as a line of text; "" for an empty log."""
    log = [line for line in log if not line.startswith(_OWN)]
    for number, line in enumerate(log):
        if told := _LLAMA.match(line):
            return told["words"].strip()
        if _PANIC.match(line) and number + 1 < len(log):
            return log[number + 1].strip()
    said = [line.strip() for line in log if not _FRAME.match(line)]
    return next((line for line in reversed(said) if _TROUBLE.search(line)), said[-1] if said else "")
