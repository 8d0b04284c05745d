"""Did the CPU limit of a container hold a server back?"""

from __future__ import annotations

from collections.abc import Iterator

from llmtui.stats.checks.base import Check, Race, each, of


def cpu_limit(race: Race) -> Iterator[Check]:
    """cpu-limit: processes had used their quota of CPU time, and stood still until the next period."""
    limited = {e.name: e.evidence for e in race.sampled if e.evidence.limited}
    if limited:
        counts = {name: of(one.limited, one.good, race.unit) for name, one in limited.items()}
        most = max(one.limited_most for one in limited.values())
        yield Check(
            code="cpu-limit",
            level="warning",
            backends=list(limited),
            text=f"the CPU limit of a container held processes back: {each(counts)}, {most:.1f} cores at most",
            todo="raise the limit, or set `threads` in [run] to no more cores than it allows",
        )
