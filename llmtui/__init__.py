"""llmtui: a live terminal monitor that benchmarks the serving latency of LLM frameworks side by side.

For notebooks and scripts, `read_run` returns a past run, and `list_runs` the runs of the history: see
`llmtui explain python`. They are imported when they are first used.
"""

from __future__ import annotations

#: For type checkers, which take it for true. `typing` alone takes longer to import than the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from llmtui.api import ReadError, Run, list_runs, read_run

__version__ = "0.1.0"

__all__ = ["ReadError", "Run", "__version__", "list_runs", "read_run"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'llmtui' has no attribute {name!r}")
    import importlib

    found: object = getattr(importlib.import_module("llmtui.api"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
