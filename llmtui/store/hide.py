"""Text made fit to be written down: secrets that a server or a log repeats are hidden, halves of characters replaced.

Pure. The plan has its own way to lose its secrets (`Plan.public`); this is for what comes back from servers.
"""

from __future__ import annotations

from typing import Any

from llmtui.model import Plan, secret_values
from llmtui.plain import blotted

#: Shorter values ("none", "true", "ollama") are no secrets, and hiding them would spoil honest text.
MIN_CHARACTERS = 8


def secrets_of(plan: Plan) -> list[str]:
    """What must not be written down of any backend of `plan`, the longest first."""
    found = {value for backend in plan.backends for value in secret_values(backend, MIN_CHARACTERS)}
    return sorted(found, key=len, reverse=True)


def hide(value: Any, secrets: list[str]) -> Any:
    """`value` (plain JSON-like data) with every secret in its texts replaced; keys of dicts stay.

    A lone surrogate, which no UTF-8 file can hold, becomes a question mark.
    """
    if isinstance(value, str):
        value = blotted(value, secrets)
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [hide(v, secrets) for v in value]
    if isinstance(value, dict):
        return {k: hide(v, secrets) for k, v in value.items()}
    return value
