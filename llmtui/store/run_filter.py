"""Which runs a listing contains."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from llmtui.model import Struct
from llmtui.model.errors import UsageError

_AGO = re.compile(r"([0-9]{1,5})\s*([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class RunFilter(Struct, frozen=True):
    """Every part must match. Texts match a part of a label, of a backend's name or of a model, in any case.

    `since_utc` is the earliest start, as ISO 8601. An empty part matches every run.
    """

    label: str = ""
    backend: str = ""
    model: str = ""
    since_utc: str = ""

    def starts(self, created_utc: str, label: str) -> bool:
        """Whether a run with this start and label may match."""
        if self.since_utc and datetime.fromisoformat(created_utc) < datetime.fromisoformat(self.since_utc):
            return False
        return _in(self.label, [label])

    def races(self, backends: Collection[str], models: Collection[str]) -> bool:
        """Whether a run with these backends and models matches."""
        return _in(self.backend, backends) and _in(self.model, models)


def _in(wanted: str, texts: Collection[str]) -> bool:
    return not wanted or any(wanted.casefold() in text.casefold() for text in texts)


def since(text: str, now: datetime | None = None) -> str:
    """Return the time of `since_utc` for the option --since. Raises UsageError."""
    if (when := since_utc(text, now)) is None:
        raise UsageError(f"--since: {text!r} is not a date such as 2026-11-22, nor a time ago such as 12h or 7d")
    return when


def since_utc(text: str, now: datetime | None = None) -> str | None:
    """Return the time in UTC that `text` means: a date or a time ("2026-11-22", "2026-11-22 15:00", in UTC), or a time
    ago ("12h", "7d", "2w"). None if it is neither."""
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            when = (now or datetime.now(UTC)) - int(ago[1]) * _UNITS[ago[2]]
        else:
            when = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        return None
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).isoformat()
