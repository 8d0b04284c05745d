"""Redaction of the engine's log: everything on standard error, tracebacks included."""

from __future__ import annotations

from typing import TextIO

from llmtui.model import Plan, redactor
from llmtui.text import sanitize_lines


class RedactingStream:
    """Writes to `stream` without the secrets of `plan` and without terminal escapes."""

    def __init__(self, stream: TextIO, plan: Plan) -> None:
        self._stream = stream
        self._redact = redactor(plan)

    def write(self, text: str) -> int:
        """Write `text`, redacted."""
        clean = "\n".join(sanitize_lines(self._redact(text)))
        self._stream.write(clean + "\n" * text.endswith("\n"))
        return len(text)

    def flush(self) -> None:
        """Flush the underlying stream."""
        self._stream.flush()
