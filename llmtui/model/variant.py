"""What a grid (`[[sweep]]`) gave a backend."""

from __future__ import annotations

from llmtui.model.base import Struct


class Variant(Struct, frozen=True):
    """One backend of a grid: the backend of the config that it was made from, and the settings that were varied.

    What was not varied is "", 0 or None; `args` without any words are []. Words that hold keys are redacted in the
    public plan.
    """

    of: str
    model: str = ""
    threads: int = 0
    args: list[str] | None = None
