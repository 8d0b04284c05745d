"""Writes export files: formats, free file names, and errors as sentences."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import datetime
import errno
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from llmtui.model import Iteration, Turn
from llmtui.runview.run import RunView
from llmtui.text import sanitize


class ExportError(Exception):
    """The file could not be written. The message is for the screen."""


class Taken(ExportError):
    """A file of this name exists."""


class Stopped(ExportError):
    """The user stopped the writing."""


@dataclasses.dataclass(frozen=True)
class Format:
    """A kind of file, or of folder. `what` is part of its name, `label` is shown on the screen."""

    id: str
    label: str
    what: str
    suffix: str
    text: Callable[[RunView], str]
    #: The same piece by piece, if it has all requests of a load.
    pieces: Callable[[RunView], Iterator[str]] | None = None
    #: Writes the files of a folder, which it creates.
    into: Callable[[RunView, Path], list[str]] | None = None


def _results(run_view: RunView) -> str:
    from llmtui.export.csv import results_csv

    return results_csv(run_view)


def _iterations(run_view: RunView) -> str:
    from llmtui.export.csv import iterations_csv

    return iterations_csv(run_view)


def _iteration_pieces(run_view: RunView) -> Iterator[str]:
    from llmtui.export.csv import iterations_lines

    return iterations_lines(run_view)


def _turns(run_view: RunView) -> str:
    from llmtui.export.csv import turns_csv

    return turns_csv(run_view)


def _json(run_view: RunView) -> str:
    from llmtui.export.json import run_json

    return run_json(run_view)


def _json_pieces(run_view: RunView) -> Iterator[str]:
    from llmtui.export.json import json_pieces

    return json_pieces(run_view)


def _markdown(run_view: RunView) -> str:
    from llmtui.export.markdown import run_markdown

    return run_markdown(run_view)


def _hyperfine(run_view: RunView, folder: Path) -> list[str]:
    from llmtui.export.hyperfine import write_hyperfine

    return write_hyperfine(run_view, folder)


def _nothing(_: RunView) -> str:
    """A folder has no text of its own."""
    return ""


def _no_pieces(_: RunView) -> Iterator[str]:
    return iter([""])


FORMATS = (
    Format("csv", "CSV, a row per backend", "results", ".csv", _results),
    Format("iterations", "CSV, a row per iteration", "iterations", ".csv", _iterations),
    Format("json", "JSON, everything", "run", ".json", _json),
    Format("markdown", "Markdown, a table to paste", "results", ".md", _markdown),
    Format("hyperfine", "hyperfine JSON, a folder", "hyperfine", "", _nothing, into=_hyperfine),
)


_BY_ID = {form.id: form for form in FORMATS}
_OF_LOADS = (
    Format("csv", "CSV, a row per backend and level", "results", ".csv", _results),
    Format("turns", "CSV, a row per turn", "turns", ".csv", _turns),
    Format("iterations", "CSV, a row per request", "requests", ".csv", _iterations, _iteration_pieces),
    dataclasses.replace(_BY_ID["json"], pieces=_json_pieces),
    _BY_ID["markdown"],
    dataclasses.replace(_BY_ID["hyperfine"], pieces=_no_pieces),
)


def formats_of(run_view: RunView) -> tuple[Format, ...]:
    """Return the formats of a race, or of a load, which has turns and requests."""
    return _OF_LOADS if run_view.plan.levels else FORMATS


def file_name(form: Format, now: datetime.datetime) -> str:
    """Return `llmtui-results-YYYYmmdd-HHMMSS.csv`, in UTC."""
    return f"llmtui-{form.what}-{now.astimezone(datetime.UTC):%Y%m%d-%H%M%S}{form.suffix}"


def free_path(path: Path) -> Path:
    """Return `path`, or the first free one with -2, -3 and so on before its suffix."""
    free, number = path, 2
    while os.path.lexists(free):
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1
    return free


class Long:
    """The pieces of a file with all requests of a load, which a thread may write while the run goes on.

    `read` is how many requests have been read, `total` how many there are, without those after the windows of their
    turns. After `stop` the next piece raises Stopped. Raises ExportError.
    """

    def __init__(self, run_view: RunView, make: Callable[[RunView], Iterator[str]]) -> None:
        self.read = 0
        self._stopped = False
        still = copy.copy(run_view)
        still.backends = {name: view.still() for name, view in run_view.backends.items()}
        still.requests = self._counted
        self._requests = run_view.requests
        turns = [turn for view in still.backends.values() for turn in view.turns]
        self.total = sum(turn.settled + turn.requests for turn in turns)
        self.still = still
        self.pieces = make(still)

    def stop(self) -> None:
        """End the writing; from any thread."""
        self._stopped = True

    def _counted(self, turn: Turn) -> Iterator[list[Iteration]]:
        for batch in self._requests(turn):
            if self._stopped:
                raise Stopped("stopped")
            self.read += len(batch)
            yield batch

    def start(self) -> None:
        """Make the first piece, which has figures of the run that only the thread of the screen may compute."""
        with _explained(Path()):
            self.pieces = itertools.chain([next(self.pieces)], self.pieces)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Translate errors of writing `path` to ExportError."""
    from llmtui.store.errors import StoreError

    try:
        yield
    except FileExistsError:
        raise Taken(f"{_shown(path)} already exists") from None
    except StoreError as error:
        raise ExportError(f"the requests cannot be read: {error}") from None
    except (OSError, ValueError) as error:
        raise ExportError(_reason(error, path)) from None


def write(run_view: RunView, form: Format, path: Path, *, replace: bool = False, long: Long | None = None) -> None:
    """Write the run to `path` atomically, or the pieces of `long`; overwrite a file only with `replace`.

    Raises Taken, or ExportError.
    """
    from llmtui.store.atomic import write_atomic, write_new

    with _explained(path):
        if form.into is not None:
            if not replace and os.path.lexists(path):
                raise FileExistsError
            form.into(long.still if long is not None else run_view, path)
            return
        if path.is_dir():
            raise ExportError(f"{_shown(path)} is a folder: choose another name")
        if not replace and os.path.lexists(path):
            raise FileExistsError
        (write_atomic if replace else write_new)(path, long.pieces if long is not None else form.text(run_view))


def write_beside(run_view: RunView, form: Format, path: Path) -> Path:
    """Write the run to `path`, or to the next free name. Raises ExportError."""
    while True:
        free = free_path(path)
        try:
            write(run_view, form, free)
        except Taken:
            continue
        return free


def _shown(path: Path) -> str:
    return sanitize(str(path), 400)


def _reason(error: OSError | ValueError, path: Path) -> str:
    folder = _shown(path.parent)
    match getattr(error, "errno", None):
        case errno.ENOENT:
            return f"no such folder: {folder}"
        case errno.ENOTDIR:
            return f"{folder} is not a folder"
        case errno.EACCES | errno.EPERM:
            return f"{folder} is not writable: choose another folder"
        case errno.EROFS:
            return f"{folder} is read-only: choose another folder"
        case errno.ENOSPC | errno.EDQUOT:
            return f"the disk of {folder} is full: free some space, or choose another folder"
        case errno.ENAMETOOLONG:
            return "the name is too long"
        case None:
            return "a file cannot have this name"
    return f"{folder}: {sanitize(getattr(error, 'strerror', '') or str(error))}"
