"""Simulated servers under load, by events: a queue with one server, and continuous batching with slots.

Times are in s. A server's work is drawn by the caller, so that two servers can get the same.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

#: One request of the queue, and one step of a batch with no one else in it.
SERVICE_S = 0.5
STEP_S = 0.01
#: What each further request adds to a step.
PER_ACTIVE = 0.1
MEAN_TOKENS = 64
SLOTS = 8
#: Their spreads, as standard deviations over means.
SERVICE_CV = 0.5
TOKENS_CV = 0.6


class Served(NamedTuple):
    """One request: when it was written, its first and last token, and the number of tokens."""

    written_s: float
    first_s: float
    last_s: float
    tokens: int


class Work(NamedTuple):
    """The work of one turn: gaps between arrivals (of mean 1), services (of mean 1) and tokens, request by request."""

    gaps: list[float]
    services: list[float]
    tokens: list[int]


class Machine:
    """How much slower the machine is for each request: it wanders by `wander` (a share), and each request by `jitter`.

    What it is now is remembered over some 300 requests.
    """

    def __init__(self, rng: random.Random, wander: float, jitter: float) -> None:
        self._rng, self._wander, self._jitter = rng, wander, jitter
        self._keep = math.exp(-1 / 300)
        self._now = rng.gauss(0, wander) if wander else 0.0

    def next(self) -> float:
        """The factor of the next request."""
        if self._wander:
            step = self._wander * math.sqrt(1 - self._keep**2)
            self._now = self._keep * self._now + self._rng.gauss(0, step)
        return math.exp(self._now + (self._rng.gauss(0, self._jitter) if self._jitter else 0.0))


def work(rng: random.Random, count: int) -> Work:
    """Draw the work of `count` requests."""
    return Work(
        [rng.expovariate(1.0) for _ in range(count)],
        [_lognormal(rng, SERVICE_CV) for _ in range(count)],
        [max(2, round(MEAN_TOKENS * _lognormal(rng, TOKENS_CV))) for _ in range(count)],
    )


def _lognormal(rng: random.Random, cv: float) -> float:
    """A lognormal value of mean 1."""
    variance = math.log(1 + cv * cv)
    return math.exp(rng.gauss(-variance / 2, math.sqrt(variance)))


def queue(of: Work, load: float, speed: float, machine: Machine) -> list[Served]:
    """One server that answers one request at a time (M/G/1), busy for this share of the time if its speed is 1."""
    served = []
    now_s = free_s = 0.0
    for gap, service, tokens in zip(of.gaps, of.services, of.tokens, strict=True):
        now_s += gap * SERVICE_S / load
        start_s = max(now_s, free_s)
        taken_s = service * SERVICE_S / speed * machine.next()
        free_s = start_s + taken_s
        served.append(Served(now_s, start_s + taken_s / tokens, free_s, tokens))
    return served


#: The most requests per second that a batch with all slots in use answers.
BATCH_RATE = SLOTS / (STEP_S * (1 + PER_ACTIVE * SLOTS)) / MEAN_TOKENS


def batch_open(of: Work, load: float, speed: float, machine: Machine) -> list[Served]:
    """Continuous batching, where requests come by themselves at this share of what the server can answer."""
    now_s = 0.0
    written = []
    for gap in of.gaps:
        now_s += gap / (load * BATCH_RATE)
        written.append(now_s)
    return _Batch(of, speed, machine).run(written, lambda _: None)


def batch_closed(of: Work, streams: int, speed: float, machine: Machine, window: int) -> list[Served]:
    """Continuous batching with this many requests under way, until the first `window` requests have ended."""
    left = {number for number in range(window)}
    waiting = iter(range(streams, len(of.tokens)))

    def ended(number: int) -> int | None:
        left.discard(number)
        return next(waiting, None) if left else None

    stagger_s = MEAN_TOKENS * STEP_S * (1 + PER_ACTIVE * min(streams, SLOTS))
    starts = sorted(gap % 1.0 * stagger_s for gap in of.gaps[:streams])
    return _Batch(of, speed, machine).run(starts, ended)


@dataclasses.dataclass
class _Batch:
    """All requests in a slot get a token with each step, which takes longer the more they are."""

    of: Work
    speed: float
    machine: Machine

    def run(self, written: Sequence[float], ended: Callable[[int], int | None]) -> list[Served]:
        """Serve requests that are written at these times, and those that `ended` sends after an answer."""
        arrivals = deque(enumerate(written))
        at = dict(arrivals)
        first: dict[int, float] = {}
        last: dict[int, float] = {}
        queued: deque[int] = deque()
        #: What happens after this many steps: a first token, or the end of an answer.
        steps: list[tuple[float, bool, int]] = []
        active, now_s, done, slow = 0, 0.0, 0.0, self.machine.next() / self.speed

        def admit(number: int) -> None:
            nonlocal active
            if active < SLOTS:
                active += 1
                heapq.heappush(steps, (done + 1, False, number))
                heapq.heappush(steps, (done + self.of.tokens[number], True, number))
            else:
                queued.append(number)

        while arrivals or steps:
            step_s = STEP_S * (1 + PER_ACTIVE * active) * slow
            event_s = now_s + (steps[0][0] - done) * step_s if steps else math.inf
            if arrivals and arrivals[0][1] <= event_s:
                number, at_s = arrivals.popleft()
                done += (at_s - now_s) / step_s
                now_s = at_s
                admit(number)
                continue
            done, is_end, number = heapq.heappop(steps)
            now_s = event_s
            if not is_end:
                first[number] = now_s
                continue
            last[number] = now_s
            active -= 1
            slow = self.machine.next() / self.speed
            if queued:
                admit(queued.popleft())
            if (follower := ended(number)) is not None:
                at[follower] = now_s
                admit(follower)
        return [Served(at[n], first[n], last[n], self.of.tokens[n]) for n in sorted(last)]


def independent(served: Sequence[Served], skip: int) -> Iterator[float]:
    """The logarithms of the latencies of all requests but the first ones."""
    for one in served[skip:]:
        yield math.log(one.last_s - one.written_s)
