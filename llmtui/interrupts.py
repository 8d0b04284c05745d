"""Control-C before, during and after a command's event loop: it ends the command cleanly at any moment.

Python raises KeyboardInterrupt between any two bytecodes. Inside an import it may be printed and forgotten; inside the
event loop it may leave the loop waiting forever. So the default handler is active only between the two:

    ExitOnInterrupt          imports, and files that are only read: the process exits immediately
    raise_on_interrupt       a command has started: KeyboardInterrupt, so that `finally` blocks run
    Interruption             an event loop runs: the signal sets an event
    ignore_interrupts        servers and files are being cleaned up: a second Control-C would leave some behind

`llmtui.__main__` imports this module first, so it imports next to nothing itself.
"""

from __future__ import annotations

import os
import signal
import sys

from llmtui import exit_codes

# `typing` and `asyncio` take 10 and 40 ms to import, before an interruption can be handled.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine
    from types import FrameType
    from typing import Any, NoReturn, Self, TypeVar

    T = TypeVar("T")


class ExitOnInterrupt:
    """`with ExitOnInterrupt():` Control-C prints "interrupted" and exits with code 130, without any cleanup."""

    def __enter__(self) -> None:
        self._previous = signal.signal(signal.SIGINT, _exit)

    def __exit__(self, *_: object) -> None:
        # Unless the handler was replaced meanwhile.
        if signal.getsignal(signal.SIGINT) is _exit:
            signal.signal(signal.SIGINT, self._previous)


def raise_on_interrupt() -> None:
    """Restore Python's handler: from now on Control-C raises KeyboardInterrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore_interrupts() -> None:
    """Ignore Control-C from now on: cleanup is under way, and cutting it short would leave processes behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def exit_interrupted() -> NoReturn:
    """Exit after a KeyboardInterrupt as shells expect it: a message and code 130."""
    ignore_interrupts()
    sys.stderr.write("llmtui: interrupted\n")
    sys.exit(exit_codes.INTERRUPTED)


def _exit(*_: object) -> None:
    os.write(2, b"llmtui: interrupted\n")
    os._exit(exit_codes.INTERRUPTED)


class Interruption:
    """`with Interruption() as interruption:` around an event loop: SIGINT, SIGTERM and `signals` set an event.

    They raise nothing. After an interruption, Control-C is ignored when the block ends (see `ignore_interrupts`).
    """

    def __init__(self, *signals: int) -> None:
        import asyncio

        self._event = asyncio.Event()
        self._signals = (signal.SIGINT, signal.SIGTERM, *signals)
        self._previous: list[tuple[int, Any]] = []

    def __enter__(self) -> Self:
        self._previous = [(number, signal.signal(number, self._received)) for number in self._signals]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous:
            signal.signal(number, handler)
        if self.is_set():
            ignore_interrupts()

    def is_set(self) -> bool:
        """Whether a signal was received."""
        return self._event.is_set()

    def _received(self, number: int, frame: FrameType | None) -> None:
        import asyncio

        try:
            asyncio.get_running_loop().call_soon_threadsafe(self._event.set)
        except RuntimeError:
            self._event.set()  # no loop is running

    async def or_done(self, task: asyncio.Task[Any]) -> None:
        """Wait for the interruption or for `task`, whichever comes first. `task` is not cancelled."""
        import asyncio

        waiting = asyncio.create_task(self._event.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    async def run(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what `work` returns, or cancel it and return None if the interruption comes first."""
        import asyncio

        task = asyncio.create_task(work)
        await self.or_done(task)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        return None if task.cancelled() else task.result()
