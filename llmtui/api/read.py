"""Reads runs for the public interface: from the history by name, and from files of `--json` and `--jsonl`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from llmtui.api import files
from llmtui.api.errors import ReadError
from llmtui.api.run import Run
from llmtui.export.json import full
from llmtui.export.runs import run_record
from llmtui.model import Iteration, Turn
from llmtui.model.errors import CommandError
from llmtui.runview.run import RunView
from llmtui.store import paths
from llmtui.store.history import Store
from llmtui.store.open import open_store
from llmtui.store.run_filter import RunFilter, since_utc

StrPath = str | os.PathLike[str]
_FILES = (".json", ".jsonl", ".ndjson")


def read_run(run: StrPath, *, store: StrPath | None = None) -> Run:
    """Read a run: a file of `--json` or `--jsonl`, or by its name from the history. Raises ReadError.

    A name is an id or its beginning, a label, or "last" ("last~1": the one before). A `Path`, and a text with a slash
    or the ending .json or .jsonl, is a file. `store` is the file of the history, by default the user's.
    """
    if (isinstance(run, str) and store is not None) or not _is_file(run):
        return _of_history(str(run), store)
    return files.read_file(Path(os.path.expanduser(run)))


def list_runs(
    number: int = 20,
    *,
    label: str = "",
    backend: str = "",
    model: str = "",
    since: str = "",
    store: StrPath | None = None,
) -> list[dict[str, Any]]:
    """Return the newest runs of the history that match, the newest first, as `llmtui history --json` prints them.

    `label`, `backend` and `model` match a part, in any case. `since` is a date, a time in UTC, or a time ago such as
    "7d". Raises ReadError.
    """
    with _opened(store) as history:
        wanted = RunFilter(label=label, backend=backend, model=model, since_utc=_since(since))
        return [run_record(row) for row in history.runs(number, wanted)]


def _since(text: str) -> str:
    if not text:
        return ""
    if (when := since_utc(text)) is None:
        raise ReadError(f"since: {text!r} is not a date such as 2026-11-22, nor a time ago such as 12h or 7d")
    return when


def _is_file(run: StrPath) -> bool:
    if not isinstance(run, str):
        return True
    return os.sep in run or run.lower().endswith(_FILES)


@contextmanager
def _opened(store: StrPath | None) -> Iterator[Store]:
    """The history. It is not created, and no run in it is changed."""
    try:
        file = paths.locate(store)
        if not file.is_file():
            raise ReadError(f"the history {file} does not exist; name its file with store=")
        opened, notes = open_store(file)
        for note in notes:
            warnings.warn(note, stacklevel=4)
        with opened:
            yield opened
    except CommandError as error:
        raise ReadError(str(error)) from error


def _of_history(name: str, store: StrPath | None) -> Run:
    with _opened(store) as history:
        stored = history.load(name)
        file = history.path
    view = RunView(stored.plan)
    view.apply(stored.hello())
    view.ended = stored.state != "running"

    def requests(turn: Turn) -> Iterable[list[Iteration]]:
        with _opened(file) as history:
            yield from history.requests(turn)

    public = stored.plan.public()
    return Run(
        run=stored.plan.run,
        created_utc=stored.plan.created_utc,
        label=stored.label,
        note=stored.note,
        state=stored.state,
        source=str(file),
        config=msgspec.to_builtins(full(public.config)),
        load=msgspec.to_builtins(full(public.load)) if public.levels else {},
        machine=msgspec.to_builtins(full(stored.machine)),
        verdict=view.verdict().line,
        _view=view,
        _requests=requests,
    )
