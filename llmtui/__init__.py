"""llmtui: a live terminal monitor that benchmarks the serving latency of LLM frameworks side by side."""

from __future__ import annotations

__version__ = "0.1.0"
