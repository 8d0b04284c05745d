"""Since when the client could not hold the rate of an open loop."""

from __future__ import annotations

from array import array

#: A request this much after it was due, in s, is late by the client's own fault, ...
LATE_S = 0.002
#: ... unless it is less than this share of its TTFT.
LATE_SHARE = 0.01
#: This many late ones in a row, up to the last request, are more than one hold-up.
LATE_IN_A_ROW = 10
_KEPT = 4096


class Lateness:
    """Collects how late requests were, in the order in which they ended."""

    def __init__(self) -> None:
        self._on_time_s = -1.0
        self._late = array("d")

    def add(self, due_s: float, late_s: float, ttft_s: float | None) -> None:
        """Add a request that was due at `due_s`, and written `late_s` after it could be."""
        if late_s <= max(LATE_S, LATE_SHARE * (ttft_s or 0.0)):
            self._on_time_s = max(self._on_time_s, due_s)
            return
        self._late.append(due_s)
        if len(self._late) > _KEPT and self._late[0] < self._on_time_s:
            self._late = self._since()

    def from_s(self) -> float | None:
        """Return when the first of those was due that were all late up to the end; None if the last was not late."""
        late = self._since()
        return min(late) if len(late) >= LATE_IN_A_ROW else None

    def _since(self) -> array[float]:
        return array("d", (due_s for due_s in self._late if due_s > self._on_time_s))
