"""What every test of the monitor stands on."""

from __future__ import annotations

import pytest

from llmtui.ui import app as app_module


@pytest.fixture(autouse=True)
def _no_pacing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pace has its own tests; elsewhere every change is drawn at once."""
    monkeypatch.setattr(app_module, "NUMBERS_S", 0.0)
    monkeypatch.setattr(app_module, "CHARTS_S", 0.0)
