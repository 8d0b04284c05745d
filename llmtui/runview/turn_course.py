"""A turn second by second, from its ticks: what its time line shows, and how fast it is so far."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from llmtui.model import Phase, Share, Tick

#: The most columns that are kept; a longer turn has 2, 4, 8 seconds a column.
MOST_COLUMNS = 600
#: A rate of less of the window is not shown.
_LEAST_WINDOW_S = 1.0


class Column(NamedTuple):
    """A second of a turn, or several: the mean of `in_flight`, arrivals with tokens per second, and three counts.

    `failed` is without the `refused`. `in_flight` is None if no tick came.
    """

    share: Share
    in_flight: float | None
    arrivals_per_s: float
    finished: int
    refused: int
    failed: int


class SoFar(NamedTuple):
    """What the window of a turn has given in its first `seconds`; per second. It is not final."""

    seconds: int
    arrivals_per_s: float
    requests_per_s: float


@dataclasses.dataclass
class _Sums:
    share: Share = "settling"
    ticks: int = 0
    in_flight: int = 0
    arrivals: float = 0.0
    finished: int = 0
    refused: int = 0
    failed: int = 0

    def merged(self, later: _Sums) -> _Sums:
        """This column and the one after it as one."""
        return _Sums(
            later.share if later.ticks else self.share,
            self.ticks + later.ticks,
            self.in_flight + later.in_flight,
            self.arrivals + later.arrivals,
            self.finished + later.finished,
            self.refused + later.refused,
            self.failed + later.failed,
        )


class TurnCourse:
    """One turn, from its first tick that came. `running`: it has not ended.

    A monitor that connects during a turn has the rest of it: from the column `first` on.
    """

    def __init__(self, tick: Tick) -> None:
        self.backend, self.phase, self.round, self.level = _key(tick)
        self.running = True
        #: Seconds a column.
        self.size = 1
        # The second in which a client connected is not complete.
        self.first = int(tick.elapsed_s) + 1 if tick.elapsed_s >= 1 else 0
        #: The columns that are complete. The tuple changes once a column, not with every tick.
        self.columns: tuple[Column, ...] = ()
        self.so_far: SoFar | None = None
        self._sums: list[_Sums] = []
        self._last = tick if self.first else Tick(*_key(tick))
        self._window: Tick | None = None
        self.add(tick)

    def takes(self, tick: Tick) -> bool:
        """Whether a tick is of this turn."""
        key = (self.backend, self.phase, self.round, self.level)
        return self.running and _key(tick) == key and tick.elapsed_s >= self._last.elapsed_s

    def add(self, tick: Tick) -> None:
        """Add a tick of this turn."""
        self._count(self._last, tick)
        self._last = tick
        if tick.share == "window":
            self._window = self._window or tick
            seconds = tick.elapsed_s - self._window.elapsed_s
            if seconds >= _LEAST_WINDOW_S and (self.so_far is None or int(seconds) > self.so_far.seconds):
                arrivals, finished = tick.tokens - self._window.tokens, tick.finished - self._window.finished
                self.so_far = SoFar(int(seconds), arrivals / seconds, finished / seconds)
        complete = self._place(tick.elapsed_s)
        if complete > len(self.columns):
            self.columns = tuple(map(self._column, self._sums[:complete]))

    def end(self) -> None:
        """The turn has ended. Its last column counts if it is half there."""
        if not self.running:
            return
        self.running, self.so_far = False, None
        complete = len(self.columns)
        length = self._last.elapsed_s - (self.first + complete) * self.size
        if len(self._sums) > complete and length >= self.size / 2:
            self.columns = (*self.columns, self._column(self._sums[complete], length))

    def _place(self, elapsed_s: float) -> int:
        """The place of a time among the columns; negative before the first one."""
        return int(max(0.0, elapsed_s) / self.size) - self.first

    def _halve(self) -> None:
        """Make each column twice as long."""
        sums = [_Sums()] * (self.first % 2) + self._sums + [_Sums()]
        self._sums = [one.merged(two) for one, two in zip(sums[::2], sums[1::2], strict=False)]
        self.size, self.first = self.size * 2, self.first // 2
        self.columns = tuple(map(self._column, self._sums[: self._place(self._last.elapsed_s)]))

    def _count(self, last: Tick, tick: Tick) -> None:
        """Count what came between two ticks: arrivals evenly over the time, the rest at its end."""
        while self._place(tick.elapsed_s) >= MOST_COLUMNS:
            self._halve()
        end, since = self._place(tick.elapsed_s), max(0.0, last.elapsed_s)
        self._sums += [_Sums() for _ in range(end + 1 - len(self._sums))]
        span = tick.elapsed_s - since
        for place in range(max(0, self._place(since)), end + 1):
            start = (self.first + place) * self.size
            part = min(tick.elapsed_s, start + self.size) - max(since, start)
            self._sums[place].arrivals += (tick.tokens - last.tokens) * (part / span if span > 0 else 1.0)
        if end < 0:
            return
        sums = self._sums[end]
        sums.share = tick.share
        sums.ticks += 1
        sums.in_flight += tick.in_flight
        sums.finished += tick.finished - last.finished
        sums.refused += tick.refused - last.refused
        sums.failed += tick.failed - tick.refused - last.failed + last.refused

    def _column(self, sums: _Sums, length: float | None = None) -> Column:
        return Column(
            sums.share,
            sums.in_flight / sums.ticks if sums.ticks else None,
            sums.arrivals / (length or self.size),
            sums.finished,
            sums.refused,
            sums.failed,
        )


def _key(tick: Tick) -> tuple[str, Phase, int, int]:
    return tick.backend, tick.phase, tick.round, tick.level
