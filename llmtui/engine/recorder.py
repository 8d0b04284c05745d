"""Writes a run into the history: an iteration or a turn is on disk before any client receives it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Iterator

import msgspec

from llmtui.engine.history_notes import HistoryNotes
from llmtui.engine.unwritten import Unwritten
from llmtui.model import AnyEvent, BackendState, Iteration, Machine, Note, Plan, Requests, Turn, redactor
from llmtui.store import requests
from llmtui.store.errors import StoreError
from llmtui.store.history import Store
from llmtui.store.open import open_store
from llmtui.store.rows import StoredRun

#: How long the first write to a locked history waits, which blocks the event loop of a race. Later writes do not wait
#: until one succeeds, so that a lock delays a run once and not after each iteration.
WAIT_S = 0.25
#: The same when the engine starts, and when it exits with something unwritten.
OPEN_WAIT_S = 1.0
CLOSE_WAIT_S = 4.0
#: How often a write is retried while the run has nothing to measure; opening is never retried more often.
RETRY_S = 1.0

#: As many requests wait for the thread as they came. Beyond them they are packed, which takes a tenth of the memory.
MOST_UNPACKED = 500

#: Why a batch was not written, None if it was; `_LATER` if the history is not to be opened yet.
_Outcome = StoreError | None
_LATER = StoreError("")
_Writing = concurrent.futures.Future[_Outcome]


class Recorder:
    """Writes one run into the history. Only `resume` raises: a run without a history is better than no run.

    What cannot be written is retried with the next iteration, while the run is idle, and when it ends. Clients get one
    note when writing fails and one when everything is written; `notes` are those for clients that connect later.

    A race is written in the event loop, between two requests. Under a load a thread writes, so that the loop never
    waits for the disk: whatever comes meanwhile is the next transaction.
    """

    def __init__(self, plan: Plan, emit: Callable[[AnyEvent], None]) -> None:
        self._notes = HistoryNotes(emit)
        self._plan = plan
        self._path = ""
        self._machine = Machine()
        self._label = ""
        self._redact = redactor(plan)
        self._store: Store | None = None
        self._begun = False
        self._look_back = False
        self._open_at = 0.0
        self._unwritten = Unwritten()
        self._warnings: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        #: Under a load: the thread, and the write under way with what it writes.
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "recorder") if plan.levels else None
        self._writing: tuple[_Writing, Unwritten] | None = None
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def notes(self) -> list[Note]:
        """The notes for clients that connect later."""
        return self._notes.notes

    def begin(self, path: str, machine: Machine, label: str = "") -> list[Note]:
        """Open the history at `path` ("" is the default) and add the run with its label. Return `notes`.

        The plan gets the spreads that the history has, unless it cannot be opened now.
        """
        self._path, self._machine, self._label = path, machine, label
        self._look_back = True
        self._flush(OPEN_WAIT_S)
        self._look_back = False
        return self._notes.notes

    @property
    def plan(self) -> Plan:
        """The plan, with the spreads that the history has."""
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
        # The engine died in the middle of one: it is taken again, and its requests stay.
        self._store.save_turns(self._plan.run, [turn for turn in stored.turns if turn.state == "partial"], [])
        self._begun = True
        return stored

    def requests(self, turn: Turn, command: Requests) -> Iterator[requests.Answer]:
        """Yield the requests of a turn that `command` asks for, as far as the history has them. Raises StoreError.

        May be called from any thread.
        """
        if self._store is not None:
            yield from requests.answer(self._store, turn, command)

    def save_iteration(self, iteration: Iteration) -> None:
        """Save one iteration, and whatever could not be saved before."""
        self._unwritten.iterations.append(iteration)
        self._save()

    def save_turn(self, turn: Turn) -> None:
        """Save a turn as it begins, and again when it has ended."""
        self._unwritten.turns[turn.seq] = turn
        self._save()

    def save_requests(self, samples: list[Iteration]) -> None:
        """Save requests of a turn, and whatever could not be saved before."""
        self._unwritten.samples.extend(samples)
        if len(self._unwritten.samples) > MOST_UNPACKED:
            # The thread cannot keep up, or the history is locked.
            self._unwritten.pack(self._redact)
        self._save()

    def save_state(self, state: BackendState) -> None:
        """Save the state of a backend."""
        self._unwritten.states[state.name, state.attempt] = state
        self._save()

    async def written(self) -> None:
        """Wait until everything that was saved is on disk, or cannot be written now."""
        if self._writing is not None:
            # The one after the write under way has everything.
            for _ in range(2 if self._unwritten else 1):
                if self._writing is None:
                    return
                done = asyncio.get_running_loop().create_future()
                self._waiting.append(done)
                await done

    def reopen(self) -> None:
        """Mark a finished run as running again."""
        self._unwritten.status = "running"
        self._flush()
        self._set_idle(False)

    def end(self, complete: bool) -> None:
        """Mark the run as done, or as stopped with work left."""
        self._unwritten.status = "done" if complete else "stopped"
        self._flush()
        self._set_idle(True)

    def close(self) -> None:
        """Write what is left, waiting longer for a lock, and close the history."""
        self._set_idle(False)
        self._settle()
        if self._notes.behind or self._unwritten:
            self._open_at = 0.0
            self._flush(CLOSE_WAIT_S, last=True)
        if self._thread is not None:
            self._thread.shutdown()
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _save(self) -> None:
        """Write what is unwritten: under a load in the thread, once the write under way has ended."""
        if self._thread is None:
            self._flush()
        elif self._writing is None and self._timer is None:
            self._write_in_thread(self._thread)

    def _write_in_thread(self, thread: concurrent.futures.ThreadPoolExecutor) -> None:
        batch, self._unwritten = self._unwritten, Unwritten()
        loop = asyncio.get_running_loop()
        writing = thread.submit(self._write, batch, 0.0 if self._notes.behind else WAIT_S)
        self._writing = writing, batch
        writing.add_done_callback(lambda of: loop.call_soon_threadsafe(self._end_write, of))

    def _end_write(self, writing: _Writing) -> None:
        """A write of the thread has ended."""
        if self._writing is None or self._writing[0] is not writing:
            return
        self._settle()
        if self._notes.behind:
            self._set_idle(True)
        elif self._unwritten and self._thread is not None:
            self._write_in_thread(self._thread)

    def _settle(self) -> None:
        """Wait for the write of the thread, if there is one, and take back what it did not write."""
        if self._writing is None:
            return
        (writing, batch), self._writing = self._writing, None
        error = writing.result()
        batch.add(self._unwritten)
        self._unwritten = batch
        self._report(error)
        for done in self._waiting:
            if not done.done():
                done.set_result(None)
        self._waiting.clear()

    def _flush(self, wait_s: float | None = None, *, last: bool = False) -> None:
        """Write what is still unwritten now. `last`: this is the last attempt, so report any failure."""
        self._settle()
        if wait_s is None:
            wait_s = 0.0 if self._notes.behind else WAIT_S
        self._report(self._write(self._unwritten, wait_s), last)

    def _write(self, batch: Unwritten, wait_s: float) -> _Outcome:
        """Write a batch. Return why that failed. Under a load the thread runs this."""
        try:
            batch.pack(self._redact)
            if not self._open(wait_s):
                return _LATER
            assert self._store is not None
            self._store.wait(wait_s)
            batch.write(self._store, self._plan)
        except StoreError as error:
            return error
        except Exception as error:  # an error in llmtui must not end the run, nor let it wait for ever
            return StoreError(f"llmtui failed here: {error!r}; please report this")
        return None

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
                self._plan = _with_spreads(self._plan, store, self._machine)
            store.begin(self._plan, self._machine, self._label)
        except StoreError:
            store.close()
            raise
        self._store, self._begun = store, True
        self._warnings = warnings
        return True

    def _set_idle(self, idle: bool) -> None:
        """Retry once every `RETRY_S` while the run is idle, or under a load, and something is unwritten."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if idle and self._notes.behind:
            self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        self._timer = None
        if self._thread is not None:
            self._save()
        else:
            self._flush()
            self._set_idle(True)

    def _report(self, outcome: _Outcome, last: bool = False) -> None:
        """Tell clients what has changed about the history."""
        warnings, self._warnings = self._warnings, []
        for text in warnings:
            self._notes.add(Note(text=text, level="warning"))
        self._notes.dropped(self._unwritten.lost)
        if outcome is None:
            self._notes.written()
        elif outcome is not _LATER:
            self._notes.failed(outcome, last)


def _with_spreads(plan: Plan, store: Store, machine: Machine) -> Plan:
    """Return the plan with the spreads that the history has, if it can be read."""
    try:
        return msgspec.structs.replace(plan, spreads=store.launch_spreads(plan, machine))
    except StoreError:
        return plan
