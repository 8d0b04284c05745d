"""Which iterations the table of the details shows, in which order, and which of them stand out."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence

from llmtui.model import Iteration
from llmtui.runview.backend import BackendView
from llmtui.runview.samples import Samples
from llmtui.stats.metrics import METRICS
from llmtui.stats.summary import far_out
from llmtui.ui.views.columns import SortValue
from llmtui.ui.views.iteration_filter import Test


class Rows:
    """The rows of the table: indices of iterations, filtered and sorted. Only new iterations are read again.

    Without filter and order it reads none. Iterations without a value are last. `descending` reverses the others.
    """

    def __init__(
        self,
        samples: Samples,
        test: Test | None = None,
        value: Callable[[Iteration], SortValue] | None = None,
        descending: bool = False,
    ) -> None:
        self._samples = samples
        self._test = test
        self._value = value
        self.descending = descending
        self._seen = 0
        #: Ascending: what is sorted by, then the index.
        self._valued: list[tuple[float | str, int]] = []
        self._others: list[int] = []
        #: The iteration whose row was asked for last, and its value.
        self._asked: tuple[int, SortValue] = (-1, None)
        self.update()

    @property
    def plain(self) -> bool:
        """Whether all iterations are rows, in order of completion."""
        return self._test is None and self._value is None

    def update(self) -> None:
        """Read the iterations that were added since the last time."""
        if self.plain or self._seen == len(self._samples):
            return
        fresh: list[tuple[float | str, int]] = []
        for at, iteration in enumerate(self._samples.figures(self._seen), self._seen):
            if self._test is not None and not self._test(iteration):
                continue
            value = self._value(iteration) if self._value is not None else None
            if value is None:
                self._others.append(at)
            else:
                fresh.append((value, at))
        self._seen = len(self._samples)
        if len(fresh) > 1:
            self._valued = sorted([*self._valued, *fresh])
        elif fresh:
            bisect.insort(self._valued, fresh[0])

    def __len__(self) -> int:
        return len(self._samples) if self.plain else len(self._valued) + len(self._others)

    def at(self, row: int) -> int:
        """Return the index of the iteration in this row."""
        if self.plain:
            return row
        count = len(self._valued)
        if row >= count:
            return self._others[row - count]
        return self._valued[count - 1 - row if self.descending else row][1]

    def row_of(self, at: int) -> int | None:
        """Return the row of the iteration with this index, None if the filter hides it."""
        if self.plain:
            return at
        place = bisect.bisect_left(self._others, at)
        if place < len(self._others) and self._others[place] == at:
            return len(self._valued) + place
        value = self._value_of(at)
        if value is None:
            return None
        place = bisect.bisect_left(self._valued, (value, at))
        if place == len(self._valued) or self._valued[place][1] != at:
            return None
        return len(self._valued) - 1 - place if self.descending else place

    def _value_of(self, at: int) -> SortValue:
        if self._value is None:
            return None
        if self._asked[0] != at:
            # Reading an old iteration unpacks its neighbours, and each frame asks for the same one.
            self._asked = (at, self._value(self._samples[at]))
        return self._asked[1]

    def near(self, at: int) -> int:
        """Return the row of this iteration, or of the last one before it that is shown."""
        row = self.row_of(at)
        if row is not None or self._value is not None:
            return row or 0
        return max(0, bisect.bisect_left(self._others, at) - 1)

    def after(self, row: int, wanted: Sequence[int]) -> int | None:
        """Return the next row below `row` that has one of the `wanted` iterations, from the top again at the end."""
        rows = sorted(found for at in wanted if (found := self.row_of(at)) is not None)
        if not rows:
            return None
        return rows[bisect.bisect_right(rows, row) % len(rows)]


def slowest(backend_view: BackendView, rows: Rows) -> int | None:
    """Return the index of the measured iteration with the highest latency among the rows."""
    best, found = -1.0, None
    for at, iteration in enumerate(backend_view.listed.figures()):
        latency = METRICS["latency"].value(iteration)
        if iteration.phase == "measured" and latency is not None and latency > best and rows.row_of(at) is not None:
            best, found = latency, at
    return found


def failed(backend_view: BackendView) -> list[int]:
    """Return the indices of the iterations that failed, warm-ups included."""
    return [at for at, i in enumerate(backend_view.listed.figures()) if i.error is not None]


def outliers(backend_view: BackendView) -> list[int]:
    """Return the indices of the samples whose latency is beyond the fences of their attempt.

    Of attempts before the previous one there are no figures, so none of their samples is an outlier.
    """
    fences: dict[int, tuple[float, float]] = {}
    found = []
    for at, iteration in enumerate(backend_view.listed.figures()):
        latency = METRICS["latency"].counted(iteration)
        if iteration.phase != "measured" or not iteration.ok or latency is None:
            continue
        attempt = iteration.attempt
        if attempt not in fences:
            fences[attempt] = far_out(backend_view.attempt(attempt).ordered("latency"))
        low, high = fences[attempt]
        if not low <= latency <= high:
            found.append(at)
    return found
