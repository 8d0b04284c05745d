"""The columns of a grid (`[[sweep]]`) in the CSV of results: what was varied in the row's backend; else empty."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from llmtui.export.column import Column, Value
from llmtui.export.columns import Result
from llmtui.model import Variant


def _of(name: str, doc: str, of: Callable[[Variant], Value]) -> Column[Result]:
    def value(result: Result) -> Value:
        variant = result.plan.variants.get(result.backend.name)
        return of(variant) if variant is not None else None

    return Column(name, doc, value)


def _words(variant: Variant) -> Value:
    return shlex.join(variant.args) if variant.args is not None else None


#: Lengths are columns of the level.
GRID_COLUMNS: tuple[Column[Result], ...] = (
    _of("grid_backend", "The backend of the config that a grid made this one of. Empty without it.", lambda v: v.of),
    _of("grid_model", "The model that the grid gave it. Empty if models are not varied.", lambda v: v.model or None),
    _of("grid_threads", "The threads that the grid gave it.", lambda v: v.threads or None),
    _of("grid_args", "The words that the grid gave its command. Empty for none.", _words),
)
