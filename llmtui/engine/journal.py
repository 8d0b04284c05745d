"""The engine's hand on the history: an iteration is on disk before anyone is told of it, or clients hear of that."""

from __future__ import annotations

from collections.abc import Callable

from llmtui.model import AnyEvent, BackendState, Iteration, Machine, Note, Plan
from llmtui.store import Store, StoreError, open_store


class Journal:
    """Writes one run into the history. Never raises: a run without a history is better than none; clients are told."""

    def __init__(self, plan: Plan, tell: Callable[[AnyEvent], None]) -> None:
        self._plan = plan
        self._tell = tell
        self._store: Store | None = None
        self._unsaved: list[Iteration] = []
        self._complained = False

    def begin(self, path: str, machine: Machine) -> list[Note]:
        """Open the history at `path` ("" is the usual place) and note the run. Returns what clients should be told."""
        try:
            self._store, words = open_store(path or None)
            self._store.mark_dead()
            self._store.begin(self._plan, machine)
        except StoreError as error:
            if self._store is not None:
                self._store.close()
                self._store = None
            return [Note(text=f"this run is not kept in the history: {error}", level="warning")]
        return [Note(text=text, level="warning") for text in words]

    def iteration(self, iteration: Iteration) -> None:
        """Save one iteration, and those that could not be saved before."""
        if self._store is None:
            return
        self._unsaved.append(iteration)
        try:
            while self._unsaved:
                self._store.save_iteration(self._unsaved[0])
                self._unsaved.pop(0)
        except StoreError as error:
            self._complain(error)
        else:
            self._complained = False

    def state(self, state: BackendState) -> None:
        """Save what a backend has come to."""
        if self._store is not None:
            try:
                self._store.save_state(self._plan.run, state)
            except StoreError as error:
                self._complain(error)

    def again(self) -> None:
        """A run that was done goes on."""
        if self._store is not None:
            try:
                self._store.reopen(self._plan)
            except StoreError as error:
                self._complain(error)

    def end(self, complete: bool) -> None:
        """The run is done, or was stopped with work left."""
        if self._store is not None:
            try:
                self._store.finish(self._plan.run, "done" if complete else "stopped")
            except StoreError as error:
                self._complain(error)

    def close(self) -> None:
        """Close the history."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _complain(self, error: StoreError) -> None:
        if not self._complained:
            self._complained = True
            self._tell(Note(text=f"the history cannot be written: {error}", level="error"))
