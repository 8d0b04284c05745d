"""Words for numbers that the monitor and plain text share."""

from __future__ import annotations


def plural(count: int, word: str) -> str:
    """ "1 token", "2 tokens"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
