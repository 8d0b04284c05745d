"""Questions about `compare` and its gate: two runs of the same, or of a slower backend, on a machine that wanders."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator, Mapping

from llmtui.runview.against import side_of
from llmtui.stats.compare_runs import Across, across, gate, paired
from llmtui.text.format import plural
from tests.bench.questions import Answers, Goal, Outcome, Question
from tests.bench.simulated import World, attempt, names_of, view_of

WANDERS = (0.0, 0.01, 0.02, 0.05)
#: The gate in percent.
GATE = 5.0
_ROUNDS = 10


def compared(rng: random.Random, slower: Mapping[str, float], wander: float, rounds: int = _ROUNDS) -> Across:
    """Compare two runs; in the second one the backends are slower by these factors."""
    world = World(wander=wander)
    sides = []
    for day, factors in enumerate((dict.fromkeys(slower, 1.0), slower), 1):
        made = attempt(rng, factors, rounds, world)
        sides.append(side_of(view_of(list(slower), made, run=f"0000000{day}", day=day, iterations=rounds)))
    one, two = sides
    return across(one, two, paired(one, two))


def _claims(rng: random.Random, backends: int, wander: float) -> Answers:
    outcomes = compared(rng, dict.fromkeys(names_of(backends), 1.0), wander).outcomes
    return [any(outcome.shown for outcome in outcomes)]


def _one_slower(rng: random.Random, backends: int, wander: float) -> Answers:
    slower = dict.fromkeys(names_of(backends), 1.0) | {"a": 1.1}
    outcomes = compared(rng, slower, wander).outcomes
    return [
        outcomes[0].shown == "slower",
        any(outcome.shown for outcome in outcomes[1:]) if backends > 1 else None,
    ]


def _gated(rng: random.Random, backends: int, wander: float, factor: float) -> Answers:
    broken, silent = gate(compared(rng, dict.fromkeys(names_of(backends), 1.0) | {"a": factor}, wander), GATE)
    return [bool(broken), not broken and not silent, bool(silent) and not broken]


def run_questions() -> Iterator[Question]:
    """`compare` of two runs."""
    for backends in (3, 1):
        for wander in WANDERS:
            setting = f"{plural(backends, 'backend')}, wander {wander:.0%}, {_ROUNDS} rounds"
            race = functools.partial(_claims, backends=backends, wander=wander)
            yield Question("runs", f"{setting}, equal", (Outcome("any claim", Goal(most=6)),), race)
            race = functools.partial(_one_slower, backends=backends, wander=wander)
            outcomes = (Outcome("found", Goal(least=95) if backends > 1 else Goal()), Outcome("a claim about another"))
            yield Question("runs", f"{setting}, one slower by 10%", outcomes, race)


def gate_questions() -> Iterator[Question]:
    """A gate of 5%."""
    for backends in (1, 3):
        for wander in WANDERS:
            for factor in (1.0, 1.08, 1.1, 1.2):
                truth = "equal" if factor == 1 else f"one slower by {factor - 1:.0%}"
                outcomes = (
                    Outcome("breaks", Goal(most=2) if factor == 1 else Goal()),
                    Outcome("holds", Goal(most=5) if factor >= 1.1 else Goal()),
                    Outcome("silent"),
                )
                race = functools.partial(_gated, backends=backends, wander=wander, factor=factor)
                yield Question("gate", f"{plural(backends, 'backend')}, wander {wander:.0%}, {truth}", outcomes, race)
