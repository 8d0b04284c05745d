"""`Run`: a run as plain data. Its rows are dicts with the names of the CSV columns (`llmtui explain csv`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from llmtui.export.column import Column
from llmtui.export.csv import results
from llmtui.export.load_columns import ITERATION_COLUMNS, RESULT_COLUMNS, TURN_COLUMNS, LevelTurn, Sample
from llmtui.model import Iteration, Level, Turn
from llmtui.runview.run import RunView
from llmtui.text import sanitize

T = TypeVar("T")
Row = dict[str, Any]
#: Reads the requests of a turn, some at a time.
Requests = Callable[[Turn], Iterable[list[Iteration]]]

#: Columns of the results that do not follow from the samples alone: a file has the verdict itself.
_JUDGED = frozenset(
    """ratio_to_fastest comparable_to_fastest verdict_ratio verdict_ratio_low verdict_ratio_high own_error_p95_s void
    warnings notes evidence""".split()  # noqa: SIM905
)
#: Columns with "yes" and "no", which are True and False here.
_BOOLEAN = frozenset({"disturbed", "loaded", "beyond_capacity"})
_TEXT = 2_000


@dataclasses.dataclass(frozen=True, repr=False)
class Run:
    """A run. Its methods return lists of rows, dicts with the names of the CSV columns; an unknown value is None.

    `run` is its id, `created_utc` when it was planned (ISO 8601), `state` "done", "stopped", "died" or "running", and
    "" if the file does not say. `source` is where it was read from. `config` has the settings of [run] and `load` those
    of [load], as their names in config.toml; `machine` has cpu, cores, memory_bytes, os, python, llmtui (the version)
    and more. All three are {} if the file does not say. `verdict` is the verdict in words, "" without one.
    """

    run: str
    created_utc: str
    label: str
    note: str
    state: str
    source: str
    config: Mapping[str, Any]
    load: Mapping[str, Any]
    machine: Mapping[str, Any]
    verdict: str
    _view: RunView
    _requests: Requests
    #: Columns of the backends that the file says nothing about.
    _unknown: frozenset[str] = frozenset()
    #: The titles of its levels by number, if the file has them and not the load.
    _titles: Mapping[int, str] = dataclasses.field(default_factory=dict)

    def backends(self) -> list[Row]:
        """One row per backend, of a load per level and backend: the columns of the results CSV without the verdict's.

        Durations are in s, rates per second. They are computed from the samples.
        """
        levels: list[Level | None] = [*self._view.levels_shown] or [None]
        columns = [column for column in RESULT_COLUMNS if column.name not in _JUDGED]
        unknown = dict.fromkeys(self._unknown)
        names = list(self._view.backends)
        rows = []
        for level in levels:
            of_level = sorted(results(self._view, level), key=lambda result: names.index(result.backend.name))
            rows += [self._row(columns, result, level) | unknown for result in of_level]
        return rows

    def iterations(self) -> list[Row]:
        """One row per iteration, warm-ups and failures too: the columns of the iterations CSV, and the answer.

        After them come `text` (as the server sent it), `arrivals_s` (a list: when tokens arrived, in s since the
        request was written) and `arrival_tokens` (a list: how many in each). Of a load these are warm-ups of one
        request; `requests` has the others.
        """
        return [self._sample(Sample(i)) for view in self._view.backends.values() for i in view.iterations]

    def turns(self) -> list[Row]:
        """One row per turn of a load: the columns of the turns CSV. [] for a race."""
        rows = (LevelTurn(turn, self._level(turn)) for turn in self._turns())
        return [self._row(TURN_COLUMNS, row, row.level) for row in rows]

    def requests(self, backend: str = "") -> list[Row]:
        """One row per request of a load, of one backend if it is named, as `iterations`. [] for a race.

        A row with 64 arrivals takes about 8 kB: for a million requests, name one backend at a time.
        """
        return [
            self._sample(Sample(request, self._level(turn)))
            for turn in self._turns()
            if not backend or turn.backend == backend
            for batch in self._requests(turn)
            for request in batch
        ]

    def __repr__(self) -> str:
        return f"<llmtui run {self.run!r} of {self.created_utc}: {', '.join(self._view.backends)}>"

    def _turns(self) -> list[Turn]:
        return [turn for view in self._view.backends.values() for turn in view.turns]

    def _level(self, turn: Turn) -> Level:
        return self._view.plan.levels[turn.level - 1]

    def _sample(self, sample: Sample) -> Row:
        of = sample.iteration
        answer = {"text": of.text, "arrivals_s": [ns / 1e9 for ns in of.arrivals_ns]}
        return self._row(ITERATION_COLUMNS, sample, sample.level) | answer | {"arrival_tokens": list(of.arrival_tokens)}

    def _row(self, columns: Sequence[Column[T]], of: T, level: Level | None) -> Row:
        row = {column.name: _value(column.name, column.of(of)) for column in columns}
        if level is not None and (title := self._titles.get(level.number)):
            row["level"] = title
        return row


def _value(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name in _BOOLEAN and value in ("yes", "no"):
        return value == "yes"
    return sanitize(value, _TEXT) or None
