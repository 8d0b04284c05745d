"""Fixtures for the tests of the monitor."""

from __future__ import annotations

import pytest

from llmtui.ui.screens import run as run_screen


@pytest.fixture(autouse=True)
def _no_throttling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw every change immediately. The throttle has tests of its own."""
    monkeypatch.setattr(run_screen, "NUMBERS_S", 0.0)
    monkeypatch.setattr(run_screen, "CHARTS_S", 0.0)
