"""Which places on a board mean nothing: a check of a load found that the measurement itself is wrong there."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from llmtui.stats.board import Board
from llmtui.stats.checks.base import Check
from llmtui.stats.metrics import METRICS


def voided(placed: Board, findings: Sequence[Check]) -> Board:
    """Return the board with "void" in place of "differs" where a check spoils every metric: the work did not differ."""
    spoiling = [check for check in findings if check.level == "void" and len(check.spoils) == len(METRICS)]
    names = [standing.name for standing in placed.standings]

    def means_nothing(name: str) -> bool:
        return any(check.between(name, other) for check in spoiling for other in names if other != name)

    standings = [
        msgspec.structs.replace(one, void=True) if not one.alike and means_nothing(one.name) else one
        for one in placed.standings
    ]
    return msgspec.structs.replace(placed, standings=standings) if spoiling else placed
