"""A question of a benchmark: one simulated race, what may happen in it, and how often that should be."""

from __future__ import annotations

import functools
import json
import math
import multiprocessing
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tests.bench.calibration import Share
from tests.bench.common import command_line

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


def ask(doc: str | None, cases: Mapping[str, Callable[[], Iterator[Question]]], what: str = "races") -> None:
    """The command line of a benchmark of questions: print a line for each outcome of each question.

    `doc` is its docstring, and `what` the word for what is simulated.
    """
    parser = command_line(doc)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="all by default")
    parser.add_argument(f"--{what}", dest="races", type=int, default=1000, help=f"{what} of each question")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--only", default="", metavar="WORDS", help="only settings with these words")
    parser.add_argument("--json", action="store_true", help="a JSON object for each line")
    given = parser.parse_args()
    if unknown := set(given.cases) - cases.keys():
        parser.error(f"unknown case: {', '.join(sorted(unknown))}; the cases are {', '.join(cases)}")
    questions = [q for case in given.cases or cases for q in cases[case]() if given.only in q.setting]
    if not given.json:
        print(f"{given.races} {what} of each question, seed {given.seed}; +- one standard error")
    with multiprocessing.Pool(given.jobs) as pool:
        for figures in pool.imap(functools.partial(answered, races=given.races, seed=given.seed), questions):
            for figure in figures:
                print(json.dumps(figure.fields()) if given.json else figure, flush=True)
