"""Redaction of the engine's log: everything on standard error, tracebacks included."""

from __future__ import annotations

from typing import TextIO

from llmtui.model import Plan, plan_secrets
from llmtui.text import redact, sanitize_lines


class RedactingStream:
    """Writes to `stream` without the secrets of `plan` and without terminal escapes."""

    def __init__(self, stream: TextIO, plan: Plan) -> None:
        self._stream = stream
        secrets = plan_secrets(plan)
        # A message may contain the repr of a struct, in which backslashes are doubled.
        self._secrets = sorted({*secrets, *(repr(s)[1:-1] for s in secrets)}, key=len, reverse=True)

    def write(self, text: str) -> int:
        """Write `text`, redacted."""
        clean = "\n".join(sanitize_lines(redact(text, self._secrets)))
        self._stream.write(clean + "\n" * text.endswith("\n"))
        return len(text)

    def flush(self) -> None:
        """Flush the underlying stream."""
        self._stream.flush()
