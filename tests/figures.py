"""Reads the figures of a drawn table back: each with the unit of its heading, in s or tokens/s."""

from __future__ import annotations

import re
from typing import NamedTuple

#: The titles of columns of figures. Cells end where their heading ends.
_HEADING = re.compile(
    r"(?:latency )?\b(mean|median(?: [AB])?|min|max|stddev|p95|TTFT|ITL|latency|server|other)\b ?(ms|s|tok/s)\b"
    r"|(?<![\w/])(?<!mean )(?<!median )(tok/s|tokens/s)(?! of)"
)


class Figure(NamedTuple):
    """A figure of a table: its title, its row from 0 on, its value, its text, and the cell that its point stands in."""

    title: str
    row: int
    value: float | None
    text: str
    point: int


def figures_of(heading: str, rows: list[str]) -> list[Figure]:
    """All figures below this heading. Raises ValueError if a cell is not a number and not "-"."""
    found = []
    for match in _HEADING.finditer(heading):
        title, unit = (match[1], match[2]) if match[1] else ("tok/s", "tok/s")
        for number, row in enumerate(rows):
            text = row[: match.end()].rpartition(" ")[2]
            if row[match.end() : match.end() + 1].strip():
                raise ValueError(f"{title}: the cell does not end with its heading: {row!r}")
            value = None if text == "-" else float(text) * (1e-3 if unit == "ms" else 1)
            whole = text.partition(".")[0]
            found.append(Figure(title, number, value, text, match.end() - len(text) + len(whole)))
    return found


def assert_readable(figures: list[Figure]) -> None:
    """No figure has an exponent, and the decimal points of a column are in line."""
    assert figures
    for title in {figure.title for figure in figures}:
        column = [figure for figure in figures if figure.title == title and figure.value is not None]
        assert not any("e" in figure.text for figure in column), column
        assert len({figure.point for figure in column}) <= 1, column
