"""Fixtures for tests of the history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmtui.store.history import Store
from llmtui.store.open import open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new, empty history."""
    store, notes = open_store(tmp_path / "history.db")
    assert notes == []
    with store:
        yield store
