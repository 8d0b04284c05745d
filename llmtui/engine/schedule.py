"""Which iteration comes next, and the fresh line of its prompt: the orders shuffled, round-robin and sequential."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from urllib.parse import urlsplit

from llmtui.model import Backend, Order, Phase

#: Names of this machine.
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0", "::"})

#: An iteration to do: its phase, and its number in that phase from 1 on.
Job = tuple[Phase, int]


#: Returns the launch of the server to which a round belongs (`RunConfig.launch_of`).
LaunchOf = Callable[[int], int]


def launched_once(number: int) -> int:
    """Return the launch of any round if the server is launched once, or runs already."""
    return 1


def jobs(warmup: int, iterations: int, launch_of: LaunchOf = launched_once) -> list[Job]:
    """Return all jobs of one attempt."""
    return jobs_left(warmup, iterations, (), launch_of)


def jobs_left(warmup: int, iterations: int, done: Collection[Job], launch_of: LaunchOf = launched_once) -> list[Job]:
    """Return the measured jobs that are not in `done`, after new warm-ups: the server has been restarted.

    The warm-ups continue the numbers of those in `done`. The list is empty if nothing is missing.
    """
    missing = [number for number in range(1, iterations + 1) if ("measured", number) not in done]
    return with_warmups(missing, warmup, last_warmup(done), launch_of)


def last_warmup(done: Iterable[Job]) -> int:
    """Return the largest number of a warm-up in `done`, 0 without any."""
    return max((number for phase, number in done if phase == "warmup"), default=0)


def with_warmups(numbers: Iterable[int], warmup: int, last: int, launch_of: LaunchOf, launch: int = 0) -> list[Job]:
    """Return the jobs of these rounds, with warm-ups before each that has another launch than the one before it.

    `launch` is that of the server that is up, 0 if none is. The warm-ups are numbered from `last` + 1 on.
    """
    planned: list[Job] = []
    for number in numbers:
        if (of := launch_of(number)) != launch:
            planned += [("warmup", last + n) for n in range(1, warmup + 1)]
            launch, last = of, last + warmup
        planned.append(("measured", number))
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
    """Return a line that no server has seen before, so that its prefix cache has no match.

    It is always 12 digits in brackets, so that the number of tokens does not vary. All backends get the same line in
    the same round, except those with another `fresh_set`.
    """
    key = f"{run}/{attempt}/{job[0]}/{job[1]}/{fresh_set}".encode()
    number = int.from_bytes(hashlib.sha256(key).digest()[:16], "big")
    return f"[{10**11 + number % (9 * 10**11)}]"


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


def _address(backend: Backend) -> tuple[str, int]:
    """Return host and port of a backend; ("", 0) if llmtui chooses the port."""
    try:
        parts = urlsplit(backend.url.lower())
        host, port = parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)
    except ValueError:
        return "", 0
    return ("localhost" if host in _LOOPBACK else host, port) if host else ("", 0)
