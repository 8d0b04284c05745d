"""What every test of the monitor stands on."""

from __future__ import annotations

import pytest

from llmtui.ui.screens import run as run_screen


@pytest.fixture(autouse=True)
def _no_pacing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pace has its own tests; elsewhere every change is drawn at once."""
    monkeypatch.setattr(run_screen, "NUMBERS_S", 0.0)
    monkeypatch.setattr(run_screen, "CHARTS_S", 0.0)
