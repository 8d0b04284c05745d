"""When the truth server sends each token: its slots and its queue, the step that grows with them, and its lateness."""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import itertools
import math
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

#: Buckets of lateness: eight from each power of two of microseconds to the next.
_PER_OCTAVE = 8
_BUCKETS = 40 * _PER_OCTAVE


@dataclasses.dataclass(frozen=True)
class Capacity:
    """How many requests the server computes at a time: `slots` (None: any number), and `queue` more wait for a slot in
    the order of their arrival (None: any number); others are refused.

    The time between two tokens of an answer is multiplied by 1 + `slope` * (requests in slots - 1). `context` is the
    context of a slot in tokens that the server reports, None for none.
    """

    slots: int | None = None
    queue: int | None = None
    slope: float = 0.0
    context: int | None = None


class Lateness:
    """How late tokens were sent, as a histogram with buckets 9 % apart, which those of other processes are added to."""

    def __init__(self, counts: Iterable[int] = ()) -> None:
        self.counts = list(counts) or [0] * _BUCKETS

    def add(self, late_ns: int) -> None:
        """Add the time from when a token was due until it was sent, in ns."""
        us = late_ns / 1e3
        self.counts[min(_BUCKETS - 1, int(_PER_OCTAVE * math.log2(us)) + 1 if us > 1 else 0)] += 1

    def merge(self, counts: list[int]) -> None:
        """Add the counts of another process."""
        self.counts = [a + b for a, b in zip(self.counts, counts, strict=True)]

    def percentile_ms(self, share: float) -> float:
        """Return the upper end of the bucket that has this share of the tokens at or below it, in ms."""
        wanted = share * sum(self.counts)
        for bucket, reached in enumerate(itertools.accumulate(self.counts)):
            if reached and reached >= wanted:
                return float(2 ** (bucket / _PER_OCTAVE) / 1e3)
        return 0.0

    def summary(self) -> dict[str, float]:
        """Return the number of tokens and the percentiles in ms."""
        shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        return {"n": sum(self.counts)} | {name: round(self.percentile_ms(share), 4) for name, share in shares.items()}


class Answer(Protocol):
    """An answer under way."""

    def begin(self) -> int:
        """The answer has a slot. Return when its first token is due, in ns on the monotonic clock."""

    def send(self, due_ns: int) -> None:
        """Send the token that was due then."""

    def advance(self, due_ns: int) -> int | None:
        """Prepare the next token, and return when it is due; None after the last one, which ends the answer."""


class Pace:
    """Gives slots to answers, and lets them send their tokens when they are due."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._waiting: deque[Answer] = deque()
        self._active: set[Answer] = set()
        #: What is due: (time in ns, order of entry, answer).
        self._due: list[tuple[int, int, Answer]] = []
        self._entries = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self.refused = 0

    @property
    def active(self) -> int:
        """How many answers have a slot."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """How many requests wait for a slot."""
        return len(self._waiting)

    @property
    def factor(self) -> float:
        """What the time between two tokens is multiplied by now."""
        return 1 + self._capacity.slope * (len(self._active) - 1)

    def admit(self, answer: Answer) -> bool:
        """Begin an answer, or let it wait for a slot. Return False if the queue is full."""
        slots, queue = self._capacity.slots, self._capacity.queue
        if slots is None or len(self._active) < slots:
            self._begin(answer)
        elif queue is None or len(self._waiting) < queue:
            self._waiting.append(answer)
        else:
            self.refused += 1
            return False
        return True

    def drop(self, answer: Answer) -> None:
        """End an answer whose client has gone."""
        if answer in self._active:
            self._end(answer)
        elif answer in self._waiting:
            self._waiting.remove(answer)

    def _begin(self, answer: Answer) -> None:
        self._active.add(answer)
        heapq.heappush(self._due, (answer.begin(), next(self._entries), answer))
        self._set_timer()

    def _end(self, answer: Answer) -> None:
        self._active.discard(answer)
        if self._waiting and (self._capacity.slots is None or len(self._active) < self._capacity.slots):
            self._begin(self._waiting.popleft())

    def _set_timer(self) -> None:
        if not self._due or (self._timer is not None and self._timer_ns <= self._due[0][0]):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = self._due[0][0]
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, (self._timer_ns - time.monotonic_ns()) / 1e9), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        sent: list[tuple[int, Answer]] = []
        while self._due and self._due[0][0] <= time.monotonic_ns():
            due_ns, _, answer = heapq.heappop(self._due)
            if answer in self._active:
                answer.send(due_ns)
                sent.append((due_ns, answer))
        # The next events are encoded once all that are due have been sent: no token waits for the work on another one.
        for due_ns, answer in sent:
            if answer not in self._active:
                continue
            next_ns = answer.advance(due_ns)
            if next_ns is None:
                self._end(answer)
            else:
                heapq.heappush(self._due, (next_ns, next(self._entries), answer))
        self._set_timer()


@dataclasses.dataclass(frozen=True)
class Truth:
    """The log of a request, in ns on the monotonic clock: when its last byte arrived, and when each event with tokens
    was due and was sent. `stamp` says who took the first of these times."""

    received_ns: int
    stamp: str
    sent_ns: array[int]
    due_ns: array[int]

    def as_json(self) -> dict[str, Any]:
        """Return it as the server reports it."""
        return {
            "received_ns": self.received_ns,
            "stamp": self.stamp,
            "sent_ns": self.sent_ns.tolist(),
            "due_ns": self.due_ns.tolist(),
        }


#: Makes the events of an answer: the bytes of that with these numbers of tokens.
Encode = Callable[[range], bytes]


class Schedule:
    """The tokens of one answer (`Answer`): `total` of them, `per_chunk` in an event, the first `ttft_s` after it has a
    slot, the next each `itl_s` later, or more if the server is busy.

    `write` sends bytes, `head` are those before the first token, and `finish` is called after the last one.
    """

    def __init__(
        self,
        pace: Pace,
        truth: Truth,
        lateness: Lateness,
        *,
        total: int,
        per_chunk: int,
        ttft_s: float,
        itl_s: float,
        head: bytes,
        encode: Encode,
        write: Callable[[bytes], None],
        finish: Callable[[], None],
    ) -> None:
        self._pace = pace
        self._truth = truth
        self._lateness = lateness
        self._total = total
        self._per_chunk = per_chunk
        self._ttft_ns = round(ttft_s * 1e9)
        self._itl_ns = itl_s * 1e9
        self._head = head
        self._encode = encode
        self._write = write
        self._finish = finish
        self._number = 0
        self._event = b""

    def begin(self) -> int:
        """Send the head, and return when the first token is due."""
        due_ns = time.monotonic_ns() + self._ttft_ns
        self._write(self._head)
        self._prepare()
        return due_ns

    def send(self, due_ns: int) -> None:
        """Send a token."""
        if not self._event:
            return  # an answer of no tokens
        # No work is left between taking the time and the write.
        event, sent_ns, write = self._event, self._truth.sent_ns, self._write
        sent_ns.append(time.monotonic_ns())
        write(event)
        self._truth.due_ns.append(due_ns)

    def advance(self, due_ns: int) -> int | None:
        """Prepare the next token; after the last one, end the answer."""
        if self._event:
            self._lateness.add(self._truth.sent_ns[-1] - due_ns)
            self._number += self._per_chunk
        if self._number >= self._total:
            self._finish()
            return None
        self._prepare()
        return due_ns + round(self._itl_ns * self._pace.factor)

    def _prepare(self) -> None:
        numbers = range(self._number, min(self._number + self._per_chunk, self._total))
        self._event = self._encode(numbers) if numbers else b""
