"""What the commands print and write: messages to stderr, tables to stdout, and the files of a run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llmtui.cli.streams import write_utf8
from llmtui.text import sanitize_lines

if TYPE_CHECKING:
    from llmtui.runview.run import RunView

#: As the name of a file: standard output, which then contains nothing else.
STDOUT = Path("-")
#: Columns of a table that goes to a file or a pipe.
FILE_COLUMNS = 160


def report(text: str) -> None:
    """Print `text` to stderr, prefixed with "llmtui: " and sanitized. It may have several lines."""
    print("llmtui: " + "\n".join(sanitize_lines(text)), file=sys.stderr, flush=True)


def output_columns() -> int:
    """The width of tables on stdout: that of the terminal, else `FILE_COLUMNS`."""
    return shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else FILE_COLUMNS


def print_table(run_view: RunView) -> None:
    """Print the summary of a run: a row per backend, then the verdict and the checks."""
    from llmtui.export.table import summary_table

    print(summary_table(run_view, output_columns()), end="")


def write_files(run_view: RunView, files: dict[str, Path | None]) -> bool:
    """Write the requested `files`, by format. Report those that cannot be written; return False if there are any."""
    from llmtui.export.csv import iterations_csv, results_csv
    from llmtui.export.json import run_json
    from llmtui.export.markdown import run_markdown

    makers = {"csv": results_csv, "iterations_csv": iterations_csv, "json": run_json, "markdown": run_markdown}
    return all([write_output(path, makers[kind](run_view)) for kind, path in files.items() if path is not None])


def write_output(path: Path, text: str) -> bool:
    """Write `text` to `path`, or print it if `path` is `STDOUT`. Report an error and return False if that fails."""
    from llmtui.store.atomic import write_atomic

    if path == STDOUT:
        write_utf8(text)
        return True
    try:
        write_atomic(path, text)
    except OSError as error:
        report(f"cannot write {path}: {error.strerror or error}")
        return False
    return True
