"""Writes export files for the monitor: what it offers of the formats, free file names, and errors as sentences."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llmtui.export.formats import FORMATS, Format, Offer
from llmtui.runview.run import RunView
from llmtui.text import sanitize

if TYPE_CHECKING:
    from llmtui.ui.actions.export_process import Long


#: With at most this many iterations a file takes some ms.
_FEW = 200


class ExportError(Exception):
    """The file could not be written. The message is for the screen."""


class Taken(ExportError):
    """A file of this name exists."""


class Stopped(ExportError):
    """The user stopped the writing."""


class Choice(NamedTuple):
    """A format that the dialog offers for a run: its key in the table of formats, and how it is offered."""

    id: str
    format: Format
    offer: Offer

    @property
    def label(self) -> str:
        """The format as the dialog has it."""
        return self.offer.label

    @property
    def lacking(self) -> str:
        """What must be installed first, in words; "" if nothing is missing."""
        return self.format.lacks() if self.format.lacks is not None else ""

    def takes_long(self, run_view: RunView) -> bool:
        """Whether another process makes it: it may take more than some 50 ms."""
        # Of a load, each level has figures of its own.
        large = bool(run_view.plan.levels) or sum(len(of.iterations) for of in run_view.backends.values()) > _FEW
        return large or self.format.slow


def choices_of(run_view: RunView) -> tuple[Choice, ...]:
    """Return what the dialog offers for a race, or for a load, which has turns and requests."""
    offers = ((key, form, form.load if run_view.plan.levels else form.race) for key, form in FORMATS.items())
    return tuple(Choice(key, form, offer) for key, form, offer in offers if offer is not None)


def file_name(choice: Choice, now: datetime.datetime) -> str:
    """Return `llmtui-results-YYYYmmdd-HHMMSS.csv`, in UTC."""
    return f"llmtui-{choice.offer.name}-{now.astimezone(datetime.UTC):%Y%m%d-%H%M%S}{choice.format.suffix}"


def free_path(path: Path) -> Path:
    """Return `path`, or the first free one with -2, -3 and so on before its suffix."""
    free, number = path, 2
    while os.path.lexists(free):
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1
    return free


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
    except ImportError as error:
        raise ExportError(f"a package cannot be loaded: {sanitize(str(error), 200)}") from None
    except (OSError, ValueError) as error:
        raise ExportError(_reason(error, path)) from None


def write(run_view: RunView, choice: Choice, path: Path, *, replace: bool = False, long: Long | None = None) -> None:
    """Write the run to `path` atomically, or what `long` has made of it; overwrite a file only with `replace`.

    Raises Taken, Stopped, or ExportError, also if a package is missing.
    """
    from llmtui.store.atomic import write_atomic, write_new

    if lacking := choice.lacking:
        raise ExportError(lacking)
    form = choice.format
    with _explained(path):
        if form.into is not None:
            if not replace and os.path.lexists(path):
                raise FileExistsError
            if long is None:
                form.into(run_view, path)
            else:
                list(long.pieces(path))
            return
        if path.is_dir():
            raise ExportError(f"{_shown(path)} is a folder: choose another name")
        if not replace and os.path.lexists(path):
            raise FileExistsError
        (write_atomic if replace else write_new)(path, long.pieces() if long is not None else form.make(run_view))


def write_beside(run_view: RunView, choice: Choice, path: Path, long: Long | None = None) -> Path:
    """Write the run to `path`, or to the next free name. Raises ExportError."""
    while True:
        free = free_path(path)
        try:
            write(run_view, choice, free, long=long)
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
