"""The history: every iteration is on disk before anyone is told of it. One SQLite file, written by engines.

What it returns are the structs of llmtui.model and the rows of llmtui.store.rows. A file may come from anybody: what
lies at its name is looked at before it is opened, its tables before they are read, and every value when it is read.
"""

from llmtui.store.errors import DamagedError, LockedError, StoreError
from llmtui.store.history import Store
from llmtui.store.opening import open_store
from llmtui.store.rows import BackendRow, RunRow, Runs, RunWord, StoredRun

__all__ = [
    "BackendRow",
    "DamagedError",
    "LockedError",
    "RunRow",
    "RunWord",
    "Runs",
    "Store",
    "StoreError",
    "StoredRun",
    "open_store",
]
