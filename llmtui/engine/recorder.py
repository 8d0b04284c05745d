"""Writes a run into the history: an iteration is on disk before any client receives it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from llmtui.model import AnyEvent, BackendState, Iteration, Machine, Note, Plan, Turn
from llmtui.store.errors import LockedError, StoreError
from llmtui.store.history import Store
from llmtui.store.open import open_store
from llmtui.store.rows import StoredRun

#: How long the first write to a locked history waits, which blocks the event loop. Later writes do not wait until one
#: succeeds, so that a lock delays a run once and not after each iteration.
WAIT_S = 0.25
#: The same when the engine starts, and when it exits with something unwritten.
OPEN_WAIT_S = 1.0
CLOSE_WAIT_S = 4.0
#: Two runs that write at the same time block each other briefly. Only a longer lock is reported.
REPORT_LOCK_AFTER_S = 2.0
#: How often a write is retried while the run has nothing to measure; opening is never retried more often.
RETRY_S = 1.0


class Recorder:
    """Writes one run into the history. Only `resume` raises: a run without a history is better than no run.

    What cannot be written is retried with the next iteration, while the run is idle, and when it ends. Clients get one
    note when writing fails and one when everything is written; `notes` are those for clients that connect later.
    """

    def __init__(self, plan: Plan, emit: Callable[[AnyEvent], None]) -> None:
        self.notes: list[Note] = []
        self._plan = plan
        self._emit = emit
        self._path = ""
        self._machine = Machine()
        self._label = ""
        self._store: Store | None = None
        self._begun = False
        self._look_back = False
        self._open_at = 0.0
        self._iterations: list[Iteration] = []
        self._turns: dict[int, Turn] = {}
        self._requests: list[Iteration] = []
        self._states: dict[tuple[str, int], BackendState] = {}
        self._status: Literal["", "running", "done", "stopped"] = ""
        self._failure_note: Note | None = None
        self._locked_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, path: str, machine: Machine, label: str = "") -> list[Note]:
        """Open the history at `path` ("" is the default) and add the run with its label. Return `notes`.

        The plan gets the spreads that the history has, unless it cannot be opened now.
        """
        self._path, self._machine, self._label = path, machine, label
        self._look_back = True
        self._flush(OPEN_WAIT_S)
        self._look_back = False
        return self.notes

    @property
    def plan(self) -> Plan:
        """The plan, with the spreads that the history has."""
        return self._plan

    def _with_spreads(self, store: Store) -> Plan:
        try:
            return msgspec.structs.replace(self._plan, spreads=store.launch_spreads(self._plan, self._machine))
        except StoreError:
            return self._plan

    def usual_loads(self) -> dict[str, float]:
        """Return how long each backend's server took to load in earlier runs (s); empty if it cannot be read."""
        if self._store is None:
            return {}
        try:
            return self._store.usual_loads(self._plan)
        except StoreError:
            return {}

    def resume(self, path: str) -> StoredRun:
        """Open the history at `path` and return the run so far. Raises StoreError."""
        self._path = path
        self._store, _ = open_store(path or None)
        self._store.mark_dead()
        stored = self._store.load(self._plan.run)
        self._store.reopen(self._plan)
        self._begun = True
        return stored

    def save_iteration(self, iteration: Iteration) -> None:
        """Save one iteration, and whatever could not be saved before."""
        self._iterations.append(iteration)
        self._flush()

    def save_turn(self, turn: Turn) -> None:
        """Save a turn as it begins, and again when it has ended."""
        self._turns[turn.seq] = turn
        self._flush()

    def save_requests(self, samples: list[Iteration]) -> None:
        """Save requests of a turn, and whatever could not be saved before."""
        self._requests.extend(samples)
        self._flush()

    def save_state(self, state: BackendState) -> None:
        """Save the state of a backend."""
        self._states[state.name, state.attempt] = state
        self._flush()

    def reopen(self) -> None:
        """Mark a finished run as running again."""
        self._status = "running"
        self._flush()
        self._set_idle(False)

    def end(self, complete: bool) -> None:
        """Mark the run as done, or as stopped with work left."""
        self._status = "done" if complete else "stopped"
        self._flush()
        self._set_idle(True)

    @property
    def _behind(self) -> bool:
        """Whether the last write failed."""
        return self._failure_note is not None or self._locked_since is not None

    def close(self) -> None:
        """Write what is left, waiting longer for a lock, and close the history."""
        self._set_idle(False)
        if self._behind:
            self._open_at = 0.0
            self._flush(CLOSE_WAIT_S, last=True)
        if self._store is not None:
            self._store.close()
            self._store = None

    def _flush(self, wait_s: float | None = None, *, last: bool = False) -> None:
        """Write what is still unwritten. `last`: this is the last attempt, so report any failure."""
        if wait_s is None:
            wait_s = 0.0 if self._behind else WAIT_S
        try:
            if not self._open(wait_s):
                return
            assert self._store is not None
            self._store.wait(wait_s)
            while self._iterations:
                self._store.save_iteration(self._iterations[0])
                self._iterations.pop(0)
            for seq, turn in list(self._turns.items()):
                self._store.save_turn(turn)
                del self._turns[seq]
            if self._requests:
                self._store.save_requests(self._requests)
                self._requests.clear()
            for key, state in list(self._states.items()):
                self._store.save_state(self._plan.run, state, state.model_digest)
                del self._states[key]
            if self._status == "running":
                self._store.reopen(self._plan)
            elif self._status:
                self._store.finish(self._plan.run, self._status)
            self._status = ""
        except StoreError as error:
            self._report_failure(error, last)
        else:
            self._report_recovery()

    def _open(self, wait_s: float) -> bool:
        """Return whether the history is open and contains this run. Raises StoreError."""
        if self._begun:
            return True
        now = time.monotonic()
        if now < self._open_at:
            return False
        self._open_at = now + RETRY_S
        store, warnings = open_store(self._path or None, wait_s=wait_s)
        try:
            store.mark_dead()
            if self._look_back:
                self._plan = self._with_spreads(store)
            store.begin(self._plan, self._machine, self._label)
        except StoreError:
            store.close()
            raise
        self._store, self._begun = store, True
        for text in warnings:
            self._add_note(Note(text=text, level="warning"))
        return True

    def _set_idle(self, idle: bool) -> None:
        """Retry once every `RETRY_S` while the run is idle and something is unwritten."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if idle and self._behind:
            self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._flush()
        self._set_idle(True)

    def _add_note(self, note: Note) -> None:
        self.notes.append(note)
        self._emit(note)

    def _report_failure(self, error: StoreError, last: bool) -> None:
        if isinstance(error, LockedError) and not last:
            now = time.monotonic()
            self._locked_since = self._locked_since or now
            if now - self._locked_since < REPORT_LOCK_AFTER_S:
                return
        if self._failure_note is None:
            text = f"this run is not in the history yet; writing is retried until it ends: {error}"
            if isinstance(error, LockedError) and not last:
                text = f"this run is not in the history yet; llmtui keeps trying: {str(error).partition(';')[0]}"
            self._failure_note = Note(text=text, level="error")
            self._add_note(self._failure_note)

    def _report_recovery(self) -> None:
        self._locked_since = None
        if self._failure_note is not None:
            self.notes.remove(self._failure_note)
            self._failure_note = None
            self._emit(Note(text="the history is written again; nothing of this run is missing"))
