"""What stands in place of the settings of a run that another tool measured, as they are unknown."""

from __future__ import annotations

from llmtui.model import Plan
from llmtui.text import sanitize
from llmtui.text.format import plural


def length_words(plan: Plan, tokens: int) -> str:
    """Return the limit of answers, "64 tokens", or which tool measured: "measured by hyperfine"."""
    if plan.imported is not None:
        return f"measured by {sanitize(plan.imported.title, 30)}"
    return plural(tokens, "token")
