"""Where a setting stands: the file and the line, or the option of the command line. For error messages. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

#: The keys and indexes that lead to a setting: ("backend", 0, "options", "top_p").
Path: TypeAlias = tuple[str | int, ...]

#: Patterns are compiled when they are needed: no start of the program waits for that.
_KEY = r"[ \t]*(\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*(\.)?"
#: A piece of a value: a text, a comment, a bracket, the end of a line, or anything else.
_PIECE = (
    r'(?s:"""(?:\\.|[^\\])*?"{3,5}|'
    r'\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[{]|[\]}]|\n|[^"\'#\[\]{}\n]+|.)'
)
#: The beginning of a line that is not blank: that of a header of a table, of an array of tables, or of a key.
_START = r"[ \t]*(\[{0,2})"
_BLANK = r"[ \t\r]*(?:#[^\n]*)?(?:\n|$)"


class Place:
    """A setting in a config, shown as `c.toml:3: [run]: iterations`; without the lines of a file, as `c.toml: [run]`.

    `text` is the content of the file, "" if there is none. It is searched for the line only when a place is shown.
    """

    def __init__(self, source: str, text: str = "", path: Path = (), words: str = "") -> None:
        self._source, self._text, self._path, self._words = source, text, path, words

    def section(self, name: str) -> Place:
        """The table [name]."""
        return self._deeper(name, f": [{name}]")

    def backend(self, index: int, label: str) -> Place:
        """The table of a backend, shown as `label`."""
        return Place(self._source, self._text, ("backend", index), f": {label}")

    def sweep(self, index: int) -> Place:
        """A table of the grid."""
        return Place(self._source, self._text, ("sweep", index), ": [[sweep]]")

    def key(self, name: str) -> Place:
        """A key of this table."""
        return self._deeper(name, f": {name}")

    def field(self, name: str) -> Place:
        """A key of this key's own table, shown as `options.extra_body`."""
        return self._deeper(name, f".{name}")

    def entry(self, name: str) -> Place:
        """A key of this table that the message itself names."""
        return self._deeper(name, "")

    def _deeper(self, name: str, words: str) -> Place:
        return type(self)(self._source, self._text, (*self._path, name), self._words + words)

    def __str__(self) -> str:
        line = line_of(self._path, key_lines(self._text)) if self._text and self._path else None
        return (self._source if line is None else f"{self._source}:{line}") + self._words


class Option(Place):
    """A setting of the command line, shown as its option: `--max-tokens`."""

    def __str__(self) -> str:
        return "--" + str(self._path[-1]).removesuffix("_s").replace("_", "-") if self._path else self._source


def line_of(path: Path, lines: Mapping[Path, int]) -> int | None:
    """Return the line of a setting, or that of the table that it is in, or None."""
    return next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)


def key_lines(text: str) -> dict[Path, int]:
    """Return the lines (from 1) of all tables and keys in a valid TOML file. Keys in inline tables are left out."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}  # of the tables in each array of tables
    table: Path = ()
    position, line = 0, 1
    while position < len(text):
        if (blank := re.compile(_BLANK).match(text, position)) is not None:
            position, line = blank.end(), line + 1
            continue
        start = re.compile(_START).match(text, position)
        assert start is not None
        names, position = _names(text, start.end())
        if start[1]:
            table = _table(names, counts, array=len(start[1]) == 2)
            lines.setdefault(table, line)
        else:
            for end in range(len(names)):
                lines.setdefault((*table, *names[: end + 1]), line)
        position, passed = _end_of_value(text, position)
        line += passed
    return lines


def _names(text: str, position: int) -> tuple[list[str], int]:
    """Return the parts of a dotted key, and where it ends."""
    names: list[str] = []
    while (match := re.compile(_KEY).match(text, position)) is not None:
        name = match[1]
        names.append(name[1:-1] if name[0] in "\"'" else name)
        position = match.end()
        if not match[2]:
            break
    return names, position


def _table(names: list[str], counts: dict[Path, int], *, array: bool) -> Path:
    """Return the path of a table by its header. In the path, each array of tables is followed by an index."""
    path: Path = ()
    for number, name in enumerate(names, start=1):
        path = (*path, name)
        if array and number == len(names):
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _end_of_value(text: str, position: int) -> tuple[int, int]:
    """Return where the value that begins at `position` ends, after its last line, and how many lines it takes."""
    depth, passed = 0, 0
    while (piece := re.compile(_PIECE).match(text, position)) is not None:
        position, found = piece.end(), piece[0]
        passed += found.count("\n")
        if found == "\n" and depth <= 0:
            break
        depth += (found in ("[", "{")) - (found in ("]", "}"))
    return position, passed
