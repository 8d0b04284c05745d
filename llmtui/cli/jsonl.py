"""`llmtui run --jsonl FILE`: finished turns and iterations as they come."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

from llmtui.cli.output import STDOUT, report
from llmtui.cli.streams import write_utf8
from llmtui.model import Iteration, Plan, Turn
from llmtui.model.errors import UsageError
from llmtui.runview.run import RunView


class JsonLines:
    """A file that gets a line for each sample, at once. `lost`: it could not be written to its end.

    `path` None: nothing is written.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file, and empty it. Raises UsageError if it cannot be opened."""
        self._path = path
        self._file: IO[bytes] | None = None
        self.lost = False
        if path is not None and path != STDOUT:
            try:
                self._file = path.open("wb", buffering=0)
            except OSError as error:
                raise UsageError(f"cannot write {path}: {error.strerror or error}") from error

    def write(self, plan: Plan, sample: Iteration | Turn) -> None:
        """Write a sample. Report the first error."""
        if self._path is None or self.lost:
            return
        from llmtui.export.jsonl import sample_line

        self._write(sample_line(plan, sample))

    def write_search(self, run_view: RunView) -> None:
        """Write what a search has found, a line for each backend; nothing for other runs."""
        if self._path is None or self.lost or not run_view.plan.load.search:
            return
        from llmtui.export.jsonl import search_lines

        for line in search_lines(run_view):
            self._write(line)

    def _write(self, line: str) -> None:
        if self.lost:
            return
        if self._file is None:
            write_utf8(line)
            sys.stdout.flush()
            return
        try:
            self._file.write(line.encode())
        except OSError as error:
            self.lost = True
            report(f"cannot write {self._path}: {error.strerror or error}")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
