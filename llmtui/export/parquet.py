"""A run as Parquet files in a folder: `samples.parquet`, and `turns.parquet` of a load.

The columns are those of the CSV files, typed: durations and rates are float64, counts int64, times are UTC timestamps
in ns, and an unknown value is null. Needs PyArrow (the extra `parquet`). Rows are written in batches, so that the
memory does not grow with their number.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_type_hints

from llmtui.export.column import Column, Value
from llmtui.export.csv import run_samples, run_turns
from llmtui.export.load_columns import ITERATION_COLUMNS, TURN_COLUMNS
from llmtui.model import Iteration, Turn
from llmtui.model.errors import UsageError
from llmtui.runview.run import RunView
from llmtui.text import sanitize

if TYPE_CHECKING:
    import pyarrow

_T = TypeVar("_T")
#: Rows of a row group: what is in memory at a time.
_ROWS = 8_192
_LONGEST_TEXT = 2_000
Kind = Literal["text", "whole", "real", "time", "yes"]
#: The kinds of columns that are not a field of an iteration or a turn of the same name, or are not of its type.
_KINDS: dict[str, Kind] = {
    "started_utc": "time",
    "disturbed": "yes",
    "loaded": "yes",
    "beyond_capacity": "yes",
    "round": "whole",
    "streams": "whole",
    "question": "whole",
    "level_max_tokens": "whole",
    "level_prompt_tokens": "whole",
    "level": "text",
    "error": "text",
    "rate": "real",
    "attainment": "real",
    "cached_question_1": "real",
    "cached_questions_later": "real",
}
#: The units and words at the end of columns with other numbers.
_REAL = ("_s", "_j", "watts", "_use", "_attainment")
_HINTS = {name: kind for of in (Turn, Iteration) for name, kind in get_type_hints(of).items()}


def kind_of(column: str) -> Kind:
    """What the values of a column are."""
    if column in _KINDS:
        return _KINDS[column]
    hint = _HINTS.get(column)
    if hint in (int, int | None):
        return "whole"
    if column.endswith("_bytes"):
        return "whole"
    if hint in (float, float | None) or column.endswith(_REAL):
        return "real"
    return "text"


_CONVERT: dict[Kind, Callable[[Any], Any]] = {
    "text": lambda value: sanitize(str(value), _LONGEST_TEXT) or None,
    "whole": int,
    "real": float,
    "time": datetime.fromisoformat,
    "yes": lambda value: value == "yes",
}


def write_parquet(run_view: RunView, folder: Path) -> list[str]:
    """Write the files to `folder`, which is created; no file is left half written, and no empty folder. Return no
    remarks.

    Raises UsageError without PyArrow, OSError, and StoreError if the requests of a load cannot be read.
    """
    if lacking := lacks_pyarrow():
        raise UsageError(lacking)
    before = folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        _write(folder / "samples.parquet", ITERATION_COLUMNS, run_samples(run_view))
        if run_view.plan.levels:
            _write(folder / "turns.parquet", TURN_COLUMNS, run_turns(run_view))
    except BaseException:
        if not before:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    return []


def lacks_pyarrow() -> str:
    """Say what to install if PyArrow is missing, "" if it is there."""
    found = importlib.util.find_spec("pyarrow") is not None
    return "" if found else "Parquet needs a further package; try: pip install 'llmtui[parquet]'"


def _write(path: Path, columns: Sequence[Column[_T]], rows: Iterable[_T]) -> None:
    """Write a table in row groups to a file beside `path`, which it then replaces."""
    from pyarrow import parquet

    kinds = {column.name: kind_of(column.name) for column in columns}
    schema = _schema(kinds)
    descriptor, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with open(descriptor, "wb") as file:
            with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
                for batch in _batches(rows):
                    writer.write_table(_table(columns, kinds, schema, batch))
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)


def _batches(rows: Iterable[_T]) -> Iterable[list[_T]]:
    """Yield the rows, `_ROWS` at a time. The first batch may be empty: a table of no rows has columns, too."""
    left = iter(rows)
    batch = list(itertools.islice(left, _ROWS))
    while True:
        yield batch
        if not (batch := list(itertools.islice(left, _ROWS))):
            return


def _schema(kinds: dict[str, Kind]) -> pyarrow.Schema:
    import pyarrow

    arrow = {
        "text": pyarrow.string(),
        "whole": pyarrow.int64(),
        "real": pyarrow.float64(),
        "time": pyarrow.timestamp("ns", tz="UTC"),
        "yes": pyarrow.bool_(),
    }
    return pyarrow.schema([(name, arrow[kind]) for name, kind in kinds.items()])


def _table(
    columns: Sequence[Column[_T]], kinds: dict[str, Kind], schema: pyarrow.Schema, rows: list[_T]
) -> pyarrow.Table:
    import pyarrow

    values = {column.name: [_value(kinds[column.name], column.of(row)) for row in rows] for column in columns}
    return pyarrow.table(values, schema=schema)


def _value(kind: Kind, value: Value) -> Any:
    """A value as Arrow has it, None if it is unknown."""
    if value is None or value == "":
        return None
    return _CONVERT[kind](value)
