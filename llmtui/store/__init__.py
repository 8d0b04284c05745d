"""The history: every iteration is on disk before anyone is told of it. One SQLite file, written by engines.

Knows only llmtui.model. What it returns are that module's structs and the rows of llmtui.store.rows.
"""

from llmtui.store.errors import DamagedError, LockedError, StoreError
from llmtui.store.history import Store
from llmtui.store.opening import open_store
from llmtui.store.rows import BackendRow, RunRow, RunWord, StoredRun

__all__ = [
    "BackendRow",
    "DamagedError",
    "LockedError",
    "RunRow",
    "RunWord",
    "Store",
    "StoreError",
    "StoredRun",
    "open_store",
]
