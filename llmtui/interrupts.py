"""Control-C while nothing has been begun yet, and while all is being ended: a clean end at any instant. Loads nothing
but what it needs for that.

Python raises KeyboardInterrupt wherever it stands. In the midst of an import that may be a place where it is only
printed and forgotten, and the command that was to be stopped goes on.
"""

from __future__ import annotations

import os
import signal

from llmtui import exit_codes


class NothingBegun:
    """`with NothingBegun():` around imports and what is only read: an interruption ends the process at once, with a
    word and code 130."""

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, _end)

    def __exit__(self, *_: object) -> None:
        if signal.getsignal(signal.SIGINT) is _end:  # else something was begun meanwhile, or is being ended
            signal.signal(signal.SIGINT, self._before)


def begin() -> None:
    """From now on Python raises KeyboardInterrupt again: what is begun wants to be ended."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ending() -> None:
    """From now on interruptions are ignored: asked again it would not end sooner, but leave things behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(*_: object) -> None:
    os.write(2, b"llmtui: interrupted\n")
    os._exit(exit_codes.INTERRUPTED)
