"""Questions about `compare` and its gate: two runs of the same, or of a slower backend, on a machine that wanders."""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Iterator, Mapping
from typing import Any

from llmtui.runview.against import side_of
from llmtui.stats import compare_runs
from llmtui.stats.compare_runs import across, paired
from llmtui.stats.run_differences import Side
from llmtui.stats.run_outcomes import Across
from llmtui.text.format import plural
from tests.bench.questions import Answers, Goal, Outcome, Question
from tests.bench.simulated import World, attempt, names_of, part, view_of

WANDERS = (0.0, 0.01, 0.02, 0.05)
#: The gate in percent.
GATE = 5.0
_ROUNDS = 10
_NEVER = Goal(most=0)
_GATE: Any = part("llmtui.stats.gate") or compare_runs
_NEEDS = {"runs": "before", "history": "earlier"}
_PARAMETERS = frozenset(inspect.signature(across).parameters)
#: The number of backends, and what there is besides one run of each side.
_SETUPS: tuple[tuple[int, dict[str, int]], ...] = (
    (3, {}),
    (2, {}),
    (1, {}),
    (1, {"history": 10}),
    (1, {"history": 20}),
    (1, {"runs": 5}),
    (2, {"runs": 5}),
    (3, {"runs": 5}),
)


def compared(
    rng: random.Random,
    slower: Mapping[str, float],
    wander: float,
    *,
    rounds: int = _ROUNDS,
    runs: int = 1,
    history: int = 0,
) -> Across:
    """Compare a run with another one, in which the backends are slower by these factors; or `runs` with as many."""
    names, world = list(slower), World(wander=wander)

    def sides(factors: Mapping[str, float], day: int) -> list[Side]:
        days = range(day, day + runs)
        made = [attempt(rng, factors, rounds, world) for _ in days]
        views = [
            view_of(names, of, run=f"{day:08}", day=day, iterations=rounds) for day, of in zip(days, made, strict=True)
        ]
        return [side_of(view) for view in views]

    equal = dict.fromkeys(names, 1.0)
    *before, one = sides(equal, 1)
    *after, two = sides(slower, 1 + runs)
    earlier = [one, *(of for n in range(history - 1) for of in sides(equal, 100 + n))] if history else []
    more: dict[str, Any] = {"before": before, "after": after, "earlier": earlier}
    return across(one, two, paired(one, two), **{key: of for key, of in more.items() if key in _PARAMETERS})


def _claims(rng: random.Random, backends: int, **how: Any) -> Answers:
    outcomes = compared(rng, dict.fromkeys(names_of(backends), 1.0), **how).outcomes
    words = " ".join(outcome.sentence for outcome in outcomes)
    return [any(outcome.shown for outcome in outcomes), "95%" in words]


def _one_slower(rng: random.Random, backends: int, **how: Any) -> Answers:
    outcomes = compared(rng, dict.fromkeys(names_of(backends), 1.0) | {"a": 1.1}, **how).outcomes
    others = any(outcome.shown for outcome in outcomes[1:]) if backends > 1 else None
    return [outcomes[0].shown == "slower", others]


def _gated(rng: random.Random, backends: int, factor: float, **how: Any) -> Answers:
    broken, silent = _GATE.gate(compared(rng, dict.fromkeys(names_of(backends), 1.0) | {"a": factor}, **how), GATE)
    return [bool(broken), not broken and not silent, bool(silent) and not broken]


def _settings() -> Iterator[tuple[str, dict[str, Any]]]:
    """What is compared, in words and as arguments."""
    for backends, more in _SETUPS:
        if any(key in more and needed not in _PARAMETERS for key, needed in _NEEDS.items()):
            continue
        words = [plural(backends, "backend"), *(f"{key} {number}" for key, number in more.items())]
        for wander in WANDERS:
            yield f"{', '.join(words)}, wander {wander:.0%}", {"backends": backends, "wander": wander, **more}


def run_questions() -> Iterator[Question]:
    """`compare` of two runs, or of two groups of runs."""
    for setting, how in _settings():
        alone = how["backends"] == 1 and len(how) == 2
        outcomes = (
            Outcome("any claim", _NEVER if alone else Goal(most=6)),
            Outcome('"95%" is said', _NEVER if alone else Goal()),
        )
        yield Question("runs", f"{setting}, equal", outcomes, functools.partial(_claims, **how))
        outcomes = Outcome("found", Goal(least=95) if how["backends"] > 1 else Goal()), Outcome("a claim about another")
        yield Question("runs", f"{setting}, one slower by 10%", outcomes, functools.partial(_one_slower, **how))


def gate_questions() -> Iterator[Question]:
    """A gate of 5%."""
    for setting, how in _settings():
        for factor in (1.0, 1.08, 1.1, 1.2):
            truth = "equal" if factor == 1 else f"one slower by {factor - 1:.0%}"
            outcomes = (
                Outcome("breaks", Goal(most=2) if factor == 1 else Goal()),
                Outcome("holds", Goal(most=5) if factor >= 1.1 else Goal()),
                Outcome("silent"),
            )
            yield Question("gate", f"{setting}, {truth}", outcomes, functools.partial(_gated, factor=factor, **how))
