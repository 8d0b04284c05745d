"""What the engine finds out about a worker before it measures: its clock, its way to the server, its own error."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from llmtui.cluster.clocks import AGAIN_S, MOST_DRIFT, PINGS, Exchange, Offset, offset_of
from llmtui.cluster.messages import Answer, AnyAsk, Certify, Ping, Reach
from llmtui.model import Failure, Level

_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}|::1|::|0\.0\.0\.0")


class Survey:
    """Asks one worker by `ask`, which raises LineError if it is lost, and keeps what it said."""

    def __init__(self, ask: Callable[[AnyAsk], Awaitable[Answer | None]]) -> None:
        #: How far its clock is ahead.
        self.offset = Offset()
        self._ask = ask
        self._clock_at: float | None = None
        self._seen_ns: int | None = None
        self._connects_s: dict[tuple[str, int], float] = {}
        self._own_errors_s: dict[tuple[int, float], float | None] = {}

    def forget_clock(self) -> None:
        """Measure the clock again before the next turn."""
        self._clock_at = None

    def connect_s(self, url: str) -> float | None:
        """Return how long a TCP connection from it to a server takes, in s; None before `reach`."""
        return self._connects_s.get(_server(url))

    async def set_clock(self, name: str, *, same_machine: bool) -> Failure | None:
        """Measure how far its clock is ahead, unless that was done just before. Return why that is not known."""
        self._seen_ns = None
        if self._clock_at is not None and time.monotonic() - self._clock_at < AGAIN_S:
            return None
        offset = offset_of(await self._exchanges(), same_clock=same_machine)
        if offset is None and not same_machine:
            message = f"the clock of worker {name} cannot be compared with ours: the line takes longer than 50 ms"
            return Failure(kind="stopped", message=message)
        # All processes since one boot of one machine have the same clock, however slow the line is.
        self.offset, self._clock_at = offset or Offset(), time.monotonic()
        return None

    async def check_clock(self) -> None:
        """Measure the clock again after a turn: what it drifted meanwhile is in `clock_within_s`."""
        if not self.offset.bound_ns:
            return  # it is our clock
        if (offset := offset_of(await self._exchanges())) is not None:
            drifted_ns = abs(offset.ahead_ns - self.offset.ahead_ns) + offset.bound_ns
            self._seen_ns = max(self.offset.bound_ns, drifted_ns)
            self.offset, self._clock_at = offset, time.monotonic()

    @property
    def clock_within_s(self) -> float:
        """By how much its clock may have been other than `offset` said, from before the turn until now.

        Without `check_clock`, such as after a turn that was stopped, a clock may have drifted as much as one can.
        """
        if self._seen_ns is not None or not self.offset.bound_ns:
            return (self._seen_ns or 0) / 1e9
        age_s = time.monotonic() - self._clock_at if self._clock_at is not None else 0.0
        return self.offset.bound_ns / 1e9 + MOST_DRIFT * age_s

    async def _exchanges(self) -> list[Exchange]:
        exchanges = []
        for _ in range(PINGS):
            sent_ns = time.monotonic_ns()
            answer = await self._ask(Ping())
            if answer is not None:
                exchanges.append(Exchange(sent_ns, answer.received_ns, answer.sent_ns, time.monotonic_ns()))
        return exchanges

    async def reach(self, url: str, name: str, *, same_network: bool) -> Failure | None:
        """Measure the way to the server, unless that was done before. Return why there is none."""
        host, port = _server(url)
        if _LOOPBACK.fullmatch(host) and not same_network:
            message = f"worker {name} is another machine: {host}:{port} is not the server there"
            hint = "give the address under which the workers reach it, or start the server so that it listens on one"
            return Failure(kind="missing", message=message, hint=hint)
        if (host, port) not in self._connects_s:
            answer = await self._ask(Reach(host, port))
            if answer is not None and answer.rtts_s:
                self._connects_s[host, port] = min(answer.rtts_s)
            elif answer is not None:
                message = f"worker {name} does not reach {host}:{port}: {answer.unreached}"
                return Failure(kind="missing", message=message, hint="does a firewall stand between them?")
        return None

    async def certify(self, level: Level, workers: int) -> None:
        """Ask how large the error of a TTFT is at its share of a level, unless that was done before."""
        share = _share(level, workers)
        if any(share) and share not in self._own_errors_s:
            answer = await self._ask(Certify(streams=share[0], rate=share[1]))
            self._own_errors_s[share] = answer.own_error_s if answer is not None else None

    def own_error_s(self, level: Level, workers: int) -> float | None:
        """Return the p95 of that error in s, None if it was not measured there."""
        return self._own_errors_s.get(_share(level, workers))


def _share(level: Level, workers: int) -> tuple[int, float]:
    return math.ceil(level.streams / workers), level.rate / workers


def _server(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
