"""Which iteration comes next. Pure: the orders `shuffled`, `round-robin` and `sequential`, and the fresh first line."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Sequence

from llmtui.model import Order, Phase

#: One iteration still to do: its phase and its number, counted from 1 in each phase.
Job = tuple[Phase, int]


def jobs(warmup: int, iterations: int) -> list[Job]:
    """All that one attempt has to do."""
    return [("warmup", i) for i in range(1, warmup + 1)] + [("measured", i) for i in range(1, iterations + 1)]


def jobs_left(warmup: int, iterations: int, made: Collection[Job]) -> list[Job]:
    """What an attempt has to do of which `made` is there: the measured ones that are missing.

    Before them stand warm-ups of their own, numbered on, because the server is cold again.
    """
    missing = [job for job in jobs(0, iterations) if job not in made]
    last = max((number for phase, number in made if phase == "warmup"), default=0)
    return [("warmup", last + n) for n in range(1, warmup + 1)] + missing if missing else []


class Turns:
    """Picks the backend whose turn it is, among those that still have something to do.

    Shuffled, each round has an order of its own, drawn by lot from `seed`: whatever disturbs the machine then meets one
    backend as likely as the other, and nothing need be assumed of it (tests.bench.races). There and back (a b c, c b a)
    cancels drift better, but has one backend twice in a row at the edge of each round: what lasts two requests hits it
    twice.
    """

    def __init__(self, order: Order, names: Sequence[str], seed: int | str) -> None:
        self._order = order
        self._names = list(names)
        self._random = random.Random(seed)
        self._round: list[str] = []
        self._back = False
        self._last = ""

    def next(self, waiting: Sequence[str]) -> str | None:
        """The name among `waiting` whose turn it is, None when nobody waits."""
        if not waiting:
            return None
        if self._order == "sequential":
            choice = self._last if self._last in waiting else min(waiting, key=self._names.index)
        else:
            self._round = [name for name in self._round if name in waiting]
            if not self._round:
                self._round = [name for name in self._names if name in waiting]
                if self._order == "round-robin":
                    # There and back: what drifts along the run would else always meet the same backend first.
                    self._round = self._round[:: -1 if self._back else 1]
                    self._back = not self._back
                if self._order == "shuffled":
                    self._random.shuffle(self._round)
            choice = self._round.pop(0)
        self._last = choice
        return choice


def fresh_line(run: str, attempt: int, job: Job, twin: int = 0) -> str:
    """A first line that no server has seen, so that no prefix cache answers for the model.

    Always 12 digits in brackets: the same number of tokens for every iteration. All backends get the same line in the
    same round, so that their work is the same; `twin` tells apart backends that ask one and the same server.
    """
    key = f"{run}/{attempt}/{job[0]}/{job[1]}/{twin}".encode()
    number = int.from_bytes(hashlib.sha256(key).digest()[:16], "big")
    return f"[{10**11 + number % (9 * 10**11)}]"
