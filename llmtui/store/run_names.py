"""The run that a name means: an id, `last` or `last~N`, a label, or the beginning of an id."""

from __future__ import annotations

import difflib
import re
import sqlite3

from llmtui.model import is_run_id
from llmtui.model.errors import UsageError
from llmtui.store.errors import NoRunError, SeveralRunsError
from llmtui.store.limits import rows
from llmtui.store.rows import MAX_LABEL
from llmtui.text import sanitize
from llmtui.text.format import plural

#: A suggestion is searched among the names of this many of the newest runs.
MAX_NEAR = 1000
_SHOWN = 5
_LAST = re.compile(r"last(?:~([0-9]{1,6}))?")


def place_from_newest(name: str) -> int | None:
    """Return 0 for `last`, N for `last~N`, and None for any other name."""
    match = _LAST.fullmatch(name.strip())
    return int(match[1] or 0) if match else None


def label_of(text: str) -> str:
    """Return `text` as a label: sanitized and cut to `MAX_LABEL` characters. Raises UsageError for `last`, `last~N`."""
    label = sanitize(text, MAX_LABEL)
    if place_from_newest(label) is not None:
        raise UsageError(f"a run cannot have the label {label!r}, which names the newest runs; choose another label")
    return label


def find(connection: sqlite3.Connection, name: str) -> str:
    """Return the id of the run that `name` means. The kinds of names are tried in the order above.

    `last` is the run that started last, also one in progress; `last~1` is the one before. Raises NoRunError if there is
    no such run, with the closest match, or if there are several, with all of them. A history of 0.1.0 may have a label
    `last`: the name then is ambiguous.
    """
    candidates = [
        (row["id"], _label(row["label"]))
        for row in rows(connection, "SELECT id, label FROM runs ORDER BY created_utc DESC, seq DESC")
        if isinstance(row["id"], str) and is_run_id(row["id"])
    ]
    wanted = name.strip()
    if not candidates:
        raise NoRunError(f"no run {wanted!r}: the history is empty")
    if any(run == wanted for run, _ in candidates):
        return wanted
    labelled = [run for run, label in candidates if label and label in (wanted, sanitize(wanted, MAX_LABEL))]
    place = place_from_newest(wanted)
    if place is not None:
        return _from_newest([run for run, _ in candidates], wanted, place, labelled)
    if len(labelled) > 1:
        raise SeveralRunsError(f"{wanted!r} matches several runs: {_some(labelled)}; name one by its id")
    if labelled:
        return labelled[0]
    if starting := [run for run, _ in candidates if wanted and run.startswith(wanted)]:
        return _only(starting, wanted, "type more of the id")
    raise NoRunError(f"no run {wanted!r} in the history; {_hint(candidates, wanted)}")


def _from_newest(runs: list[str], wanted: str, place: int, labelled: list[str]) -> str:
    if labelled:
        raise NoRunError(
            f"{wanted!r} means the newest runs, but run {labelled[0]} has this label; change the label: "
            f"llmtui show {labelled[0]} --label TEXT"
        )
    if place >= len(runs):
        raise NoRunError(f"no run {wanted!r}: the history has only {plural(len(runs), 'run')}")
    return runs[place]


def _only(matches: list[str], wanted: str, remedy: str) -> str:
    if len(matches) > 1:
        raise NoRunError(f"{wanted!r} matches several runs: {_some(matches)}; {remedy}")
    return matches[0]


def _hint(candidates: list[tuple[str, str]], wanted: str) -> str:
    names = [name for run, label in candidates[:MAX_NEAR] for name in (label, run) if name]
    # Comparing takes time for each name, and there may be very many.
    near = difflib.get_close_matches(wanted[:MAX_LABEL], names[:MAX_NEAR], n=1, cutoff=0.5)
    return f"did you mean {sanitize(near[0])!r}?" if near else f"the newest are {_some([run for run, _ in candidates])}"


def _label(value: object) -> str:
    """`value` if it is a valid label, else ""."""
    return value if isinstance(value, str) and len(value) <= MAX_LABEL else ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
