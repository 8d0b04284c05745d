"""The engine's hand on the history: an iteration is on disk before anyone is told of it, or clients hear of that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Literal

from llmtui.model import AnyEvent, BackendState, Iteration, Machine, Note, Plan
from llmtui.store.errors import LockedError, StoreError
from llmtui.store.history import Store
from llmtui.store.open import open_store
from llmtui.store.rows import StoredRun

#: So long the first write that meets a locked history waits; the event loop stands still meanwhile. Those that follow
#: do not wait at all until one succeeded, so a lock holds a run up once and not after each iteration.
PATIENCE_S = 0.25
#: At the engine's start, and at its end for what could not be written before.
OPENING_S = 1.0
CLOSING_S = 4.0
#: Two runs that write at the same moment hold each other up for a moment. Only a lock that lasts longer is told of.
LOCKED_S = 2.0
#: With nothing to measure, and so nothing to disturb, writing is tried again this often; opening never more often.
RETRY_S = 1.0


class Recorder:
    """Writes one run into the history. But for `resume` it never raises: a run without a history is better than none.

    What cannot be written is kept and tried again with the next iteration, while the run rests and when it ends.
    Clients are told once that it cannot, and once that nothing is missing any more; `notes` are for those that come
    later.
    """

    def __init__(self, plan: Plan, emit: Callable[[AnyEvent], None]) -> None:
        self.notes: list[Note] = []
        self._plan = plan
        self._emit = emit
        self._path = ""
        self._machine = Machine()
        self._store: Store | None = None
        self._begun = False
        self._open_at = 0.0
        self._iterations: list[Iteration] = []
        self._states: dict[tuple[str, int], BackendState] = {}
        self._word: Literal["", "running", "done", "stopped"] = ""
        self._trouble: Note | None = None
        self._locked_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, path: str, machine: Machine) -> list[Note]:
        """Open the history at `path` ("" is the usual place) and note the run. Returns `notes`."""
        self._path, self._machine = path, machine
        self._flush(OPENING_S)
        return self.notes

    def usual_loads(self) -> dict[str, float]:
        """How long each backend's server took to load before (s), as far as the history can be asked."""
        if self._store is None:
            return {}
        try:
            return self._store.usual_loads(self._plan)
        except StoreError:
            # It only makes waits shorter to bear.
            return {}

    def resume(self, path: str) -> StoredRun:
        """Open the history at `path` and take up the run. Raises StoreError: without it nothing can go on."""
        self._path = path
        self._store, _ = open_store(path or None)
        self._store.mark_dead()
        stored = self._store.load(self._plan.run)
        self._store.reopen(self._plan)
        self._begun = True
        return stored

    def save_iteration(self, iteration: Iteration) -> None:
        """Save one iteration, and all that could not be saved before."""
        self._iterations.append(iteration)
        self._flush()

    def save_state(self, state: BackendState) -> None:
        """Save what a backend has come to."""
        self._states[state.name, state.attempt] = state
        self._flush()

    def reopen(self) -> None:
        """A run that was done goes on."""
        self._word = "running"
        self._flush()
        self._rest(False)

    def end(self, complete: bool) -> None:
        """The run is done, or was stopped with work left."""
        self._word = "done" if complete else "stopped"
        self._flush()
        self._rest(True)

    @property
    def _behind(self) -> bool:
        """Whether the last write failed."""
        return self._trouble is not None or self._locked_since is not None

    def close(self) -> None:
        """Write what is left, with more patience, and close the history."""
        self._rest(False)
        if self._behind:
            self._open_at = 0.0
            self._flush(CLOSING_S, last=True)
        if self._store is not None:
            self._store.close()
            self._store = None

    def _flush(self, patience_s: float | None = None, *, last: bool = False) -> None:
        """Write all that is not written yet. `last`: it will not be tried again, so a failure is told of at once."""
        if patience_s is None:
            patience_s = 0.0 if self._behind else PATIENCE_S
        try:
            if not self._open(patience_s):
                return
            assert self._store is not None
            self._store.wait(patience_s)
            while self._iterations:
                self._store.save_iteration(self._iterations[0])
                self._iterations.pop(0)
            for key, state in list(self._states.items()):
                self._store.save_state(self._plan.run, state, state.model_digest)
                del self._states[key]
            if self._word == "running":
                self._store.reopen(self._plan)
            elif self._word:
                self._store.finish(self._plan.run, self._word)
            self._word = ""
        except StoreError as error:
            self._complain(error, last)
        else:
            self._recovered()

    def _open(self, patience_s: float) -> bool:
        """Whether the history is open and has this run. Raises StoreError."""
        if self._begun:
            return True
        now = time.monotonic()
        if now < self._open_at:
            return False
        self._open_at = now + RETRY_S
        store, words = open_store(self._path or None, wait_s=patience_s)
        try:
            store.mark_dead()
            store.begin(self._plan, self._machine)
        except StoreError:
            store.close()
            raise
        self._store, self._begun = store, True
        for text in words:
            self._say(Note(text=text, level="warning"))
        return True

    def _rest(self, resting: bool) -> None:
        """Try again from time to time, as long as something is unwritten."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if resting and self._behind:
            self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._flush()
        self._rest(True)

    def _say(self, note: Note) -> None:
        self.notes.append(note)
        self._emit(note)

    def _complain(self, error: StoreError, last: bool) -> None:
        if isinstance(error, LockedError) and not last:
            now = time.monotonic()
            self._locked_since = self._locked_since or now
            if now - self._locked_since < LOCKED_S:
                return
        if self._trouble is None:
            text = f"this run is not kept in the history, which is tried again until it ends: {error}"
            self._trouble = Note(text=text, level="error")
            self._say(self._trouble)

    def _recovered(self) -> None:
        self._locked_since = None
        if self._trouble is not None:
            self.notes.remove(self._trouble)
            self._trouble = None
            self._emit(Note(text="the history is written again, and nothing of this run is missing in it"))
