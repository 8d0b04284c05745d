"""Words for numbers that the monitor and plain text share."""

from __future__ import annotations


def plural(count: int, word: str) -> str:
    """ "1 token", "2 tokens"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def milliseconds(value_s: float) -> str:
    """A small duration in ms: two decimals below one, three significant digits above."""
    value = value_s * 1e3
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"
