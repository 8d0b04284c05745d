"""The requests of one turn in a client's memory: the figures of all, the answers of those that were looked at.

A turn may have a million requests. Their figures take some 130 bytes each; texts and arrivals stay in the history, and
a few are fetched on demand.
"""

from __future__ import annotations

import itertools
import math
import operator
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from llmtui.model import Failure, Iteration, RequestBatch, Requests, Slo, Turn
from llmtui.model.request_columns import NONE, REPEATED, SECONDS, WHOLES, RequestColumns
from llmtui.stats.objectives import JUDGEMENTS, Judgement, judge, judge_columns, of_all

#: Requests whose answers stay in memory, the newest that were asked for.
KEPT_WHOLE = 8
#: The most different texts of a field that are remembered. Beyond them a request's text comes with its answer.
MOST_TEXTS = 65_536


class _Texts:
    """The values of a field that repeat, each kept once. `codes` has the number of each request's value."""

    def __init__(self) -> None:
        self.codes = array("l")
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def append(self, value: Any) -> None:
        """Add a request's value."""
        number = self._numbers.get(value)
        if number is None:
            if len(self.values) >= MOST_TEXTS:
                value = _shortened(value)
            number = self._numbers.setdefault(value, len(self.values))
            if number == len(self.values):
                self.values.append(value)
        self.codes.append(number)

    def extend(self, codes: array[int], values: Sequence[Any]) -> None:
        """Add the values of many requests: `codes` are their places among `values`."""
        numbers = []
        for value in values:
            self.append(value)
            numbers.append(self.codes.pop())
        self.codes.extend(map(numbers.__getitem__, codes) if numbers else ())

    def __getitem__(self, at: int) -> Any:
        return self.values[self.codes[at]]


def _shortened(value: Any) -> Any:
    """What stands for a value that is not remembered: of an error its kind."""
    return Failure(kind=value.kind, message="see its answer") if isinstance(value, Failure) else ""


class TurnRequests(Sequence[Iteration]):
    """The requests of `turn`, in the order in which they ended, without texts and arrivals.

    They are `complete` when all have arrived; `total` is how many there are, 0 if that is unknown. `problem` is why
    they cannot be read, else "". `slo` are the objectives that they are judged by.
    """

    def __init__(self, turn: Turn, slo: Slo | None = None) -> None:
        self.turn = turn
        self.slo = slo if slo is not None and slo.limits else None
        self.total = 0
        self.complete = False
        self.problem = ""
        self._reals = {name: array("d") for name in SECONDS}
        self._wholes = {name: array("q") for name in WHOLES}
        self._texts = {name: _Texts() for name in REPEATED}
        self._judged = array("b")
        self._failed: array[int] = array("l")
        self._whole: dict[int, Iteration] = {}
        self._unread: dict[int, str] = {}

    # --- What is asked for ---

    @property
    def command(self) -> Requests:
        """The command for the figures of all."""
        return Requests(backend=self.turn.backend, turn=self.turn.seq, figures=True, columns=True)

    def command_of(self, at: int) -> Requests:
        """The command for the whole request with this index."""
        return Requests(backend=self.turn.backend, turn=self.turn.seq, place=at)

    def add(self, batch: RequestBatch) -> bool:
        """Add what arrived. Return whether it is of this turn, and was asked for here.

        Raises ValueError for columns that no engine of llmtui sends.
        """
        if (batch.backend, batch.turn) != (self.turn.backend, self.turn.seq):
            return False
        if batch.place is not None:
            self._add_whole(batch.place, batch)
            return True
        if not batch.figures or self.complete:
            return False
        self.total = max(self.total, batch.total)
        for sample in batch.samples:
            self._add(sample)
        if batch.columns is not None:
            self._extend(batch.columns)
        if batch.last:
            self.complete, self.problem = True, batch.problem
        return True

    def _add(self, sample: Iteration) -> None:
        if sample.error is not None:
            self._failed.append(len(self))
        if self.slo is not None:
            self._judged.append(JUDGEMENTS.index(of_all(judge(sample, self.slo))))
        for name, reals in self._reals.items():
            value = getattr(sample, name)
            reals.append(math.nan if value is None else value)
        for name, wholes in self._wholes.items():
            value = getattr(sample, name)
            wholes.append(NONE if value is None else value)
        for name, texts in self._texts.items():
            texts.append(getattr(sample, name))

    def _extend(self, columns: RequestColumns) -> None:
        start = len(self)
        seconds = {name: columns.seconds_of(name) for name in SECONDS}
        wholes = {name: columns.wholes_of(name) for name in WHOLES}
        codes = {name: columns.codes_of(name) for name in REPEATED}
        failed = [error is not None for error in columns.errors]
        if any(failed):
            self._failed.extend(start + at for at, code in enumerate(codes["error"]) if failed[code])
        for name, reals in self._reals.items():
            reals.extend(seconds[name])
        for name, numbers in self._wholes.items():
            numbers.extend(wholes[name])
        for name, texts in self._texts.items():
            texts.extend(codes[name], columns.values(name))
        if self.slo is not None:
            errors = (columns.errors[code] for code in codes["error"]) if any(failed) else itertools.repeat(None)
            judged = judge_columns(seconds, errors, self.slo, lambda at: self[start + at])
            self._judged.extend(map(JUDGEMENTS.index, judged))

    def _add_whole(self, at: int, batch: RequestBatch) -> None:
        for sample in batch.samples[:1]:
            self._whole.pop(at, None)
            self._whole[at] = sample
            while len(self._whole) > KEPT_WHOLE:
                del self._whole[next(iter(self._whole))]
        if batch.last and at not in self._whole:
            self._unread[at] = batch.problem or "it is not in the history"

    # --- What there is ---

    def whole(self, at: int) -> Iteration | None:
        """Return the request with its text and arrivals, None if it has not arrived."""
        return self._whole.get(at)

    def unread(self, at: int) -> str:
        """Return why the whole request cannot be read, "" if that is not known."""
        return self._unread.get(at, "")

    def judgement(self, at: int) -> Judgement | None:
        """Whether a request kept the objectives, None without objectives."""
        return JUDGEMENTS[self._judged[at]] if self.slo is not None else None

    @property
    def failed(self) -> Sequence[int]:
        """The indices of the requests without a result."""
        return self._failed

    @property
    def open(self) -> bool:
        """Whether the requests were due at times of their own."""
        return any(not math.isnan(due) for due in self._reals["due_s"][:1])

    @property
    def prompts_differ(self) -> bool:
        """Whether the requests have prompts of different names."""
        return len(self._texts["prompt"].values) > 1

    def slowest(self, rows: Iterator[int]) -> int | None:
        """Return the index of the request with the highest latency among `rows`, which are indices."""
        latency = self._reals["latency_s"]
        answered = (at for at in rows if not math.isnan(latency[at]) and self._texts["error"][at] is None)
        return max(answered, key=latency.__getitem__, default=None)

    def keys(self, field: str) -> Sequence[float]:
        """Return what requests are sorted by, NaN or -1 without a value: a field of a request, "kept" or "queue"."""
        if field == "kept":
            return self._judged
        if field == "queue":
            return array("d", map(operator.sub, self._reals["written_s"], self._reals["due_s"]))
        if field in self._reals:
            return self._reals[field]
        if field in self._wholes:
            return self._wholes[field]
        texts = self._texts[field]
        ordered = sorted((str(value or ""), number) for number, value in enumerate(texts.values))
        ranks = [0] * len(texts.values)
        for rank, (text, number) in enumerate(ordered):
            ranks[number] = rank if text else NONE
        return array("l", map(ranks.__getitem__, texts.codes))

    def __len__(self) -> int:
        return len(self._texts["error"].codes)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        at += len(self) if at < 0 else 0
        if not 0 <= at < len(self):
            raise IndexError(f"{at} of {len(self)} requests")
        fields: dict[str, Any] = {
            name: None if math.isnan(reals[at]) else reals[at] for name, reals in self._reals.items()
        }
        fields |= {name: wholes[at] for name, wholes in self._wholes.items() if wholes[at] != NONE}
        fields |= {name: texts[at] for name, texts in self._texts.items()}
        return self.turn.request(**fields)

    def figures(self, start: int = 0) -> Iterator[Iteration]:
        """Return the requests from the index `start` (0 or more) on."""
        return (self[at] for at in range(start, len(self)))
