"""Lines of spans as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.ui.text.spans import Line


def text_of(lines: Sequence[Line]) -> str:
    """The text of `lines`, without roles, row by row."""
    return "\n".join("".join(text for text, _ in line) for line in lines)
