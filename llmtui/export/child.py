"""A process that makes one document of a run.

A monitor starts it, as figures of a large run take seconds of Python, in which no key would be answered; a thread would
compete with the screen for the interpreter, and read figures while they grow. Both ends are one program on one machine,
so messages are pickles: a `Task` on stdin, then messages on stdout, of which each `Ask` is answered on stdin.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from llmtui.export.formats import FORMATS
from llmtui.model import Iteration, Turn
from llmtui.runview.run import RunView


class Task(NamedTuple):
    """The pickled RunView, a key of `FORMATS`, and the path of the folder for a format that writes one."""

    run: bytes
    format: str
    folder: Path | None = None


class Piece(NamedTuple):
    """The next piece of the document."""

    text: str


class Ask(NamedTuple):
    """Asks for the first requests of a turn, or for more of the same one (None). The answer is a list, empty at the
    end."""

    turn: Turn | None


class Failed(NamedTuple):
    """The document cannot be made."""

    error: OSError | ValueError | ImportError


class Ended(NamedTuple):
    """The document is complete."""


Message = Piece | Ask | Failed | Ended


def send(file: IO[bytes], message: object) -> None:
    """Write a message at once."""
    pickle.dump(message, file, pickle.HIGHEST_PROTOCOL)
    file.flush()


def _make(task: Task, to_parent: IO[bytes]) -> None:
    def requests(turn: Turn) -> Iterator[list[Iteration]]:
        send(to_parent, Ask(turn))
        while batch := pickle.load(sys.stdin.buffer):
            yield batch
            send(to_parent, Ask(None))

    form, run_view = FORMATS[task.format], pickle.loads(task.run)
    assert isinstance(run_view, RunView)
    run_view.requests = requests
    if form.into is not None and task.folder is not None:
        form.into(run_view, task.folder)
        return
    made = form.make(run_view)
    for text in [made] if isinstance(made, str) else made:
        send(to_parent, Piece(text))


def main() -> None:
    """Carry out the task on stdin. The end of the other process ends this one without a word."""
    # Temporary files are removed.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    to_parent = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the messages
    try:
        try:
            _make(pickle.load(sys.stdin.buffer), to_parent)
        except (BrokenPipeError, EOFError):
            raise
        except (OSError, ValueError, ImportError) as error:
            send(to_parent, Failed(error))
        else:
            send(to_parent, Ended())
    except (BrokenPipeError, EOFError):
        os._exit(1)
