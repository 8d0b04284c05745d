"""Runs of a history on the screen."""

from __future__ import annotations

from pathlib import Path

from llmtui.config.schema import UiConfig
from llmtui.link.client import EngineLink
from llmtui.store.open import open_store
from llmtui.store.rows import StoredRun
from llmtui.ui.app import MonitorApp
from llmtui.ui.past import PastLink, past_hello, past_run


def stored_run(file: Path, name: str = "last") -> StoredRun:
    with open_store(file)[0] as store:
        return store.load(name)


def monitor(stored: StoredRun) -> MonitorApp:
    async def link() -> EngineLink:
        return PastLink(past_hello(stored))

    return MonitorApp(stored.plan, link, ui=UiConfig(), past=past_run(stored))
