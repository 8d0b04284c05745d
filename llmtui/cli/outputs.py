"""The options that name the files of a run, and what they ask for: a path for each format.

A file has an option of its own (`--csv FILE`), or is named with its format (`--format csv -o FILE`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from llmtui.cli.options import FILE, option, refuse
from llmtui.cli.output import STDOUT

_F = TypeVar("_F", bound=Callable[..., Any])

#: The formats of llmtui.export.formats, which is imported only when a file is written.
OUTPUTS = (
    "csv",
    "turns_csv",
    "iterations_csv",
    "json",
    "jsonl",
    "markdown",
    "html",
    "openmetrics",
    "hyperfine",
    "parquet",
)
#: Those that are a folder with several files.
FOLDERS = ("hyperfine", "parquet")
#: Those that need a package which may be missing.
LACKING = frozenset({"parquet"})
#: Other names of stdout, which then contains nothing else.
_STDOUT_NAMES = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def output_options(*, format_shown: bool) -> Callable[[_F], _F]:
    """Return the decorator that adds these options to a command and gives it `files`: a path or None by format.

    `format_shown`: the help has --format, too.
    """

    def decorate(command: _F) -> _F:
        @functools.wraps(command)
        def with_files(*args: Any, **given: Any) -> Any:
            files: dict[str, Path | None] = {kind: given.pop(kind) for kind in OUTPUTS}
            named, path = given.pop("format_name"), given.pop("output")
            return command(*args, files=output_files(**_with_format(files, named, path)), **given)

        result: Any = with_files
        for each in reversed(_options(format_shown)):
            result = each(result)
        return result  # type: ignore[no-any-return]

    return decorate


def _options(format_shown: bool) -> list[Callable[[Any], Any]]:
    first = option(
        *("--csv", "csv"),
        metavar="FILE",
        type=FILE,
        shown="--csv, --json FILE",
        help="Write the results; all files: llmtui explain csv.",
    )
    others = [
        click.option(
            f"--{kind.replace('_', '-')}",
            kind,
            metavar="FOLDER" if kind in FOLDERS else "FILE",
            type=FILE,
            hidden=True,
        )
        for kind in OUTPUTS
        if kind != "csv"
    ]
    named = option(
        *("--format", "format_name"),
        metavar="NAME",
        type=click.Choice([kind.replace("_", "-") for kind in OUTPUTS]),
        shown="--format NAME",
        help="Format of -o FILE: html, openmetrics, markdown, jsonl ...",
        hidden=not format_shown,
    )
    path = click.option("-o", "--output", metavar="FILE", type=FILE, hidden=True)
    return [first, *others, named, path]


def _with_format(files: dict[str, Path | None], named: str | None, path: Path | None) -> dict[str, Path | None]:
    """Add the file of --format and -o. Raises UsageError."""
    if named is None:
        if path is not None:
            refuse("-o has no format; add --format, as in --format html -o FILE")
        return files
    kind = named.replace("-", "_")
    if files[kind] is not None:
        refuse(f"--format {named} and --{named} name the same format; use one of them")
    if path is None and kind in FOLDERS:
        refuse(f"--format {named} is a folder with several files; name it with -o FOLDER")
    return files | {kind: path if path is not None else STDOUT}


def output_files(**files: Path | None) -> dict[str, Path | None]:
    """Return `files`, by format. Raises UsageError if one cannot be written or two are the same."""
    files = {kind: STDOUT if str(path) in _STDOUT_NAMES else path for kind, path in files.items()}
    paths = [path for path in files.values() if path is not None]
    if len({path.absolute() for path in paths}) < len(paths):
        refuse("two outputs are the same file; name a different file for each")
    for kind, path in files.items():
        if path is None:
            continue
        if kind in FOLDERS:
            if path == STDOUT or (path.exists() and not path.is_dir()):
                refuse(f"{path} is not a folder; --{kind} writes several files: name a folder, which is created")
        elif path.is_dir():
            refuse(f"{path} is a folder; name a file in it")
        if not path.absolute().parent.is_dir():
            refuse(f"cannot write {path}: the folder {path.absolute().parent} does not exist")
    for kind in LACKING & {kind for kind, path in files.items() if path is not None}:
        from llmtui.export.formats import FORMATS

        if (lacks := FORMATS[kind].lacks) is not None and (lacking := lacks()):
            refuse(lacking)
    return files
