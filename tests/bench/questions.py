"""A question of a benchmark: one simulated race, what may happen in it, and how often that should be."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.bench.calibration import Share

#: Whether each outcome of a question happened in one race; None: it could not happen there, so the race does not count.
Answers = Sequence[bool | None]


class Goal(NamedTuple):
    """The most or the least that a share may be, in percent."""

    most: float | None = None
    least: float | None = None

    def __str__(self) -> str:
        if self.most is not None:
            return f"<= {self.most:g}%"
        return f">= {self.least:g}%" if self.least is not None else ""

    def met(self, share: Share) -> str:
        """ "holds", "chance" for less than two standard errors beyond the goal, or "MISSED"; "" without a goal."""
        if not share.of or (self.most is None and self.least is None):
            return ""
        percent = 100 * share.hits / share.of
        beyond = max(percent - self.most if self.most is not None else 0.0, (self.least or 0.0) - percent)
        return "holds" if beyond <= 0 else "chance" if beyond <= 2 * error(share) else "MISSED"


class Outcome(NamedTuple):
    """Something that may happen in a race, and how often it should."""

    name: str
    goal: Goal = Goal()


class Question(NamedTuple):
    """`race` simulates one race and tells which of the `outcomes` happened."""

    case: str
    setting: str
    outcomes: tuple[Outcome, ...]
    race: Callable[[random.Random], Answers]


class Figure(NamedTuple):
    """How often one outcome of a question happened."""

    case: str
    setting: str
    outcome: str
    share: Share
    goal: Goal

    def __str__(self) -> str:
        rate = f"{100 * self.share.hits / self.share.of:5.1f}% +- {error(self.share):.1f}" if self.share.of else "-"
        words = f"{self.case:10} {self.setting:52} {self.outcome:34} {rate:14} n={self.share.of:<5}"
        return f"{words} {self.goal!s:8} {self.goal.met(self.share)}".rstrip()

    def fields(self) -> dict[str, object]:
        """The figure for a JSON document, with its rate and the standard error in percent."""
        share = self.share
        return {
            "case": self.case,
            "setting": self.setting,
            "outcome": self.outcome,
            "n": share.of,
            "rate": round(100 * share.hits / share.of, 2) if share.of else None,
            "error": round(error(share), 2) if share.of else None,
            "goal": str(self.goal),
            "met": self.goal.met(share),
        }


def error(share: Share) -> float:
    """The standard error of a share in percent, for none or all that of half a hit."""
    hits = min(max(share.hits, 0.5), share.of - 0.5)
    return 100 * math.sqrt(hits * (share.of - hits) / share.of) / share.of


def answered(question: Question, races: int, seed: int) -> list[Figure]:
    """Simulate this many races of a question. Each question draws its own, so that no unlucky seed is in several."""
    rng = random.Random(f"{seed} {question.case} {question.setting}")
    counts = [[0, 0] for _ in question.outcomes]
    for _ in range(races):
        for count, answer in zip(counts, question.race(rng), strict=True):
            if answer is not None:
                count[0] += answer
                count[1] += 1
    return [
        Figure(question.case, question.setting, outcome.name, Share(*count), outcome.goal)
        for outcome, count in zip(question.outcomes, counts, strict=True)
    ]
