"""`resume` of a run of the default config: that of 0.1.0, which had whole backends, and today's."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import pytest

from llmtui.cli import present
from llmtui.cli.resume import resumable
from llmtui.config.errors import ConfigError
from llmtui.config.schema import DEFAULT_SOURCE, load
from llmtui.model import Backend
from llmtui.model.turn import TurnState
from llmtui.store.errors import NoRunError
from llmtui.store.open import open_store
from tests import build, loads
from tests.store import runs

#: As the config of 0.1.0 had them.
OLD = [
    Backend(name="llama.cpp", framework="llama.cpp", language="C++", embedded="llama.cpp"),
    Backend(name="mistral.rs", framework="mistral.rs", language="Rust", embedded="mistral.rs"),
    Backend(name="HuggingFace", framework="HuggingFace", language="Python", embedded="transformers"),
    Backend(name="Llamafile", framework="llamafile", language="C++", url="http://127.0.0.1:8080"),
    Backend(
        name="Ollama",
        framework="ollama",
        language="Go",
        protocol="ollama",
        url="http://127.0.0.1:11434",
        model="smollm2:135m",
    ),
]


def history(folder: Path, *backends: Backend) -> str:
    """Write a history with a run of the default config that died before it measured anything."""
    file = folder / "history.db"
    plan = build.plan(
        *backends, run="ab12cd34", created_utc="2026-11-22T15:00:00.000Z", source=DEFAULT_SOURCE, iterations=2
    )
    store, _ = open_store(file)
    with store:
        store.begin(plan, runs.MACHINE)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET state = 'died'")
    return str(file)


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(present, "places", lambda _: ([], ""))
    monkeypatch.delenv("OLLAMA_HOST", raising=False)


def test_a_run_of_the_old_default_goes_on_with_the_same_backends(tmp_path: Path) -> None:
    plan, _ = resumable("ab12", history(tmp_path, *OLD), None)
    assert plan.backends == OLD


def test_an_address_that_only_the_history_names_is_not_contacted(tmp_path: Path) -> None:
    other = Backend(name="Llamafile", framework="llamafile", language="C++", url="http://gpu-box.invalid:8080")
    with pytest.raises(ConfigError, match="has changed since run ab12cd34 was started"):
        resumable("ab12", history(tmp_path, other), None)


@pytest.mark.parametrize("state", ["whole", "partial"])
def test_a_load_is_complete_if_no_turn_is_missing(state: TurnState, tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    config = tmp_path / "config.toml"
    config.write_text(
        '[run]\niterations = 1\n[load]\nconcurrency = [1, 8]\n[[backend]]\nname = "b"\nurl = "http://127.0.0.1:1"\n'
    )
    plan = load(config).plan()
    store, _ = open_store(file)
    with store:
        store.begin(plan, runs.MACHINE)
        turns = [loads.turn("b", 1, level, run=plan.run, seq=level) for level in (1, 2)]
        turns[1] = msgspec.structs.replace(turns[1], state=state)
        store.save_turns(plan.run, turns, [])
        store.save_state(plan.run, build.state("b", planned=1))
        store.finish(plan.run, "done")
    with pytest.raises(NoRunError, match="is complete") if state == "whole" else contextlib.nullcontext():
        resumable(plan.run, str(file), str(config))
