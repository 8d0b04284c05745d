"""How many examples Hypothesis tries: all of them where LLMTUI_TEST_ALL is set, as in CI, and a quarter elsewhere."""

from __future__ import annotations

import os


def examples(number: int) -> int:
    """Return the number to try of this many."""
    return number if os.environ.get("LLMTUI_TEST_ALL") else max(10, number // 4)
