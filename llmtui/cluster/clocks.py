"""How far the monotonic clock of another machine is ahead of ours, with a bound.

Only starts, windows and requests in flight need it: a latency is a difference on one machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

#: Of this many exchanges the fastest one counts.
PINGS = 20
#: A slower exchange says too little.
SLOWEST_S = 0.05
#: The offset is measured again after this long.
AGAIN_S = 30.0
#: Two clocks that are both slewed by NTP, by 500 ppm at most each, drift apart by this share of the time.
MOST_DRIFT = 0.001


class Exchange(NamedTuple):
    """One question and its answer, in ns: sent and received by our clock, received and sent by the other."""

    sent_ns: int
    their_received_ns: int
    their_sent_ns: int
    received_ns: int

    @property
    def delay_ns(self) -> int:
        """How long both ways took together."""
        return (self.received_ns - self.sent_ns) - (self.their_sent_ns - self.their_received_ns)

    @property
    def ahead_ns(self) -> int:
        """How far their clock is ahead of ours, if both ways took equally long."""
        return ((self.their_received_ns - self.sent_ns) + (self.their_sent_ns - self.received_ns)) // 2


class Offset(NamedTuple):
    """Their clock is ahead of ours by `ahead_ns`, wrong by at most `bound_ns`."""

    ahead_ns: int = 0
    bound_ns: int = 0

    def theirs(self, ours_ns: int) -> int:
        """Return an instant of our clock by theirs."""
        return ours_ns + self.ahead_ns

    def ours_s(self, theirs_s: float) -> float:
        """Return an instant of their clock by ours, both in s."""
        return theirs_s - self.ahead_ns / 1e9


def offset_of(exchanges: Iterable[Exchange], *, same_clock: bool = False) -> Offset | None:
    """Return the offset by the fastest exchange; None if all were slower than `SLOWEST_S`.

    `same_clock`: both are processes of one machine, so that it is 0 unless the exchanges say otherwise.
    """
    best = min(exchanges, key=lambda each: each.delay_ns, default=None)
    if best is None or best.delay_ns > SLOWEST_S * 1e9:
        return None
    bound_ns = max(1, (best.delay_ns + 1) // 2)
    if same_clock and abs(best.ahead_ns) <= bound_ns:
        return Offset()
    return Offset(best.ahead_ns, bound_ns)
