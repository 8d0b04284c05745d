"""Requests of a run's turns from the history of another machine, both ends: for exports and pages of a monitor."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator

import msgspec

from llmtui import exit_codes
from llmtui.link.line_messages import Joined, Past
from llmtui.link.requests import batches
from llmtui.link.ssh import Line, OtherMachine
from llmtui.model import Iteration, RequestBatch, Requests, Turn
from llmtui.model.errors import CommandError
from llmtui.store.errors import StoreError
from llmtui.store.requests import Answer, RequestSource

#: How long the other machine may take for a part of an answer, in s.
_PART_S = 60.0


def answer_requests(run: str, store: str) -> int:
    """Answer each command on stdin until stdin ends. Return the exit code."""
    from llmtui.cli.history import opened

    with opened(store) as history:
        turns = {(turn.backend, turn.seq): turn for turn in history.load(run).turns}
    source = RequestSource(store)
    decode = msgspec.json.Decoder(Requests).decode

    async def answer(command: Requests) -> None:
        turn = turns.get((command.backend, command.turn))
        async for batch in batches(lambda _: source.answer(turn, command) if turn else iter(()), command):
            data = msgspec.json.encode(batch) + b"\n"
            while data:
                data = data[os.write(1, data) :]

    try:
        for line in sys.stdin.buffer:
            if line.strip():
                asyncio.run(answer(decode(line)))
    except (BrokenPipeError, msgspec.DecodeError):
        pass  # the other end has gone, or is not llmtui
    finally:
        source.close()
    return exit_codes.OK


class RequestsThere:
    """Reads the requests of turns from the history of another machine, over a line that is opened when it is needed.

    It has the methods of `store.requests.RequestSource`, and may be used from any thread.
    """

    def __init__(self, machine: OtherMachine, run: str, store: str) -> None:
        self._machine = machine
        self._past = Past(run=run, store=store)
        self._line: Line | None = None
        self._busy = threading.Lock()

    def __call__(self, turn: Turn) -> Iterator[list[Iteration]]:
        """Yield the requests of a turn, some at a time. Raises StoreError."""
        for batch in self._ask(Requests(backend=turn.backend, turn=turn.seq)):
            yield batch.samples

    def answer(self, turn: Turn, command: Requests) -> Iterator[Answer]:
        """Yield what `command` asks for of `turn`. Raises StoreError."""
        for batch in self._ask(command):
            yield batch.total, batch.samples if batch.columns is None else batch.columns

    def _ask(self, command: Requests) -> Iterator[RequestBatch]:
        with self._busy:
            line, whole = self._open(), False
            try:
                line.write(msgspec.json.encode(command) + b"\n")
                while True:
                    text = line.read_line(_PART_S)
                    if text is None:
                        raise StoreError(f"the requests are on {self._machine.host}, and the line there has ended")
                    batch = msgspec.json.decode(text, type=RequestBatch)
                    if batch.problem:
                        raise StoreError(f"{self._machine.host}: {batch.problem}")
                    if batch.last:
                        whole = True
                        return
                    yield batch
            except msgspec.DecodeError as error:
                raise StoreError(line.unreadable(error)) from None
            finally:
                if not whole:
                    self._close()  # the rest of the answer is not read

    def _open(self) -> Line:
        if self._line is None:
            line = None
            try:
                line = Line.open(self._machine, again=True)
                if not isinstance(line.ask(self._past), Joined):
                    raise CommandError("an unexpected answer")
            except CommandError as error:
                if line is not None:
                    line.close(0)
                raise StoreError(f"the requests are on {self._machine.host}: {error}") from None
            self._line = line
        return self._line

    def _close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def close(self) -> None:
        """Close the line."""
        self._close()
