"""The engine's log keeps no secret: what goes to standard error is redacted first, tracebacks and all."""

from __future__ import annotations

from typing import TextIO

from llmtui.model import Plan, plan_secrets
from llmtui.text import redact, sanitize_lines


class RedactingStream:
    """A text stream before `stream`: the secrets of `plan`, and what a terminal would obey, do not pass."""

    def __init__(self, stream: TextIO, plan: Plan) -> None:
        self._stream = stream
        secrets = plan_secrets(plan)
        # A struct in a message is printed by its repr, where a backslash is two.
        self._secrets = sorted({*secrets, *(repr(s)[1:-1] for s in secrets)}, key=len, reverse=True)

    def write(self, text: str) -> int:
        """Write what may be told of `text`."""
        told = "\n".join(sanitize_lines(redact(text, self._secrets)))
        self._stream.write(told + "\n" * text.endswith("\n"))
        return len(text)

    def flush(self) -> None:
        """Flush the stream behind."""
        self._stream.flush()
