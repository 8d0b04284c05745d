"""The plain-text view of the history: `llmtui history`, `show` and `export`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from llmtui import exit_codes
from llmtui.cli.run import STDOUT, print_table, prints, talk, write_files
from llmtui.config.schema import ConfigError, UiConfig, load, load_named_by_history
from llmtui.format import plural
from llmtui.model import Plan
from llmtui.runview.run import RunView
from llmtui.store.errors import StoreError
from llmtui.store.history import Store
from llmtui.store.open import open_store
from llmtui.store.rows import RunRow, StoredRun
from llmtui.text import sanitize


@contextmanager
def opened(path: str) -> Iterator[Store]:
    """The history, with what there is to tell of it told. Raises StoreError."""
    store, notes = open_store(path or None)
    for note in notes:
        talk(note)
    with store:
        store.mark_dead()
        yield store


@prints
def history_headless(number: int, path: str) -> int:
    """Print the newest runs, a line each, and say how many cannot be read. Returns the exit code."""
    try:
        with opened(path) as store:
            rows = store.runs(number)
    except StoreError as error:
        talk(str(error))
        return exit_codes.FAILED
    if rows.unread:
        talk(f"left out: {plural(rows.unread, 'run')} that cannot be read; llmtui show RUN says why")
    elif not rows:
        talk("the history is empty; make a run with: llmtui")
    for row in rows:
        print(run_line(row))
    return exit_codes.OK


def run_line(row: RunRow) -> str:
    """A run on one line of plain text: id, when, how it stands, the median latency of each backend, fastest first."""
    known = sorted((b.latency_median_s, b.name) for b in row.backends if b.latency_median_s is not None)
    medians = ", ".join(f"{sanitize(name, 40)} {median:.3f} s" for median, name in known)
    silent = len(row.backends) - len(known)
    rest = f"{', ' if medians else ''}{plural(silent, 'backend')} without result" if silent else ""
    label = f"  [{sanitize(row.label)}]" if row.label else ""
    begun = sanitize(row.created_utc[:16].replace("T", " "))
    return f"{sanitize(row.run, 40)}  {begun}  {sanitize(row.state):7}  {medians}{rest}{label}"


@prints
def show_headless(run: str, path: str, *, label: str | None, note: str | None) -> int:
    """Print one run: where it came from, its table. Labels and notes are written first. Returns the exit code.

    Whatever the history holds, what is printed is plain text.
    """
    try:
        with opened(path) as store:
            # A label may be what another run is called by.
            run = store.find(run)
            if label is not None:
                store.label(run, label)
            if note is not None:
                store.note(run, note)
            stored = store.load(run)
    except StoreError as error:
        talk(str(error))
        return exit_codes.FAILED
    machine, config = stored.machine, stored.plan.config
    named = f" [{sanitize(stored.label)}]" if stored.label else ""
    version, begun = sanitize(stored.llmtui, 40), sanitize(stored.plan.created_utc, 40)
    print(f"run {sanitize(stored.plan.run, 40)}{named}: {sanitize(stored.state)}, begun {begun}, llmtui {version}")
    cores = plural(machine.cores, "core")
    print(f"on {sanitize(machine.cpu)}, {cores}, {sanitize(machine.os)}, Python {sanitize(machine.python, 40)}")
    asked = f"{config.iterations}+{config.warmup} iterations of {config.max_tokens} tokens"
    print(f"{asked}, {sanitize(config.order)}")
    if stored.note:
        print(f"note: {sanitize(stored.note, 2000)}")
    print_table(_board(stored))
    return exit_codes.OK


def resumable(run: str, path: str, config: str | None) -> tuple[Plan, UiConfig]:
    """The plan of a run with iterations missing, with the keys that the history does not have; and how to show it.

    They come out of the config that the run was made from, or `config`. Raises StoreError, and ConfigError.
    """
    with opened(path) as store:
        stored = store.load(run)
    plan = stored.plan
    if stored.state == "running":
        raise StoreError(f"run {plan.run} is still going; come back to it with: llmtui attach {plan.run}")
    made = {(i.backend, i.attempt, i.iteration) for i in stored.iterations if i.phase == "measured"}
    wanted = range(1, plan.config.iterations + 1)
    if all((s.name, s.attempt, n) in made for s in stored.states for n in wanted):
        raise StoreError(f"run {plan.run} lacks nothing; look at it with: llmtui show {plan.run}")
    trust = f"llmtui resume {plan.run} --config FILE"
    settings = load(Path(config)) if config else load_named_by_history(plan.source, trust)
    if settings.run.model != plan.config.model:
        # The path of a file to open: it comes from the config and never from the history alone.
        raise ConfigError(
            f"{settings.source}: [run]: model is not what it was when run {plan.run} began; put it back, name the "
            "right file with --config, or begin a new run"
        )
    now = settings.plan(only=tuple(b.name for b in plan.backends))
    fresh = {b.name: b for b in now.backends}
    for old in plan.backends:
        was, is_now = msgspec.to_builtins(old), msgspec.to_builtins(fresh[old.name].public())
        for field in sorted(was.keys() | is_now.keys()):
            if was.get(field) != is_now.get(field):
                raise ConfigError(
                    f"{settings.source}: backend {old.name!r}: {field} is not what it was when run {plan.run} began; "
                    "put it back, name the right file with --config, or begin a new run"
                )
    return msgspec.structs.replace(plan, backends=[fresh[b.name] for b in plan.backends]), settings.ui


@prints
def export_headless(run: str, files: dict[str, Path | None], path: str) -> int:
    """Write the files of one run, its results to stdout when none is named. Returns the exit code."""
    if not any(files.values()):
        files = {"csv": STDOUT}
    try:
        with opened(path) as store:
            stored = store.load(run)
    except StoreError as error:
        talk(str(error))
        return exit_codes.FAILED
    return exit_codes.OK if write_files(_board(stored), files) else exit_codes.FAILED


def _board(stored: StoredRun) -> RunView:
    run_view = RunView(stored.plan)
    run_view.apply(stored.hello())
    return run_view
