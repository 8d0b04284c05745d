"""What of a run is not in the history yet, in the order in which it is to be written."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import Literal

from llmtui.model import BackendState, Iteration, Plan, Turn, redacted
from llmtui.store.history import Store
from llmtui.store.turn_rows import chunks_of
from llmtui.store.turns import Chunk
from llmtui.text import Redactor

#: The most bytes of packed requests that wait for the history: those of some 100,000 requests.
MAX_WAITING_BYTES = 32 * 1024 * 1024


class Unwritten:
    """Iterations, turns with their requests, states, and the status of the run. `lost` counts requests that were
    dropped because the others took `MAX_WAITING_BYTES`."""

    def __init__(self) -> None:
        self.iterations: list[Iteration] = []
        self.turns: dict[int, Turn] = {}
        self.samples: list[Iteration] = []
        self.states: dict[tuple[str, int], BackendState] = {}
        self.status: Literal["", "running", "done", "stopped"] = ""
        self.lost = 0
        self._chunks: deque[Chunk] = deque()
        self._bytes = 0
        self._full = False

    def __bool__(self) -> bool:
        return bool(self.iterations or self.turns or self.samples or self._chunks or self.states or self.status)

    def pack(self, redact: Redactor) -> None:
        """Redact and pack the samples."""
        for (run, turn), of_turn in groupby(self.samples, key=lambda sample: (sample.run, sample.turn)):
            for count, packed in chunks_of([redacted(sample, redact) for sample in of_turn]):
                self._full = self._full or self._bytes + len(packed) > MAX_WAITING_BYTES
                if self._full:
                    self.lost += count
                    continue
                self._chunks.append(Chunk(run, turn, count, packed))
                self._bytes += len(packed)
        self.samples.clear()

    def write(self, store: Store, plan: Plan) -> None:
        """Write everything, and forget what is written. Raises StoreError: the rest is still here."""
        while self.iterations:
            store.save_iteration(self.iterations[0])
            self.iterations.pop(0)
        if self.turns or self._chunks:
            store.save_turns(plan.run, list(self.turns.values()), self._chunks)
            self.turns.clear()
            self._chunks.clear()
            self._bytes, self._full = 0, False
        for key, state in list(self.states.items()):
            store.save_state(plan.run, state, state.model_digest)
            del self.states[key]
        if self.status == "running":
            store.reopen(plan)
        elif self.status:
            store.finish(plan.run, self.status)
        self.status = ""

    def add(self, later: Unwritten) -> None:
        """Put `later` behind what is here."""
        self.iterations += later.iterations
        self.turns |= later.turns
        self.samples += later.samples
        self.states |= later.states
        self.status = later.status or self.status
        self.lost += later.lost
        self._chunks += later._chunks
        self._bytes += later._bytes
