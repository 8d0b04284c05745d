"""Histories that are small on disk and large in memory, or have one invalid row among valid ones."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import pytest

from llmtui.config.file import read_named_by_history
from llmtui.config.schema import MAX_BACKENDS, ConfigError, parse
from llmtui.store.errors import StoreError
from llmtui.store.open import open_store
from llmtui.store.packing import pack_deltas, pack_runs
from llmtui.store.process_id import here
from llmtui.store.read_run import MOST_ARRIVALS
from tests.hostile.histories import OTHER, RUN, history, spoiled


def changed_plan(file: Path, **changes: object) -> Path:
    """Change values in the plan of `RUN`."""
    with spoiled(file) as connection:
        (text,) = connection.execute("SELECT plan FROM runs WHERE id = ?", (RUN,)).fetchone()
        connection.execute("UPDATE runs SET plan = ? WHERE id = ?", (json.dumps(json.loads(text) | changes), RUN))
    return file


def refusal(file: Path) -> str:
    store, _ = open_store(file)
    with store, pytest.raises(StoreError) as caught:
        store.load(RUN)
    with open_store(file)[0] as store:
        assert store.load(OTHER).iterations, "the other run is read as before"
        assert store.runs().unread == 1
    return str(caught.value)


@pytest.mark.parametrize("more", [0, 1])
def test_arrivals_of_a_stored_answer_are_limited(more: int, tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    count = MOST_ARRIVALS + more
    with spoiled(file) as connection:
        connection.execute(
            "UPDATE iterations SET arrivals_ns = ?, arrival_tokens = ? WHERE run = ? AND iteration = 1",
            (pack_deltas([1]) + b"\0" * (count - 1), pack_runs([1] * count), RUN),
        )
    store, _ = open_store(file)
    with store:
        if not more:
            assert len(store.load(RUN).iterations[0].arrivals_ns) == MOST_ARRIVALS
        else:
            with pytest.raises(StoreError, match=f"more than {MOST_ARRIVALS} numbers"):
                store.load(RUN)


def test_backends_of_a_stored_plan_are_limited(tmp_path: Path) -> None:
    backends = [{"name": f"b{n}"} for n in range(MAX_BACKENDS + 1)]
    assert "no backends" in refusal(changed_plan(history(tmp_path / "history.db"), backends=backends))
    blocks = "\n".join(f"[[backend]]\nname = 'b{n}'\nurl = 'http://h:{n + 1}'" for n in range(MAX_BACKENDS + 1))
    with pytest.raises(ConfigError, match=f"101 backends; a run compares at most {MAX_BACKENDS}"):
        parse(blocks, source="c.toml", folder=Path("/"), environ={})


@pytest.mark.parametrize("value", [pytest.param({"": []}, marks=pytest.mark.slow), 0, [[]]])
def test_a_document_with_too_many_values_is_not_decoded(value: object, tmp_path: Path) -> None:
    backends = [{"name": "alpha", "options": {"x": [value] * 250_000}}]
    assert "more than 200000 values" in refusal(changed_plan(history(tmp_path / "history.db"), backends=backends))


def test_home_folders_in_a_history_are_not_resolved(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    with spoiled(file) as connection:
        (text,) = connection.execute("SELECT plan FROM runs WHERE id = ?", (RUN,)).fetchone()
    config = json.loads(text)["config"] | {"model": "~somebody/m.gguf"}
    assert "the path of the model in the plan is not absolute" in refusal(changed_plan(file, config=config))


@pytest.mark.parametrize("column", ["engine_started", "id"])
def test_invalid_utf_8_hides_only_its_own_run(column: str, tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    with spoiled(file) as connection:
        connection.execute(
            f"UPDATE runs SET state = 'running', engine_place = ?, {column} = CAST(x'61ff62' AS TEXT) WHERE id = ?",
            (here(), RUN),
        )
    with open_store(file)[0] as store:
        assert store.mark_dead() == []
        assert [row.run for row in store.runs()] == [OTHER]
        assert store.load(OTHER).iterations


def test_a_file_of_size_0_is_not_read_as_a_config() -> None:
    """Files in /proc look regular, and some are endless."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("no /proc")
    assert read_named_by_history(status, "X") == ""


def test_an_unknown_name_among_many_labels_is_refused_quickly(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    with spoiled(file) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO runs (id, created_utc, state, label, llmtui, engine_place, engine_pid, engine_started, "
            "machine, plan) VALUES (?, '2020-01-01T00:00:00Z', 'done', ?, '0', '', 1, '', '{}', '{}')",
            ((f"{number:08x}", "dead" * 19 + str(number)) for number in range(20_000)),
        )
        connection.execute("COMMIT")
    store, _ = open_store(file)
    with store:
        began = time.process_time()
        with pytest.raises(StoreError, match="no run"):
            store.find("deadbeez" * 10)
        assert time.process_time() - began < 5.0, "each label takes a millisecond"


def test_extreme_values_of_a_config_are_read_back(tmp_path: Path) -> None:
    """A seed of 64 bits, and a prompt with very many commas."""
    backends = [{"name": "alpha", "options": {"seed": 2**64 - 1}}]
    file = history(tmp_path / "history.db")
    with spoiled(file) as connection:
        (text,) = connection.execute("SELECT plan FROM runs WHERE id = ?", (RUN,)).fetchone()
    config = json.loads(text)["config"] | {"prompt": "1,[" * 210_000}
    backends += [backend for backend in json.loads(text)["backends"] if backend["name"] != "alpha"]
    with open_store(changed_plan(file, config=config, backends=backends))[0] as store:
        assert store.load(RUN).plan.backends[0].options == {"seed": 2**64 - 1}
    block = "[[backend]]\nname = 'a'\nurl = 'http://h:1'\noptions = { deep = [{ seed = %d }] }"
    assert parse(block % (2**64 - 1), source="c.toml", folder=Path("/"), environ={}).backend
    with pytest.raises(ConfigError, match="options: expected whole numbers of up to 64 bits, got 18446744073709551616"):
        parse(block % 2**64, source="c.toml", folder=Path("/"), environ={})


@pytest.mark.parametrize("name", ["notes.txt", "other.db"])
def test_a_file_that_is_not_a_history_keeps_its_mode(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text("a letter\n" * 1000)
    file.chmod(0o664)
    link = tmp_path / f"link-to-{name}"
    link.symlink_to(file)
    for place in (file, link):
        with contextlib.suppress(StoreError):
            open_store(place)[0].close()
    copies = [path for path in tmp_path.iterdir() if path.read_bytes().startswith(b"a letter")]
    assert copies and {path.stat().st_mode & 0o777 for path in copies} == {0o664}


def test_opening_a_history_removes_access_of_others(tmp_path: Path) -> None:
    file = history(tmp_path / "history.db")
    file.chmod(0o644)
    with open_store(file)[0] as store:
        store.label(RUN, "mine")
        assert {path.name: path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == dict.fromkeys(
            ("history.db", "history.db-wal", "history.db-shm"), 0
        )
