"""`llmtui import`: stores files of other benchmark tools as runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import llmtui
from llmtui import exit_codes
from llmtui.cli.history import opened, with_store
from llmtui.cli.output import report
from llmtui.imports.build import runs_of
from llmtui.imports.files import named, read_files
from llmtui.runview.loads import load_sentence
from llmtui.store.whole_run import WholeRun, write_whole_runs
from llmtui.text import sanitize
from llmtui.text.format import plural
from llmtui.text.times import utc_text


def import_files(words: Sequence[str], store: str, label: str = "") -> int:
    """Store what the files that `words` mean say as runs with `label`, and report them. Return the exit code.

    Nothing is stored if any file is wrong. Raises UsageError, which names the file and the place, and StoreError.
    """
    files = named(words)
    reads, remarks = read_files(files)
    runs = runs_of(reads, {read.file.path: _written_utc(read.file.path) for read in reads})
    with opened(store, create=True) as history:
        write_whole_runs(history, runs, llmtui=llmtui.__version__, label=label)
    for remark in remarks:
        report(remark)
    for run in runs:
        report(_words(run, store))
    return exit_codes.OK


def _written_utc(path: Path) -> str:
    """When a file was written."""
    return utc_text(datetime.fromtimestamp(path.stat().st_mtime, UTC))


def _words(run: WholeRun, store: str) -> str:
    plan, origin = run.plan, run.plan.imported
    assert origin is not None
    names = ", ".join(sanitize(backend.name, 40) for backend in plan.backends[:5])
    more = f" and {len(plan.backends) - 5} more" if len(plan.backends) > 5 else ""
    what = load_sentence(plan) or f"{plural(plan.config.iterations, 'iteration')} at most"
    return (
        f"run {plan.run}: {origin.title}, {plural(len(plan.backends), 'backend')} ({names}{more}), {what}; unknown: "
        f"{', '.join(origin.unknown)}; to see it: llmtui show {with_store(plan.run, store)}"
    )
