"""The guard as it is on a system without prctl(2) and /proc."""

from __future__ import annotations

import sys
from pathlib import Path

source = Path(__file__).parents[3] / "llmtui" / "servers" / "guard.py"
sys.platform = "darwin"
exec(compile(source.read_text("utf-8"), str(source), "exec"), {"__name__": "__main__", "__file__": str(source)})
