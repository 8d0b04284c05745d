"""Which iteration comes next, and the fresh line of its prompt: the orders shuffled, round-robin and sequential."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from llmtui.load.prompts import line_of
from llmtui.model import Backend, Order, Phase

#: Names of this machine.
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0", "::"})


class Job(NamedTuple):
    """What a backend does at a time: one iteration, or with a `level` (from 1 on) a turn of a load.

    `number` is that of the iteration within its phase from 1 on, or the round of the turn.
    """

    phase: Phase
    number: int
    level: int = 0


#: Returns the launch of the server to which a round belongs (`RunConfig.launch_of`).
LaunchOf = Callable[[int], int]


#: Returns the levels of a round in the order in which they are taken: (0,) in a race.
LevelsOf = Callable[[int], Sequence[int]]


def one_request(number: int) -> Sequence[int]:
    """Return the levels of any round of a race."""
    return (0,)


def shuffled_levels(levels: Sequence[int], seed: int | str) -> LevelsOf:
    """Return the function that gives the levels of a round of a load, in an order that `seed` and the round decide.

    It is the same for all backends, so that those of one level take their turns one after the other.
    """

    def levels_of(number: int) -> Sequence[int]:
        order = list(levels)
        random.Random(f"{seed}/levels {number}").shuffle(order)
        return order

    return levels_of


def launched_once(number: int) -> int:
    """Return the launch of any round if the server is launched once, or runs already."""
    return 1


def jobs(
    warmup: int, iterations: int, launch_of: LaunchOf = launched_once, levels_of: LevelsOf = one_request
) -> list[Job]:
    """Return all jobs of one attempt."""
    return jobs_left(warmup, iterations, (), launch_of, levels_of)


def jobs_left(
    warmup: int,
    iterations: int,
    done: Collection[Job],
    launch_of: LaunchOf = launched_once,
    levels_of: LevelsOf = one_request,
) -> list[Job]:
    """Return the measured jobs that are not in `done`, after new warm-ups: the server has been restarted.

    The warm-ups continue the numbers of those in `done`. The list is empty if nothing is missing.
    """
    done = frozenset(done)
    planned = (Job("measured", number, level) for number in range(1, iterations + 1) for level in levels_of(number))
    return _with_warmups([job for job in planned if job not in done], warmup, done, launch_of)


def last_warmup(done: Iterable[Job]) -> int:
    """Return the largest number of a warm-up in `done`, 0 without any."""
    return max((job.number for job in done if job.phase == "warmup" and not job.level), default=0)


def with_warmups(
    numbers: Iterable[int],
    warmup: int,
    done: Collection[Job],
    launch_of: LaunchOf,
    launch: int = 0,
    levels_of: LevelsOf = one_request,
) -> list[Job]:
    """Return the jobs of these rounds, with warm-ups before each that has another launch than the one before it.

    `launch` is that of the server that is up, 0 if none is. The warm-ups continue the numbers of those in `done`. A
    load has warm-ups of one request, then one turn at each level.
    """
    rounds = [Job("measured", number, level) for number in numbers for level in levels_of(number)]
    return _with_warmups(rounds, warmup, done, launch_of, launch)


def _with_warmups(
    rounds: Sequence[Job], warmup: int, done: Collection[Job], launch_of: LaunchOf, launch: int = 0
) -> list[Job]:
    planned: list[Job] = []
    last = last_warmup(done)
    last_turn = max((job.number for job in done if job.phase == "warmup" and job.level), default=0)
    levels = sorted({job.level for job in rounds if job.level})
    for job in rounds:
        if (of := launch_of(job.number)) != launch:
            # The first request of a load shows which requests the server takes.
            single = max(1, warmup) if levels else warmup
            planned += [Job("warmup", last + n) for n in range(1, single + 1)]
            launch, last = of, last + single
            if levels and warmup:
                last_turn += 1
                planned += [Job("warmup", last_turn, level) for level in levels]
        planned.append(job)
    return planned


class Turns:
    """Picks the backend whose turn it is, among those with iterations left.

    `shuffled` draws a random order for each round from `seed`, so that a disturbance is equally likely to hit any
    backend (tests.bench.races). `round-robin` alternates a b c and c b a, which cancels drift better, but measures one
    backend twice in a row at the edge of each round: a disturbance that lasts two requests hits it twice.
    """

    def __init__(self, order: Order, names: Sequence[str], seed: int | str) -> None:
        self._order = order
        self._names = list(names)
        self._random = random.Random(seed)
        self._round: list[str] = []
        self._reverse = False
        self._last = ""

    def next(self, waiting: Sequence[str]) -> str | None:
        """Return the name in `waiting` whose turn it is, None if `waiting` is empty."""
        if not waiting:
            return None
        if self._order == "sequential":
            choice = self._last if self._last in waiting else min(waiting, key=self._names.index)
        else:
            self._round = [name for name in self._round if name in waiting]
            if not self._round:
                self._round = [name for name in self._names if name in waiting]
                if self._order == "round-robin":
                    # Alternate the direction: under drift the same order would favour the first backend.
                    self._round = self._round[:: -1 if self._reverse else 1]
                    self._reverse = not self._reverse
                if self._order == "shuffled":
                    self._random.shuffle(self._round)
            choice = self._round.pop(0)
        self._last = choice
        return choice


def fresh_line(run: str, attempt: int, job: Job, fresh_set: int = 0) -> str:
    """Return the fresh line of an iteration. All backends get the same one in the same round, except those with
    another `fresh_set`."""
    return line_of(f"{run}/{attempt}/{job.phase}/{job.number}/{fresh_set}")


def fresh_lines(run: str, attempt: int, job: Job, fresh_set: int = 0) -> str:
    """Return the key of the fresh lines of a turn; see llmtui.load.prompts."""
    return f"{run}/{attempt}/{job.phase}/{job.number}/{job.level}/{fresh_set}"


def fresh_sets(backends: Iterable[Backend]) -> dict[str, int]:
    """Return the set of fresh lines of each backend, by name: 0, but backends at one address have different sets.

    Otherwise the second one to be asked would find the prompt of the first in the server's cache.
    """
    taken: Counter[tuple[str, int]] = Counter()
    sets: dict[str, int] = {}
    for backend in backends:
        address = _address(backend)
        sets[backend.name] = taken[address] if address[0] else 0
        taken[address] += 1
    return sets


def is_local(backend: Backend) -> bool:
    """Whether a backend's server runs on this machine, as far as its address shows."""
    return backend.launched or _address(backend)[0] in ("", "localhost")


def _address(backend: Backend) -> tuple[str, int]:
    """Return host and port of a backend; ("", 0) if llmtui chooses the port."""
    try:
        parts = urlsplit(backend.url.lower())
        host, port = parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)
    except ValueError:
        return "", 0
    return ("localhost" if host in _LOOPBACK else host, port) if host else ("", 0)
