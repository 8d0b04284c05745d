"""Listing runs, finding them by name, labels and notes, and runs whose engine has died."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtui.model import Backend, Plan, RunConfig
from llmtui.model.errors import UsageError
from llmtui.store import process_id
from llmtui.store.errors import StoreError
from llmtui.store.history import Store
from llmtui.store.listing import BackendRow
from llmtui.store.open import open_store
from llmtui.store.rows import MAX_LABEL
from tests.store.runs import MACHINE, database, failed, iteration, plan, state


def test_listing_is_newest_first_with_medians_of_the_newest_attempt(store: Store) -> None:
    store.begin(plan("aa000001", created="2026-11-22T15:00:00.000Z"), MACHINE)
    store.begin(plan("aa000003", created="2026-11-22T17:00:00.000Z"), MACHINE)
    store.begin(plan("aa000002", created="2026-11-22T16:00:00.000Z"), MACHINE)
    store.save_iteration(iteration("aa000002", number=1, phase="warmup", latency_s=50.0))
    store.save_iteration(iteration("aa000002", number=1, latency_s=99.0))
    for number, latency_s in enumerate((1.0, 4.0, 2.0), start=1):
        store.save_iteration(iteration("aa000002", number=number, attempt=2, latency_s=latency_s, ttft_s=None))
    store.save_iteration(iteration("aa000002", number=5, attempt=2, latency_s=9.0, server_load_s=7.0))
    store.save_iteration(failed("aa000002", number=4, attempt=2))
    store.save_state("aa000002", state("a", attempt=2))
    rows = store.runs(2)
    assert [row.run for row in rows] == ["aa000003", "aa000002"]
    assert rows[1].backends == [
        BackendRow(name="a", attempt=2, state="done", measured=4, errors=1, latency_median_s=2.0),
        BackendRow(name="b"),
    ]
    assert store.runs(0) == []


def test_usual_load_is_the_median_of_recent_loads_with_the_same_settings(store: Store) -> None:
    def launched(run: str, command: str = "serve", threads: int = 0) -> Plan:
        backends = [
            Backend(name="a", launch=[command, "--port", "{port}"]),
            Backend(name="b", url="http://127.0.0.1:1"),
        ]
        config = RunConfig(threads=threads)
        return Plan(run=run, created_utc="2026-11-22T15:00:00.000Z", config=config, backends=backends)

    assert store.usual_loads(launched("00000999")) == {}
    for number, load_s in enumerate((90.0, 2.0, 8.0, 4.0, 6.0, 5.0)):
        store.begin(launched(f"0000000{number}"), MACHINE)
        store.save_state(f"0000000{number}", state("a", load_s=load_s))
        store.save_state(f"0000000{number}", state("b", load_s=1.0))
    store.begin(launched("00000006"), MACHINE)
    store.save_state("00000006", state("a", load_s=None))
    assert store.usual_loads(launched("00000999")) == {"a": 5.0}
    assert store.usual_loads(launched("00000999", command="other")) == {}
    assert store.usual_loads(launched("00000999", threads=4)) == {}


def test_progress_is_not_stored(store: Store) -> None:
    store.begin(plan(), MACHINE)
    store.save_state("ab12cd34", state("a", state="loading", usual_load_s=3.0, doing="x", progress=0.5))
    assert store.load("ab12cd34").states[0] == state("a", state="loading")


def test_an_attempt_without_iterations_is_the_newest(store: Store) -> None:
    store.begin(plan(), MACHINE)
    store.save_iteration(iteration())
    store.save_state("ab12cd34", state("a", attempt=2, state="loading"))
    (row,) = store.runs()
    assert row.backends[0] == BackendRow(name="a", attempt=2, state="loading")


def test_a_run_is_found_by_id_prefix_or_label(store: Store) -> None:
    for run in ("ab12cd34", "ab99cd34", "ffffffff"):
        store.begin(plan(run), MACHINE)
    store.label("ffff", "baseline")
    assert store.find(" ab12cd34 ") == store.find("ab1") == "ab12cd34"
    assert store.find("baseline") == store.find("f") == "ffffffff"
    # A label takes precedence over the beginning of an id.
    store.label("ffffffff", "ab")
    assert store.find("ab") == "ffffffff"


def test_last_is_the_newest_run_of_the_listing(store: Store) -> None:
    for run, hour in (("aaaa0015", 15), ("aaaa0017", 17), ("aaaa0016", 16)):
        store.begin(plan(run, created=f"2026-11-22T{hour}:00:00.000Z"), MACHINE)
    listed = [row.run for row in store.runs()]
    assert [store.find(name) for name in ("last", "last~1", "last~2")] == listed == ["aaaa0017", "aaaa0016", "aaaa0015"]
    assert store.find(" last~0 ") == "aaaa0017"
    with pytest.raises(StoreError, match="no run 'last~3': the history has only 3 runs"):
        store.find("last~3")
    for name in ("last~", "last~-1", "last~x", "last~1.5", "Last"):
        with pytest.raises(StoreError, match="no run"):
            store.find(name)


@pytest.mark.parametrize("label", ["last", " last ", "last~1", "last\x1b[0m"])
def test_last_is_no_label(store: Store, label: str) -> None:
    store.begin(plan(), MACHINE)
    with pytest.raises(UsageError, match="choose another label"):
        store.label("ab12cd34", label)
    with pytest.raises(UsageError, match="choose another label"):
        store.begin(plan("ffffffff"), MACHINE, label)
    assert [row.label for row in store.runs()] == [""]


def test_a_label_last_of_version_0_1_0_is_ambiguous(store: Store) -> None:
    store.begin(plan("aaaa0001", created="2026-11-22T15:00:00.000Z"), MACHINE)
    store.begin(plan("aaaa0002", created="2026-11-22T16:00:00.000Z"), MACHINE)
    with database(store.path) as connection:
        connection.execute("UPDATE runs SET label = 'last' WHERE id = 'aaaa0001'")
    with pytest.raises(StoreError, match="run aaaa0001 has this label; change the label: llmtui show aaaa0001 --label"):
        store.find("last")
    assert store.find("last~1") == store.find("aaaa0001") == "aaaa0001"


def test_a_run_has_a_label_from_its_start(store: Store) -> None:
    store.begin(plan(), MACHINE, " night\tly " + "x" * 200)
    (row,) = store.runs()
    assert row.label.startswith("night ly x") and len(row.label) == MAX_LABEL
    assert store.find("night ly " + "x" * 200) == "ab12cd34", "as the user wrote it"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ab", r"'ab' matches several runs: ab99cd34, ab12cd34; type more of the id"),
        ("twice", r"'twice' matches several runs: ab99cd34, ab12cd34; name one by its id"),
        ("ab12cd35", r"no run 'ab12cd35' in the history; did you mean 'ab12cd34'\?"),
        ("twise", r"did you mean 'twice'\?"),
        ("zzzz", r"no run 'zzzz' in the history; the newest are ab99cd34, ab12cd34"),
        ("", r"no run '' in"),
        ("%", r"no run '%' in"),
    ],
)
def test_unknown_and_ambiguous_names(store: Store, name: str, words: str) -> None:
    for run in ("ab12cd34", "ab99cd34"):
        store.begin(plan(run), MACHINE)
        store.label(run, "twice")
    for look_up in (store.load, store.find):
        with pytest.raises(StoreError, match=words):
            look_up(name)


def test_an_empty_history(store: Store) -> None:
    assert store.runs() == []
    with pytest.raises(StoreError, match="the history is empty"):
        store.load("ab")


def test_writing_to_an_unknown_run_fails(store: Store) -> None:
    writes: list[Callable[[], None]] = [
        lambda: store.save_iteration(iteration()),
        lambda: store.save_state("ab12cd34", state()),
        lambda: store.finish("ab12cd34", "done"),
        lambda: store.reopen(plan()),
    ]
    for write in writes:
        with pytest.raises(StoreError, match="the history has no run ab12cd34"):
            write()


def test_a_run_id_is_unique(store: Store) -> None:
    store.begin(plan(), MACHINE)
    with pytest.raises(StoreError, match="already has a run ab12cd34"):
        store.begin(plan(), MACHINE)


def test_labels_and_notes_are_cut_and_can_be_removed(store: Store) -> None:
    store.begin(plan(), MACHINE)
    store.label("ab12cd34", "x" * 1000)
    store.note("ab12cd34", "y" * 10_000)
    (row,) = store.runs()
    assert (len(row.label), len(row.note)) == (80, 2000)
    store.label("ab12cd34", "")
    assert store.runs()[0].label == ""


def test_a_disabled_backend_has_no_state(store: Store) -> None:
    begun = plan()
    begun.backends.append(Backend(name="off", enabled=False))
    store.begin(begun, MACHINE)
    assert [s.name for s in store.load("ab12cd34").states] == ["a", "b"]


_BEGIN = """
import sys
from llmtui.store.open import open_store
from tests.store.runs import MACHINE, iteration, plan
store, _ = open_store(sys.argv[1])
store.begin(plan("dead0001"), MACHINE)
store.save_iteration(iteration("dead0001", number=7))
print("begun", flush=True)
sys.stdin.read()
"""


def test_a_run_of_a_killed_engine_has_died(store: Store) -> None:
    store.begin(plan("feed0001"), MACHINE)
    command = [sys.executable, "-c", _BEGIN, str(store.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        assert store.mark_dead() == []
        with pytest.raises(StoreError, match=f"still running \\(process {child.pid}\\); try: llmtui attach"):
            store.reopen(plan("dead0001"))
        child.kill()
        # The process has ended but is not reaped: a zombie does not count as a running engine.
        assert child.stdout.read() == ""
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert store.mark_dead() == ["dead0001"]
    assert {row.run: row.state for row in store.runs()} == {"feed0001": "running", "dead0001": "died"}
    assert store.mark_dead() == []
    store.reopen(plan("dead0001"))
    assert store.load("dead0001").state == "running"
    assert store.mark_dead() == []


@pytest.mark.parametrize(
    ("change", "dead"),
    [
        ("engine_started = 'boot 1'", ["ab12cd34"]),
        ("engine_pid = 999999999", ["ab12cd34"]),
        ("engine_place = 'elsewhere', engine_started = 'boot 1'", []),
    ],
)
def test_a_reused_process_id_is_another_process(store: Store, change: str, dead: list[str]) -> None:
    store.begin(plan(), MACHINE)
    store._connection.execute(f"UPDATE runs SET {change}")
    assert store.mark_dead() == dead


def test_this_process_is_running() -> None:
    started = process_id.started(os.getpid())
    assert started
    assert started == process_id.started(os.getpid())
    assert not process_id.gone(process_id.here(), os.getpid(), started)


_WRITE = """
import sys
from llmtui.store.open import open_store
from tests.store.runs import MACHINE, iteration, plan
sys.stdin.read(1)
store, notes = open_store(sys.argv[1], wait_s=60)
assert not notes, notes
with store:
    store.begin(plan(sys.argv[2]), MACHINE)
    for number in range(1, 101):
        store.save_iteration(iteration(sys.argv[2], number=number))
    store.finish(sys.argv[2], "done")
"""


def test_engines_write_concurrently(tmp_path: Path) -> None:
    """All of them create the same file, and none gets a LockedError."""
    runs = [f"aa00000{n}" for n in range(4)]
    file = tmp_path / "new" / "history.db"
    children = [
        subprocess.Popen([sys.executable, "-c", _WRITE, str(file), run], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for run in runs
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"g")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate()
        assert (child.returncode, errors) == (0, b"")
    store, notes = open_store(file)
    with store:
        assert notes == []
        assert {row.run: row.state for row in store.runs()} == dict.fromkeys(runs, "done")
        for run in runs:
            assert [i.iteration for i in store.load(run).iterations] == list(range(1, 101))
