"""Fixtures for the tests of the monitor."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import textual.app
import textual.pilot
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

from llmtui.ui.screens import run as run_screen
from tests.leftovers import carrying
from tests.ui.quiet import Together, until_quiet, until_screen_is_quiet
from tests.ui.tmux import WAIT_S, Tmux


@pytest.fixture(autouse=True)
def _no_throttling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw changes immediately, those that come together once. The throttle has tests of its own."""
    monkeypatch.setattr(run_screen, "Throttle", Together)


@pytest.fixture(autouse=True)
def _no_idle_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the app and not for the clock."""
    monkeypatch.setattr(textual.pilot, "wait_for_idle", until_quiet)
    monkeypatch.setattr(textual.app, "wait_for_idle", until_quiet)
    monkeypatch.setattr(textual.pilot.Pilot, "_wait_for_screen", until_screen_is_quiet)


@pytest.fixture(autouse=True, scope="session")
def _style_sheets_parsed_once() -> Iterator[None]:
    """Parse a style sheet once for all apps with the same theme. Textual's own cache is that of one app."""
    parse = Stylesheet._parse_rules
    parsed: dict[tuple[object, ...], list[RuleSet]] = {}

    def parsed_once(sheet: Stylesheet, css: str, **source: Any) -> list[RuleSet]:
        key = (css, *source.items(), *sheet._variables.items())
        if key not in parsed:
            parsed[key] = parse(sheet, css, **source)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", parsed_once)
        yield


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
