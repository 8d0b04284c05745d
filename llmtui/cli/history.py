"""`llmtui show` and `export`: a past run as plain text and as files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmtui import exit_codes
from llmtui.cli.output import STDOUT, print_table, report, write_files
from llmtui.model import Imported
from llmtui.model.errors import UsageError
from llmtui.runview.against import Against
from llmtui.runview.launches import plan_words
from llmtui.runview.loads import load_sentence
from llmtui.runview.mixes import mix_sentence
from llmtui.runview.prompts import prompts_sentence
from llmtui.runview.run import RunView
from llmtui.store.errors import NoRunError, StoreError
from llmtui.store.history import Store
from llmtui.store.open import open_store
from llmtui.store.paths import locate
from llmtui.store.rows import StoredRun
from llmtui.text import sanitize
from llmtui.text.format import plural


@contextmanager
def opened(path: str, *, create: bool = False) -> Iterator[Store]:
    """Open the history, report its messages, and mark runs of dead engines. Raises StoreError.

    A file that the user named has to be there, unless `create`: its name may be misspelt.
    """
    if path and not create and not (file := locate(path)).exists():
        raise NoRunError(f"{file} does not exist, so no run is in it; check --store")
    store, notes = open_store(path or None)
    for note in notes:
        report(note)
    with store:
        store.mark_dead()
        yield store


def earlier_run(name: str | None, path: str, run: str = "") -> Against | None:
    """Return the run that `name` means, to stand beside the run with the id `run`; None without a name.

    Raises StoreError, and UsageError if both are the same run.
    """
    if not name:
        return None
    with opened(path) as store:
        stored = store.load(name)
    if stored.plan.run == run:
        raise UsageError(f"--against: {name!r} is the same run, {run}; name an earlier one")
    return Against(stored)


def with_store(run: str, path: str) -> str:
    """Return the words that name a run of the history at `path` ("": the usual one) to a command."""
    return f"{run} --store {shlex.quote(path)}" if path else run


def report_where(run: str, path: str) -> None:
    """Report the command that shows a run which has ended, or that continues it. Says nothing of any other run."""
    try:
        with opened(path) as store:
            state = store.state(run)
    except StoreError:
        return  # the run has reported why it is not in the history
    name = with_store(run, path)
    if state == "done":
        report(f"run {run} is in the history; to see it again: llmtui show {name}, or llmtui open {name}")
    elif state != "running":
        report(f"run {run} is in the history, and is incomplete; to continue it: llmtui resume {name}")


def show_run(run: str, path: str, *, label: str | None, note: str | None, ended: bool = False) -> int:
    """Set the label and the note of a run, then print its origin and its table. Return the exit code.

    `ended`: the user knows that a run has ended whose engine is not visible here.
    """
    with opened(path) as store:
        # The new label may be the id of another run.
        run = store.find(run)
        if label is not None:
            store.label(run, label)
        if note is not None:
            store.note(run, note)
        if ended:
            store.mark_ended(run)
        stored = store.load(run)
    machine, config = stored.machine, stored.plan.config
    label = f" [{sanitize(stored.label)}]" if stored.label else ""
    version, start = sanitize(stored.llmtui, 40), sanitize(stored.plan.created_utc, 40)
    print(f"run {sanitize(stored.plan.run, 40)}{label}: {sanitize(stored.state)}, started {start}, llmtui {version}")
    if stored.plan.imported is not None:
        print(_origin(stored.plan.imported))
    else:
        cores = plural(machine.cores, "core")
        print(f"on {sanitize(machine.cpu)}, {cores}, {sanitize(machine.os)}, Python {sanitize(machine.python, 40)}")
    iterations, warmups = plural(config.iterations, "iteration"), plural(config.warmup, "warm-up")
    counts = f"{iterations} and {warmups} per backend"
    if config.launches > 1:
        counts = f"{plan_words(config, iterations, warmups)}, per backend"
    counts = load_sentence(stored.plan) or counts
    if stored.plan.imported is not None and not stored.plan.levels:
        counts = f"{iterations} per backend at most"
    if stored.plan.imported is None:
        counts += f", up to {plural(config.max_tokens, 'token')}"
    print(f"{counts}, {sanitize(config.order)}")
    if sentence := prompts_sentence(stored.plan) or mix_sentence(stored.plan.prompts.mix):
        print(sentence)
    if stored.note:
        print(f"note: {sanitize(stored.note, 2000)}")
    print_table(_run_view(stored))
    return exit_codes.OK


def _origin(origin: Imported) -> str:
    files = ", ".join(sanitize(name, 60) for name in origin.files[:5])
    more = f" and {len(origin.files) - 5} more" if len(origin.files) > 5 else ""
    return f"imported from {files}{more}, which {sanitize(origin.title, 80)} wrote; the machine is unknown"


def export_run(run: str, files: dict[str, Path | None], path: str) -> int:
    """Write the `files` of a run, or print its results as CSV if there are none. Return the exit code."""
    if not any(files.values()):
        files = {"csv": STDOUT}
    with opened(path) as store:
        stored = store.load(run)
    return exit_codes.OK if write_files(_run_view(stored), files, path) else exit_codes.FAILED


def _run_view(stored: StoredRun) -> RunView:
    run_view = RunView(stored.plan)
    run_view.apply(stored.hello())
    return run_view
