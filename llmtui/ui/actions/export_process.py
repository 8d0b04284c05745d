"""A document of a run that takes long: another process makes it, and the screen goes on."""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from llmtui.export.child import Ask, Ended, Failed, Message, Piece, Task, send
from llmtui.model import Iteration
from llmtui.runview.run import RunView, without_requests
from llmtui.ui.actions.export_files import Choice, ExportError, Stopped

#: How long the process may take to remove its temporary files, in s.
_END_S = 5.0


class Long:
    """A file or folder of the run as it is now, which a thread may write while the run goes on.

    `read` is how many requests have been read, `total` how many there are, without those after the windows of their
    turns; both are 0 for a format without them.
    """

    def __init__(self, run_view: RunView, choice: Choice) -> None:
        self.read = 0
        turns = [turn for view in run_view.backends.values() for turn in view.turns] if choice.format.requests else []
        self.total = sum(turn.settled + turn.requests for turn in turns)
        self._requests = run_view.requests
        self._format = choice.id
        # Some ms: the run is in memory, and grows after this.
        self._run = pickle.dumps(without_requests(run_view), pickle.HIGHEST_PROTOCOL)
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """End the writing; from any thread. Nothing of the file remains."""
        self._stopped = True
        if self._process is not None:
            self._process.terminate()

    def pieces(self, folder: Path | None = None) -> Iterator[str]:
        """Yield the document, or nothing if the process writes the files of `folder`.

        Raises Stopped, ExportError, StoreError, and what prevents the document: OSError, ValueError, ImportError.
        """
        with self._started() as process:
            try:
                yield from self._read(process, folder)
            except (EOFError, BrokenPipeError, pickle.UnpicklingError, AttributeError):
                if self._stopped:
                    raise Stopped("stopped") from None
                raise ExportError("the process that makes the file has ended: try again, or llmtui export") from None

    @contextlib.contextmanager
    def _started(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            # -P: a random.py in the working directory must not shadow the standard library's.
            [sys.executable, "-P", "-c", "from llmtui.export.child import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Keys and signals of the terminal are for the monitor.
            start_new_session=True,
        )
        self._process = process
        if self._stopped:
            process.terminate()
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()

    def _read(self, process: subprocess.Popen[bytes], folder: Path | None) -> Iterator[str]:
        assert process.stdin is not None and process.stdout is not None
        send(process.stdin, Task(self._run, self._format, folder))
        batches: Iterator[list[Iteration]] = iter(())
        while True:
            message: Message = pickle.load(process.stdout)
            match message:
                case Piece(text):
                    yield text
                case Ask(turn):
                    batches = iter(self._requests(turn)) if turn is not None else batches
                    batch = next((batch for batch in batches if batch), [])
                    if self._stopped:
                        raise Stopped("stopped")
                    self.read += len(batch)
                    send(process.stdin, batch)
                case Failed(error):
                    raise error
                case Ended():
                    return
