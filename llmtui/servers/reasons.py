"""Finds the line of a server's log that says why it ended."""

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


def reason(log: Sequence[str]) -> str:
    """The cause in the last lines of a log, as a line of text; "" for an empty log."""
    for number, line in enumerate(log):
        if told := _LLAMA.match(line):
            return told["words"].strip()
        if _PANIC.match(line) and number + 1 < len(log):
            return log[number + 1].strip()
    said = [line.strip() for line in log if not _FRAME.match(line)]
    return next((line for line in reversed(said) if _TROUBLE.search(line)), said[-1] if said else "")
