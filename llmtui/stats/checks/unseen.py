"""What could this system not measure?"""

from __future__ import annotations

from collections.abc import Iterator

from llmtui.stats.checks.base import Check, Race
from llmtui.text import sanitize

_MOST = 8


def unseen(race: Race) -> Iterator[Check]:
    """unseen: a condition that was not measured may still have been there."""
    if race.machine.unseen and race.sampled:
        words = "; ".join(sanitize(one, 120) for one in race.machine.unseen[:_MOST])
        yield Check(
            code="unseen",
            level="note",
            backends=[],
            text=f"not measured on this system: {words}",
            todo="keep the machine quiet, or measure on Linux (llmtui explain platforms)",
        )
