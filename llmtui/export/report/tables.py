"""The tables and lists of the report."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from llmtui.export.load_table import FilledColumn, load_columns, load_rows
from llmtui.export.report.svg import escape
from llmtui.export.table import filled_columns, rows_of
from llmtui.model import STATE_WORDS, Backend
from llmtui.runview.run import RunView

#: Settings of a backend that are in other lines of its list, or that are off.
_NOT_LISTED = frozenset({"name", "api_key", "headers", "secrets", "enabled"})


def summary(run_view: RunView) -> str:
    """Return the table of the run: a row per backend; of a load, one per backend and level in groups."""
    if run_view.plan.levels:
        load = load_rows(run_view)
        columns = [column for column in load_columns(load) if column.key != "level"]
        groups = itertools.groupby(range(len(load)), key=lambda n: load[n].level.number)
        titled = [(load[numbers[0]].level.title, numbers) for _, group in groups if (numbers := list(group))]
        return _table(columns, titled, [row.fastest for row in load])
    rows = rows_of(run_view)
    return _table(filled_columns(rows), [("", list(range(len(rows))))], [row.fastest for row in rows])


def _table(columns: Sequence[FilledColumn], groups: Sequence[tuple[str, list[int]]], stars: Sequence[bool]) -> str:
    head = "".join(f"<th{_kind(column)}>{escape(column.heading)}</th>" for column in columns)
    bodies = []
    for title, numbers in groups:
        rows = [f'<tr><th class="text" colspan="{len(columns)}">{escape(title)}</th></tr>'] if title else []
        for n in numbers:
            star = "* " if stars[n] else ""
            cells = [
                f"<td{_kind(column)}>{star if column.key == 'backend' else ''}{escape(column.cells[n])}</td>"
                for column in columns
            ]
            of_star = ' class="star"' if star else ""
            rows.append(f"<tr{of_star}>{''.join(cells)}</tr>")
        bodies.append(f"<tbody>{''.join(rows)}</tbody>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>{"".join(bodies)}</table></div>'


def _kind(column: FilledColumn) -> str:
    return ' class="text"' if column.text else ""


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names with their values; those without a value are left out."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value, 2_000)}</dd>" for name, value in pairs if value)
    return f"<dl>{items}</dl>"


def settings(struct: msgspec.Struct, *, all_of_them: bool = False) -> list[tuple[str, str]]:
    """Return the settings of a struct, by default those that are not the usual ones."""
    pairs = []
    for field in msgspec.structs.fields(type(struct)):
        value = getattr(struct, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if all_of_them or value != default:
            pairs.append((field.name, _text(value)))
    return pairs


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value or '""'
    return msgspec.json.encode(value).decode()


def workers(run_view: RunView) -> str:
    """How many processes sent the requests of a load, by level where that differs.

    "" in a race, and where another tool measured.
    """
    levels, counts = run_view.plan.levels, dict[int, set[int]]()
    for view in run_view.backends.values():
        if view.backend.measured_by:
            return ""
        for turn in view.turns:
            if turn.phase == "measured" and turn.attempt == view.state.attempt:
                counts.setdefault(turn.level, set()).add(turn.workers)
    titles: dict[str, list[str]] = {}
    for number, found in sorted(counts.items()):
        titles.setdefault(" or ".join(map(str, sorted(found))), []).append(levels[number - 1].title)
    said = (
        "; ".join(f"{count} at {', '.join(of)}" for count, of in titles.items()) if len(titles) > 1 else "".join(titles)
    )
    return f"{said}, on workers of a Dask cluster" if said and run_view.plan.workers.scheduler else said


def backends(run_view: RunView) -> str:
    """Return what is known of each backend: its server, and its settings without secrets."""
    public = {backend.name: backend for backend in run_view.plan.public().backends}
    parts = []
    for name, view in run_view.backends.items():
        state, configured = view.state, public.get(name, Backend(name=name))
        known: list[tuple[str, Any]] = [
            ("state", STATE_WORDS[state.state]),
            ("started", configured.start_words),
            ("version", state.version),
            ("served model", state.model),
            ("weights", view.weights),
            ("threads", state.threads),
            ("slots", state.slots),
            ("context", state.context_tokens),
            ("device", state.device),
            ("start-up in s", f"{state.load_s:.3g}" if state.load_s is not None else ""),
            ("model digest", state.model_digest),
            ("note", state.note),
        ]
        listed = [(key, "" if value is None else str(value)) for key, value in known]
        listed += [pair for pair in settings(configured) if pair[0] not in _NOT_LISTED]
        parts.append(f"<h3>{escape(name)}</h3>{facts(listed)}")
    return "".join(parts)
