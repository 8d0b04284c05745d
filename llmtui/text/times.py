"""Instants as llmtui writes them: UTC with milliseconds, "2026-11-22T15:00:00.250Z"."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_text(at: datetime) -> str:
    """An instant that has a zone, as text."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now_text() -> str:
    """The time of day, as text."""
    return utc_text(datetime.now(UTC))
