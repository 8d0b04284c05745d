"""The requests of a run's turns, for those who have the run but not its history."""

from __future__ import annotations

from collections.abc import Iterator

from llmtui.model import Iteration, Turn
from llmtui.store.history import Store
from llmtui.store.open import open_store


class RequestSource:
    """Reads the requests of turns from the history at `path`, which is opened when they are first needed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._store: Store | None = None

    def __call__(self, turn: Turn) -> Iterator[list[Iteration]]:
        """Yield the requests of a turn, some hundred at a time. Raises StoreError, also if the run is not there."""
        if self._store is None:
            self._store, _ = open_store(self._path or None)
        self._store.state(turn.run)
        yield from self._store.requests(turn)

    def close(self) -> None:
        """Close the history."""
        if self._store is not None:
            self._store.close()
            self._store = None
