"""Finds the line in a server's log that says why it exited, and recognizes errors about its port and about memory."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: An error of llama.cpp. The first one is the cause of the later ones.
_LLAMA = re.compile(r"^[\d.]+ E (?:srv|cmn)?\s*(?P<message>.*)$")
_PANIC = re.compile(r"^thread .* panicked at ")
_FRAME = re.compile(r"^\s*(\d+: |at |File \"|[\^~]+$)")
_ERROR = re.compile(
    r"error|fail|couldn't|cannot|can't|invalid|exception|not found|unable|denied|unknown|in use"
    r"|illegal instruction|core dumped|segmentation",
    re.IGNORECASE,
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


def mentions_port(log: Sequence[str]) -> bool:
    """Whether a log reports that the server's port is in use."""
    return any(_IN_USE.search(line) for line in log)


def mentions_memory(log: Sequence[str]) -> bool:
    """Whether a log reports that memory could not be allocated."""
    return any(_MEMORY.search(line) for line in log)


def reason(log: Sequence[str]) -> str:
    """Return the most likely cause of an exit in the last lines of a log, "" for an empty log."""
    log = [line for line in log if not line.startswith(_OWN)]
    for number, line in enumerate(log):
        if match := _LLAMA.match(line):
            return match["message"].strip()
        if _PANIC.match(line) and number + 1 < len(log):
            return log[number + 1].strip()
    lines = [line.strip() for line in log if not _FRAME.match(line)]
    return next((line for line in reversed(lines) if _ERROR.search(line)), lines[-1] if lines else "")
