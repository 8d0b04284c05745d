"""What the commands print and write: messages to stderr, tables to stdout, and the files of a run."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llmtui.cli.streams import write_utf8
from llmtui.text import sanitize_lines

if TYPE_CHECKING:
    from llmtui.export.formats import Format
    from llmtui.runview.run import RunView
    from llmtui.store.requests import RequestReader

#: As the name of a file: standard output, which then contains nothing else.
STDOUT = Path("-")
#: Columns of a table that goes to a file or a pipe.
FILE_COLUMNS = 160
#: See `draw_for`; 0 without a line.
_far_columns = 0


def report(text: str) -> None:
    """Print `text` to stderr, prefixed with "llmtui: " and sanitized. It may have several lines."""
    print("llmtui: " + "\n".join(sanitize_lines(text)), file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """Whether people read stdout: it is a terminal, here or at the other end of a line."""
    return sys.stdout.isatty() or _far_columns > 0


def draw_for(columns: int) -> None:
    """Lay tables out for a terminal of this width at the other end of a line to another machine."""
    global _far_columns
    _far_columns = columns


def output_columns() -> int:
    """The width of tables on stdout: that of the terminal, else `FILE_COLUMNS`."""
    if _far_columns:
        return _far_columns
    return shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else FILE_COLUMNS


def print_table(run_view: RunView) -> None:
    """Print the summary of a run: a row per backend, then the verdict and the checks."""
    from llmtui.export.table import summary_table

    print(summary_table(run_view, output_columns()), end="")


def write_files(
    run_view: RunView, files: dict[str, Path | None], store: str = "", source: RequestReader | None = None
) -> bool:
    """Write the requested `files`, by format. Report those that cannot be written; return False if there are any.

    The requests of a load are read from `source`, else from the history `store`.
    """
    from llmtui.export.formats import FORMATS

    wanted = {kind: path for kind, path in files.items() if path is not None}
    if source is not None:
        run_view.requests = source
    needed = source is None and run_view.plan.levels and any(FORMATS[kind].requests for kind in wanted)
    with _requests_of(run_view, store) if needed else contextlib.nullcontext(True) as complete:
        return all([_write(run_view, FORMATS[kind], path) for kind, path in wanted.items()]) and complete


def _write(run_view: RunView, form: Format, path: Path) -> bool:
    """Write a file, or the files of a folder and report its remarks. Report an error and return False if it fails."""
    if form.into is None:
        return write_output(path, form.make(run_view))
    from llmtui.store.errors import StoreError

    try:
        remarks = form.into(run_view, path)
    except (OSError, StoreError) as error:
        _report_unwritten(path, error)
        return False
    for remark in remarks:
        report(remark)
    return True


def _report_unwritten(path: Path, error: Exception) -> None:
    """Report why a file or a folder could not be written."""
    report(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")


@contextlib.contextmanager
def _requests_of(run_view: RunView, store: str) -> Iterator[bool]:
    """Let `run_view` find the requests of its turns in a history. Return whether that can be read."""
    from llmtui.store.errors import StoreError
    from llmtui.store.open import open_store

    with contextlib.ExitStack() as stack:
        try:
            history = stack.enter_context(open_store(store or None)[0])
            # Raises an error if the run is not there.
            history.state(run_view.plan.run)
        except StoreError as error:
            report(f"the files have no requests: {error}")
            yield False
            return
        run_view.requests = history.requests
        yield True


def is_job_summary(path: Path) -> bool:
    """Whether this is the file from which GitHub shows the summary of a step. Several commands add to it."""
    named = os.environ.get("GITHUB_STEP_SUMMARY")
    return bool(named) and path.absolute() == Path(str(named)).absolute()


def write_output(path: Path, text: str | Iterable[str]) -> bool:
    """Write `text` to `path`, or print it if `path` is `STDOUT`. Report an error and return False if that fails.

    The summary of a GitHub job grows; any other file is replaced.
    """
    from llmtui.store.atomic import write_atomic
    from llmtui.store.errors import StoreError

    try:
        if path == STDOUT:
            for piece in [text] if isinstance(text, str) else text:
                write_utf8(piece)
        elif is_job_summary(path):
            with path.open("a", encoding="utf-8", errors="replace") as file:
                # A heading or a table of what is there already ends at an empty line.
                file.writelines(["\n", text] if isinstance(text, str) else ["\n", *text])
        else:
            write_atomic(path, text)
    except (OSError, StoreError) as error:
        _report_unwritten(path, error)
        return False
    return True
