"""A run of a listing as plain data: `llmtui history --json`, and `llmtui.list_runs`."""

from __future__ import annotations

from typing import Any

import msgspec

from llmtui.model import FAILED
from llmtui.store.listing import BackendRow, RunRow


def run_record(row: RunRow) -> dict[str, Any]:
    """The run as `llmtui history --json` documents it."""
    own, backends = msgspec.structs.asdict(row), [msgspec.structs.asdict(b) for b in row.backends]
    del own["backends"]
    of_load = {name: own.pop(name) for name in ("level", "metric")}
    if not row.level:
        of_load = {}
        for backend in backends:
            del backend["metric_median"]
    return own | {"failed": len(failed(row)), "backends": backends} | of_load


def failed(row: RunRow) -> list[BackendRow]:
    """The backends of a run that failed, or have failed iterations."""
    return [b for b in row.backends if b.errors or b.state in FAILED]
