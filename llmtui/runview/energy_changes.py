"""How the energies per token of two runs compare, for each pair of backends that is compared."""

from __future__ import annotations

from collections.abc import Sequence

from llmtui.runview.against import side_of
from llmtui.runview.run import RunView
from llmtui.stats.compare_runs import unlike_work
from llmtui.stats.run_energy import EnergyChange, energy_change
from llmtui.stats.run_outcomes import Outcome
from llmtui.stats.run_words import title


def energy_changes(a: Sequence[RunView], b: Sequence[RunView], outcomes: Sequence[Outcome]) -> list[EnergyChange]:
    """Compare the runs of both sides, the oldest first; nothing for backends without energy."""
    changes = []
    for outcome in outcomes:
        one = [run.backends[outcome.a].figures for run in a]
        two = [run.backends[outcome.b].figures for run in b]
        if not any(attempt.meters for attempt in (*one, *two)):
            continue  # to compare the work takes longer than all the rest
        reason = unlike_work(side_of(a[-1]), side_of(b[-1]), (outcome.a, outcome.b))
        head = f"{title(outcome.a, outcome.b)}: " if outcome.names == ("A", "B") else ""
        level = b[-1].plan.head_level
        head += f"at {level.title}, " if level is not None else ""
        change = energy_change((outcome.a, outcome.b), outcome.names, head, one, two, reason)
        changes += [change] if change is not None else []
    return changes
