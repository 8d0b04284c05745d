"""The requests of a run's turns, for those who have the run but not its history."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

from llmtui.model import Iteration, Requests, Turn
from llmtui.model.request_columns import RequestColumns
from llmtui.store.history import Store
from llmtui.store.open import open_store

#: How many requests the turn has, and some of them.
Answer = tuple[int, list[Iteration] | RequestColumns]


def answer(store: Store, turn: Turn, command: Requests) -> Iterator[Answer]:
    """Yield what `command` asks for of `turn`, some hundred requests at a time. Raises StoreError."""
    chunks = store.request_chunks(turn)
    total = sum(count for _, count in chunks)
    if command.columns and command.place is None:
        for columns in store.request_columns(turn, [chunk for chunk, _ in chunks]):
            yield total, columns
        return
    if command.place is None:
        for samples in store.requests(turn, [chunk for chunk, _ in chunks], figures=command.figures):
            yield total, samples
        return
    place = command.place
    for chunk, count in chunks if place >= 0 else ():
        if place < count:
            for samples in store.requests(turn, [chunk], figures=command.figures, only=place):
                yield total, samples
            return
        place -= count


class RequestReader(Protocol):
    """Reads the requests of turns, from any thread. Raises StoreError."""

    def __call__(self, turn: Turn) -> Iterator[list[Iteration]]:
        """Yield the requests of a turn, some hundred at a time."""

    def answer(self, turn: Turn, command: Requests) -> Iterator[Answer]:
        """Yield what `command` asks for of `turn`."""

    def close(self) -> None:
        """Let go of where they are."""


class RequestSource:
    """Reads the requests of turns from the history at `path`, which is opened when they are first needed.

    It may be used from any thread.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._store: Store | None = None
        self._opening = threading.Lock()

    def __call__(self, turn: Turn) -> Iterator[list[Iteration]]:
        """Yield the requests of a turn, some hundred at a time. Raises StoreError, also if the run is not there."""
        yield from self._of(turn).requests(turn)

    def answer(self, turn: Turn, command: Requests) -> Iterator[Answer]:
        """Yield what `command` asks for of `turn`. Raises StoreError, also if the run is not there."""
        yield from answer(self._of(turn), turn, command)

    def _of(self, turn: Turn) -> Store:
        with self._opening:
            if self._store is None:
                self._store, _ = open_store(self._path or None)
        self._store.state(turn.run)
        return self._store

    def close(self) -> None:
        """Close the history."""
        if self._store is not None:
            self._store.close()
            self._store = None
