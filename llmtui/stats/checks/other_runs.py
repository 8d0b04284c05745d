"""Did another run of llmtui measure on the same machines?"""

from __future__ import annotations

from collections.abc import Iterator

from llmtui.stats.checks.base import Check, Race, each, listed, of

#: Of more workers no more are named.
_MOST = 8


def shared_machines(race: Race) -> Iterator[Check]:
    """other-run: another run sent requests from the machine of a worker of the cluster while turns were taken."""
    turns = {e.name: [t for t in e.evidence.turns if any(w.others for w in t.by_worker)] for e in race.sampled}
    found = {e.name: of(len(turns[e.name]), len(e.evidence.turns), "turn") for e in race.sampled if turns[e.name]}
    if found:
        workers = sorted({w.name for those in turns.values() for t in those for w in t.by_worker if w.others})
        yield Check(
            code="other-run",
            level="warning",
            backends=list(found),
            text=f"another run measured on the same machine as {listed(workers[:_MOST])}: {each(found)}; its requests "
            "take processor time from these",
            todo="let one run end before the other, or give each its own machines, then rerun (R)",
        )
