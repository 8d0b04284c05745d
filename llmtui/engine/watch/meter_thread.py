"""Reads meters in a thread of its own: a driver that hangs holds up this thread, and no request."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from llmtui.engine.watch.meters import Meter, Reading

_T = TypeVar("_T")
#: A driver that does not answer for this long hangs, in s. A reading takes some milliseconds at most.
PATIENCE_S = 2.0
#: A long turn keeps this many readings of a meter: then every second one is dropped, and half as many come.
MOST_READINGS = 20_000


class MeterThread:
    """The readings of some meters from `start` to `stop`, one list for each. `pause_s` is the time between two."""

    def __init__(self, meters: Sequence[Meter], pause_s: Callable[[], float]) -> None:
        self.meters = list(meters)
        self.readings: list[list[Reading]] = [[] for _ in meters]
        #: How many times longer the pauses are by now.
        self.stretched = 1
        self._pause_s = pause_s
        self._reading: Meter | None = None
        self._hangs: Meter | None = None
        self._begun, self._end = threading.Event(), threading.Event()
        # A daemon: one that hangs does not delay the exit.
        self._thread = threading.Thread(target=self._run, name="power", daemon=True)

    def start(self) -> Meter | None:
        """Read all meters, then go on in the thread. Return the meter that hangs."""
        self._thread.start()
        self._hangs = None if self._begun.wait(PATIENCE_S) else self._reading
        return self._hangs

    def stop(self) -> Meter | None:
        """Read all meters a last time. Return the meter that hangs. Safe to call more than once."""
        self._end.set()
        if self._hangs is None:
            self._thread.join(PATIENCE_S)
            self._hangs = self._reading if self._thread.is_alive() else None
        return self._hangs

    def _run(self) -> None:
        self._read()
        self._begun.set()
        while not self._end.wait(self._pause_s() * self.stretched):
            self._read()
            if max(map(len, self.readings)) > MOST_READINGS:
                # The ends stay.
                self.readings = [[*of[:-1:2], of[-1]] for of in self.readings]
                self.stretched *= 2
        self._read()

    def _read(self) -> None:
        """Read all meters; one that does not answer has no reading."""
        for meter, of in zip(self.meters, self.readings, strict=True):
            self._reading = meter
            if (reading := meter.read()) is not None:
                of.append(reading)


def answered(question: Callable[[], _T], limit_s: float | None = None) -> _T:
    """Return what a driver answers, within `PATIENCE_S` by default. Raises TimeoutError if it hangs, and what
    `question` raises."""
    answers: queue.SimpleQueue[tuple[_T | None, Exception | None]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put((question(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=ask, name="power", daemon=True).start()
    try:
        answer, error = answers.get(timeout=PATIENCE_S if limit_s is None else limit_s)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value]
