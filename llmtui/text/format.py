"""Numbers in words, for the monitor and plain text."""

from __future__ import annotations


def plural(count: int, word: str) -> str:
    """Return "1 token", "2 tokens"."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def milliseconds(value_s: float) -> str:
    """Format a duration in ms: two decimals below 10, else three significant digits."""
    value = value_s * 1e3
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"
