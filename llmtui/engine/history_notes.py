"""What clients are told about the history: that it cannot be written, and that it is written again."""

from __future__ import annotations

import time
from collections.abc import Callable

from llmtui.model import AnyEvent, Note
from llmtui.store.errors import LockedError, StoreError
from llmtui.text.format import plural

#: Two runs that write at the same time block each other briefly. Only a longer lock is reported.
REPORT_LOCK_AFTER_S = 2.0


class HistoryNotes:
    """One note when writing fails, and one when everything is written. `notes` are for clients that connect later."""

    def __init__(self, emit: Callable[[AnyEvent], None]) -> None:
        self.notes: list[Note] = []
        self._emit = emit
        self._failure_note: Note | None = None
        self._locked_since: float | None = None
        #: How many requests were dropped, and of how many of them that has been said after the history was written.
        self._lost = self._missing = 0

    @property
    def behind(self) -> bool:
        """Whether the last write failed."""
        return self._failure_note is not None or self._locked_since is not None

    def add(self, note: Note) -> None:
        """Emit a note, also to clients that connect later."""
        self.notes.append(note)
        self._emit(note)

    def dropped(self, count: int) -> None:
        """Report how many requests were dropped so far, because too many waited for the history."""
        if count > self._lost == 0:
            text = "too many requests wait for the history: further ones are only in the figures of their turns"
            self.add(Note(text=text, level="error"))
        self._lost = count

    def failed(self, error: StoreError, last: bool) -> None:
        """Writing failed. `last`: it is not tried again."""
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
            self.add(self._failure_note)

    def written(self) -> None:
        """Everything is written."""
        self._locked_since = None
        missing = self._lost - self._missing
        if self._failure_note is not None:
            self.notes.remove(self._failure_note)
            self._failure_note = None
        elif not missing:
            return
        words = "nothing of this run is missing"
        if missing:
            self._missing = self._lost
            words = f"{plural(missing, 'request')} of this run are missing, but not from its figures"
        self._emit(Note(text=f"the history is written again; {words}"))
