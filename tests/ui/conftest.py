"""Fixtures for the tests of the monitor."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import textual.app
import textual.pilot

from llmtui.ui.screens import run as run_screen
from tests.leftovers import carrying
from tests.ui.quiet import until_quiet
from tests.ui.tmux import WAIT_S, Tmux


@pytest.fixture(autouse=True)
def _no_throttling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw every change immediately. The throttle has tests of its own."""
    monkeypatch.setattr(run_screen, "NUMBERS_S", 0.0)
    monkeypatch.setattr(run_screen, "CHARTS_S", 0.0)


@pytest.fixture(autouse=True)
def _no_idle_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the app and not for the clock."""
    monkeypatch.setattr(textual.pilot, "wait_for_idle", until_quiet)
    monkeypatch.setattr(textual.app, "wait_for_idle", until_quiet)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put everything that a run writes into folders of the test."""
    runtime = Path("/tmp") / f"lt-{uuid.uuid4().hex[:8]}"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("LLMTUI_STORE", str(tmp_path / "history.db"))
    monkeypatch.setenv("LLMTUI_STATE", str(tmp_path))
    yield tmp_path
    # A detached run continues, and stopping takes time: neither may outlive the test.
    left = carrying("XDG_RUNTIME_DIR", str(runtime))
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=WAIT_S)
    for process in stubborn:
        process.kill()
    shutil.rmtree(runtime, ignore_errors=True)
    assert not stubborn


@pytest.fixture
def tmux(home: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    server = Tmux(Path(os.environ["XDG_RUNTIME_DIR"]) / "tmux", 80, 24)
    yield server
    server.close()
