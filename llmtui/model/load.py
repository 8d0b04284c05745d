"""Loads: how many requests are under way at a time (closed loop), or how many are sent per second (open loop)."""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import Struct

#: How the requests of an open loop follow one another.
Arrival = Literal["poisson", "constant", "gamma"]

#: The least requests of a turn that count, and those of each stream, unless the config says how many.
LEAST_REQUESTS = 40
REQUESTS_PER_STREAM = 4


class Level(Struct, frozen=True):
    """One load. `number` is its place in the plan, from 1 on.

    In a closed loop `streams` requests are under way at any time. In an open loop `rate` requests are sent per second,
    whatever the server does, but at most `cap` are under way (0: any number); `streams` is 0.
    """

    number: int
    streams: int = 0
    rate: float = 0.0
    cap: int = 0
    arrival: Arrival = "poisson"
    burstiness: float = 1.0

    @property
    def open(self) -> bool:
        """Whether requests are sent by the clock and not when an answer has ended."""
        return self.rate > 0

    @property
    def title(self) -> str:
        """ "8 streams", or "2 requests/s"."""
        if self.open:
            return f"{self.rate:g} request{'' if self.rate == 1 else 's'}/s"
        return f"{self.streams} stream{'' if self.streams == 1 else 's'}"

    @property
    def slots(self) -> int:
        """How many requests a server should be able to compute at a time for this level; 1 if it is not known."""
        return max(1, self.streams or self.cap)


class Load(Struct, frozen=True, forbid_unknown_fields=True):
    """The load of a run (`[load]`): a race by default, with one request under way at any time.

    A turn is what one backend gets at a time. It counts `requests` requests (0: enough for the level), or those that
    are sent within `duration_s`. `settle` requests before them do not count; "auto" finds their number.
    """

    concurrency: int | str | list[int] = 1
    request_rate: float | list[float] = []
    arrival: Arrival = "poisson"
    burstiness: float = 1.0
    max_concurrency: int = 0
    requests: int = 0
    duration_s: float = 0.0
    settle: Literal["auto"] | int = "auto"

    @property
    def levels(self) -> list[Level]:
        """All levels in the order of the config; empty for a race. Call it on a load that has been checked."""
        rates = self.request_rate if isinstance(self.request_rate, list) else [self.request_rate]
        if rates:
            cap, arrival, burstiness = self.max_concurrency, self.arrival, self.burstiness
            return [
                Level(number=number, rate=rate, cap=cap, arrival=arrival, burstiness=burstiness)
                for number, rate in enumerate(rates, 1)
            ]
        streams = self.concurrency if isinstance(self.concurrency, list) else [int(self.concurrency)]
        if streams == [1] and self.requests in (0, 1) and not self.duration_s:
            return []
        return [Level(number=number, streams=count) for number, count in enumerate(streams, 1)]

    @property
    def head_level(self) -> Level | None:
        """The level that counts, fixed before the run: the largest. None for a race."""
        return max(self.levels, key=lambda level: (level.streams, level.rate), default=None)

    def requests_of(self, level: Level) -> int:
        """Return how many requests of a turn count; 0 if `duration_s` decides that."""
        if self.duration_s:
            return 0
        return self.requests or max(LEAST_REQUESTS, REQUESTS_PER_STREAM * level.streams)
