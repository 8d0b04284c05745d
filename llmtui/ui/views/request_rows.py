"""Which requests of a turn the table shows, and in which order. Long work is done in pieces."""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Sequence

from llmtui.runview.turn_requests import TurnRequests
from llmtui.ui.views.iteration_filter import Test

_NO_VALUE = -1
#: Requests that the filter reads at a time: some 20 ms.
READ_AT_A_TIME = 4_000


class RequestRows:
    """The rows of the table: indices of requests, filtered, and sorted once all of them are there.

    `field` is what they are sorted by (TurnRequests.keys), "" for the order in which they ended. Those without a value
    are last, and so are those without a result unless `of_failed`.
    """

    def __init__(
        self, requests: TurnRequests, test: Test | None = None, field: str = "", *, of_failed: bool = True
    ) -> None:
        self._requests = requests
        self._test = test
        self._field = field
        self._of_failed = of_failed
        self.descending = False
        self._seen = 0
        #: Those that the filter leaves, in the order in which they ended.
        self._left = array("l")
        self._sorted: tuple[bool, array[int]] | None = None

    @property
    def behind(self) -> bool:
        """Whether the filter has requests left to read."""
        return self._test is not None and self._seen < len(self._requests)

    @property
    def in_order(self) -> bool:
        """Whether the rows are in the order that was asked for."""
        return not self._field or (self._requests.complete and not self.behind)

    def update(self) -> None:
        """Read some of the requests that were added, and sort if all are there."""
        test, count = self._test, len(self._requests)
        if test is not None and self._seen < count:
            end = min(count, self._seen + READ_AT_A_TIME)
            self._left.extend(at for at in range(self._seen, end) if test(self._requests[at]))
            self._seen = end
        if self._field and self.in_order and (self._sorted is None or self._sorted[0] != self.descending):
            self._sorted = (self.descending, self._in_order())

    def _in_order(self) -> array[int]:
        # Lists are read several times faster than arrays, which make a number for each value that is read.
        keys = list(self._requests.keys(self._field))
        every = self._left.tolist() if self._test is not None else range(len(self._requests))
        for at in () if self._of_failed else self._requests.failed:
            keys[at] = _NO_VALUE
        # NaN is not equal to itself.
        if self._test is None:
            valued = [at for at, key in enumerate(keys) if key == key != _NO_VALUE]
        else:
            valued = [at for at in every if keys[at] == keys[at] != _NO_VALUE]
        valued.sort(key=keys.__getitem__, reverse=self.descending)
        if len(valued) < len(every):
            known = set(valued)
            valued += [at for at in every if at not in known]
        return array("l", valued)

    @property
    def _order(self) -> Sequence[int] | None:
        """The indices in the order of the rows, None if all requests are rows in the order in which they ended."""
        if self._sorted is not None and self.in_order:
            return self._sorted[1]
        return self._left if self._test is not None else None

    def __len__(self) -> int:
        return len(self._requests) if (order := self._order) is None else len(order)

    def at(self, row: int) -> int:
        """Return the index of the request in this row."""
        return row if (order := self._order) is None else order[row]

    def row_of(self, at: int) -> int | None:
        """Return the row of the request with this index, None if the filter hides it."""
        order = self._order
        if order is None:
            return at
        if order is self._left:
            place = bisect.bisect_left(order, at)
            return place if place < len(order) and order[place] == at else None
        try:
            return order.index(at)
        except ValueError:
            return None

    def near(self, at: int) -> int:
        """Return the row of this request, or of the last one before it that is shown."""
        row = self.row_of(at)
        if row is None and self._order is self._left:
            return max(0, bisect.bisect_left(self._left, at) - 1)
        return row or 0

    def after(self, row: int, wanted: Sequence[int]) -> int | None:
        """Return the next row below `row` that has one of the `wanted` requests, from the top again at the end."""
        chosen = set(wanted)
        count = len(self)
        below = (each % count for each in range(row + 1, row + 1 + count))
        return next((each for each in below if self.at(each) in chosen), None)
