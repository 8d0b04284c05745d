"""The requests of a turn for the screen of a run that has ended: from its history, in the form that an engine sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from llmtui.link.requests import Read, batches
from llmtui.model import Iteration, RequestBatch, Requests, Turn
from llmtui.model.request_columns import RequestColumns
from llmtui.runview.run import RunView

#: Yields how many requests a turn has, and some of those that the command asks for; from any thread.
History = Callable[[Turn, Requests], Iterator[tuple[int, list[Iteration] | RequestColumns]]]


async def from_history(history: History | None, run_view: RunView, command: Requests) -> AsyncIterator[RequestBatch]:
    """Yield the answer to `command`, of a turn of `run_view`: no requests without such a turn, or a history."""
    turns = run_view.backends[command.backend].turns
    turn = next((turn for turn in turns if turn.seq == command.turn), None)
    read: Read = (
        (lambda _: history(turn, command)) if history is not None and turn is not None else (lambda _: iter(()))
    )
    async for batch in batches(read, command):
        yield batch
