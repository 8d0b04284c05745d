"""stdin, stdout and stderr of the process: each exists, takes every letter, and never stops a command.

A command goes on when its output cannot be written, as a disk is full or a reader such as `head` has closed the pipe:
its measurements are in the history and in its files. The exit code says that output was lost.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TextIO

from llmtui.text.cells import CELLS


class Pipe(io.RawIOBase):
    """A file descriptor whose writes never fail: after the first error, which is in `lost`, they do nothing.

    `closed_before`: it was closed when the process started. That is an error only if output is written to it.
    """

    def __init__(self, descriptor: int, closed_before: bool = False) -> None:
        self._descriptor = descriptor
        self._closed_before = closed_before
        self.lost: OSError | None = None

    def need(self) -> None:
        """Say that what follows has no other copy."""
        if self._closed_before:
            self.lost = OSError("stdout is closed")

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write the beginning of `data`. Return its size."""
        if self.lost is None:
            try:
                return self._write(data)
            except OSError as error:
                self.lost = error
        return len(data)

    def _write(self, data: bytes) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                # Another program made the pipe or the terminal non-blocking.
                select.select([], [self._descriptor], [])

    def fileno(self) -> int:
        """The file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """True."""
        return True


class Streams:
    """The streams of this process, from `open_streams`."""

    def __init__(self, stdout: Pipe) -> None:
        self._stdout = stdout

    def lost(self) -> str | None:
        """Flush stdout. Return why output was lost: "" if its reader went away, None if nothing was lost."""
        sys.stdout.flush()
        error = self._stdout.lost
        if error is None:
            return None
        return "" if isinstance(error, BrokenPipeError) else error.strerror or str(error)


def open_streams() -> Streams:
    """Open what is closed of stdin, stdout and stderr, and make printing to the latter two safe.

    Call it before anything else opens a file, which would get the number of a closed stream.
    """
    _occupy()
    stdout, sys.stdout = _wrapped(1, sys.stdout)
    _, sys.stderr = _wrapped(2, sys.stderr)
    return Streams(stdout)


def _occupy() -> None:
    """Open /dev/null in place of closed standard descriptors, also for child processes."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def write_utf8(text: str) -> None:
    """Write data for another program to stdout, as UTF-8 whatever the encoding of the terminal is."""
    sys.stdout.flush()
    buffer = sys.stdout.buffer
    pipe = getattr(buffer, "raw", None)
    if isinstance(pipe, Pipe):
        pipe.need()
    buffer.write(text.encode("utf-8", "replace"))
    buffer.flush()


def _wrapped(descriptor: int, stream: TextIO | None) -> tuple[Pipe, TextIO]:
    pipe = Pipe(descriptor, closed_before=stream is None)
    # Lines reach a terminal, and the reader of messages, at once.
    at_once = descriptor == 2 or pipe.isatty()
    if stream is not None:
        stream.flush()
    encoding = stream.encoding if stream is not None else "utf-8"
    buffer = io.BufferedWriter(pipe)  # type: ignore[type-var]
    return pipe, io.TextIOWrapper(buffer, encoding=encoding, errors=CELLS, line_buffering=at_once)
