"""Loading returns what was saved: plans, machines, states, and iterations with every field."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtui.model import Failure, Iteration, Plan
from llmtui.runview.run import RunView
from llmtui.store.history import Store
from llmtui.store.open import open_store
from llmtui.store.rows import COLUMNS, iteration_values
from tests.examples import examples
from tests.store.any_iteration import iterations_of
from tests.store.runs import MACHINE, failed, iteration, plan, state

_ITERATIONS = iterations_of({})


def key(i: Iteration) -> tuple[Any, ...]:
    """The primary key of an iteration."""
    return i.backend, i.attempt, i.phase, i.iteration


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(_ITERATIONS, max_size=4, unique_by=key))
def test_iterations_round_trip(iterations: list[Iteration]) -> None:
    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "history.db")[0] as store:
        store.begin(plan(), MACHINE)
        for one in iterations:
            store.save_iteration(one)
        assert store.load("ab12cd34").iterations == iterations


def test_a_field_without_a_column_is_stored() -> None:
    """The model may get a field before the schema gets a column."""

    class Later(Iteration, frozen=True):
        streams: int = 1

    values = iteration_values(Later(**msgspec.structs.asdict(iteration()), streams=32))
    assert set(values) == set(COLUMNS)
    assert values["more"] == '{"streams":32}'


def test_values_that_utf8_or_sqlite_cannot_store(store: Store) -> None:
    store.begin(plan(), MACHINE)
    store.save_iteration(iteration(text="a\ud800b\x00c", output_tokens=10**30, latency_s=0.5))
    (loaded,) = store.load("ab12cd34").iterations
    assert loaded.text == "a?b\x00c"
    assert loaded.output_tokens is None
    assert loaded.latency_s == 0.5


def test_a_run_round_trips(store: Store) -> None:
    begun = plan()
    store.begin(begun, MACHINE)
    store.save_state(begun.run, state("b", note="a bridge"), model_digest="sha256:12")
    store.save_state(begun.run, state("b", note="a bridge", log_tail=["x"]))
    store.save_state(begun.run, state("a", attempt=1, state="failed"))
    store.save_state(begun.run, state("a", attempt=2, state="running", doing="x", progress=0.5))
    store.save_iteration(iteration(number=1))
    store.save_iteration(iteration(backend="b", number=1))
    store.label(begun.run, "before \x1b[31mthe update")
    store.note(begun.run, "fan was off")
    store.finish(begun.run, "done")
    loaded = store.load(begun.run)
    assert (loaded.plan, loaded.machine, loaded.state) == (begun, MACHINE, "done")
    assert (loaded.label, loaded.note, loaded.llmtui) == ("before the update", "fan was off", "0.1.0")
    assert loaded.states == [state("a", attempt=2, state="running"), state("b", note="a bridge", log_tail=["x"])]
    assert [i.backend for i in loaded.iterations] == ["a", "b"]


def test_a_loaded_run_becomes_a_run_view(store: Store) -> None:
    store.begin(plan(), MACHINE)
    store.save_state("ab12cd34", state("a", state="running"))
    for number in (1, 2):
        store.save_iteration(iteration(number=number, latency_s=0.5 * number))
    store.save_iteration(iteration(attempt=2, latency_s=3.0))
    store.finish("ab12cd34", "stopped")
    stored = store.load("ab12cd34")
    run_view = RunView(stored.plan)
    run_view.apply(stored.hello())
    assert (run_view.run.phase, run_view.run.finished, run_view.run.total) == ("done", 1, 8)
    backend_view = run_view.backends["a"]
    assert (backend_view.state.attempt, backend_view.state.state) == (2, "stopped")
    assert (backend_view.summary.n, backend_view.previous.n if backend_view.previous else None) == (1, 2)
    assert run_view.backends["b"].state.state == "stopped"


def test_a_failure_is_replaced_and_a_success_is_not(store: Store) -> None:
    store.begin(plan(), MACHINE)
    store.save_iteration(failed())
    store.save_iteration(iteration(number=2))
    store.save_iteration(iteration(latency_s=0.25))
    store.save_iteration(iteration(latency_s=9.0))
    store.save_iteration(failed())
    assert store.load("ab12cd34").iterations == [iteration(latency_s=0.25), iteration(number=2)]


def test_removed_settings_in_a_plan_are_ignored(store: Store) -> None:
    store.begin(plan(), MACHINE)
    store._connection.execute("UPDATE runs SET plan = json_set(plan, '$.config.gone', 1, '$.backends[0].old', 'x')")
    assert store.load("ab12cd34").plan == plan()


def test_a_number_out_of_range_is_not_stored(store: Store) -> None:
    store.begin(plan(), MACHINE)
    store.save_iteration(iteration(latency_s=float("inf"), ttft_s=-1.0, output_tokens=-1, steal=float("inf")))
    (loaded,) = store.load("ab12cd34").iterations
    assert (loaded.latency_s, loaded.ttft_s, loaded.output_tokens, loaded.steal) == (None, None, None, 0.0)


def test_secrets_are_not_stored(tmp_path: Path) -> None:
    secrets = ["sk-literal-0123456789", "sk-environ-0123456789", "Bearer hdr-0123456789", "hdr-0123456789"]
    begun = plan()
    hot = msgspec.structs.replace(
        begun.backends[0],
        api_key=secrets[0],
        headers={"X-Auth": secrets[2]},
        secrets=[secrets[1]],
        url=f"http://user:{secrets[1]}@127.0.0.1:8000/v1",
    )
    secret_plan = Plan(**(msgspec.structs.asdict(begun) | {"backends": [hot, begun.backends[1]]}))
    echoed = " ".join(secrets)
    store, _ = open_store(tmp_path / "history.db")
    with store:
        store.begin(secret_plan, MACHINE)
        error = Failure(kind="http", message=f"bad key {echoed}", hint=echoed)
        store.save_state("ab12cd34", state("a", failure=error, log_tail=["ok", echoed], note=echoed, url=hot.url))
        store.save_iteration(failed(error=error))
        store.save_iteration(iteration(number=2, text=echoed, finish_reason=echoed))
        store.label("ab12cd34", "first")
        store.reopen(secret_plan)
        store.save_iteration(iteration(number=3, text=echoed))
        # The log beside the open file counts too.
        on_disk = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert b"bad key ***" in on_disk
        for secret in ["hdr-0123456789", *secrets]:
            assert secret.encode() not in on_disk
