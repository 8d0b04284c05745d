"""llmtui: a live terminal monitor that benchmarks the serving latency of LLM frameworks side by side.

For notebooks and scripts, `read_run` returns a past run, and `list_runs` the runs of the history: see
`llmtui explain python`. They are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmtui.api import ReadError, Run, list_runs, read_run

__version__ = "0.1.0"

__all__ = ["ReadError", "Run", "__version__", "list_runs", "read_run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'llmtui' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("llmtui.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
