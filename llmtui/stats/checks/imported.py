"""Was it measured by llmtui? What is unknown of a run that another tool measured."""

from __future__ import annotations

from collections.abc import Iterator

from llmtui.model import Imported
from llmtui.stats.checks.base import Check, Race, listed
from llmtui.text import sanitize


def imported(race: Race) -> Iterator[Check]:
    """imported: another tool measured this run, and its files do not say all that a comparison needs."""
    if race.imported is None or not race.entries:
        return
    yield Check(
        code="imported",
        level="warning",
        backends=[entry.name for entry in race.entries],
        text=f"measured by {sanitize(race.imported.title, 80)}, not by llmtui; {unknown(race.imported)}",
        todo="race the servers with llmtui to know whether they did the same work",
    )


def unknown(of: Imported) -> str:
    """What is unknown of an imported run: "unknown: the prompt, the weights and the machine"."""
    return f"unknown: {listed(of.unknown)}" if of.unknown else "nothing is unknown"
