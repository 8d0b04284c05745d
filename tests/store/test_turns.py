"""Turns of a load and their requests in a history: exact, in order, and no value of a foreign file is trusted."""

from __future__ import annotations

import contextlib
import random
import zlib
from typing import Any

import msgspec
import pytest

from llmtui.cli.history_list import run_line
from llmtui.engine.schedule import jobs
from llmtui.model import Failure, Load, RequestBatch, Requests, Slo, Turn
from llmtui.model.request_columns import RequestColumns
from llmtui.runview.run import RunView
from llmtui.runview.turn_requests import TurnRequests
from llmtui.store.errors import NoRunError, StoreError
from llmtui.store.history import Store
from llmtui.store.requests import RequestSource, answer
from tests.store.runs import MACHINE
from tests.store.turns import RUN, load_plan, requests, save_requests, turn


@pytest.fixture
def load(store: Store) -> Store:
    """A history with a load of two levels and no turn."""
    store.begin(load_plan(1, 8), MACHINE)
    return store


def test_a_turn_round_trips_with_its_requests(load: Store) -> None:
    samples = requests(random.Random(1), 700, 8)
    load.save_turns(RUN, [turn(state="running")], [])
    save_requests(load, samples)
    load.save_turns(RUN, [turn(), turn(2, backend="b", level=2)], [])
    stored = load.load(RUN)
    assert (stored.plan, stored.turns) == (load_plan(1, 8), [turn(), turn(2, backend="b", level=2)])
    assert [sample for batch in load.requests(turn()) for sample in batch] == samples
    assert max(len(batch) for batch in load.requests(turn())) == 512, "some at a time"
    assert list(load.requests(turn(2, backend="b"))) == []


def test_figures_of_requests_and_one_of_them(load: Store) -> None:
    samples = requests(random.Random(1), 700, 8)
    load.save_turns(RUN, [turn()], [])
    save_requests(load, samples)
    light = [msgspec.structs.replace(s, text="", arrivals_ns=[], arrival_tokens=[]) for s in samples]
    found = list(answer(load, turn(), Requests(backend="a", turn=1, figures=True)))
    assert {total for total, _ in found} == {700}
    assert [sample for _, batch in found if isinstance(batch, list) for sample in batch] == light
    for place in (0, 511, 512, 699):
        assert list(answer(load, turn(), Requests(backend="a", turn=1, place=place))) == [(700, [samples[place]])]
    for place in (-1, 700):
        assert list(answer(load, turn(), Requests(backend="a", turn=1, place=place))) == []


def test_figures_as_columns_are_those_of_each_request(load: Store) -> None:
    failed = {"error": Failure(kind="timeout", message="no answer"), "ttft_s": None, "finish_reason": None}
    samples = [
        msgspec.structs.replace(s, **(failed if s.request % 7 == 0 else {"due_s": s.request / 8}))
        for s in requests(random.Random(1), 700, 8)
    ]
    load.save_turns(RUN, [turn()], [])
    save_requests(load, samples)
    slo = Slo(ttft_s=0.12, latency_s=0.22)
    one_by_one, together = TurnRequests(turn(), slo), TurnRequests(turn(), slo)
    assert together.command.columns
    decode = msgspec.json.Decoder(RequestBatch).decode
    for to, columns in ((one_by_one, False), (together, True)):
        for total, part in answer(load, turn(), Requests(backend="a", turn=1, figures=True, columns=columns)):
            assert isinstance(part, RequestColumns) is columns
            found = {"columns": part} if isinstance(part, RequestColumns) else {"samples": part}
            batch: Any = RequestBatch(backend="a", turn=1, figures=True, total=total, **found)
            to.add(decode(msgspec.json.encode(batch)))
    assert list(together) == list(one_by_one) and len(together) == 700
    assert {together.judgement(at) for at in range(700)} == {"kept", "missed"}
    for at in range(700):
        assert together.judgement(at) == one_by_one.judgement(at)
    assert list(together.failed) == list(one_by_one.failed) == list(range(6, 700, 7))
    assert together.open and not together.prompts_differ


def test_columns_that_are_damaged_are_refused() -> None:
    whole: dict[str, Any] = {"shares": [""], "prompts": [""], "finish_reasons": [None], "errors": [None]}
    damaged: list[dict[str, Any]] = [
        {"seconds": {"ttft_s": b"1234567"}}, {"codes": {"error": b"\x05\0\0\0"}}, {"shares": []}
    ]  # fmt: skip
    for wrong in damaged:
        columns = RequestColumns(count=1, **(whole | wrong))
        with pytest.raises(ValueError, match="column"):
            TurnRequests(turn()).add(RequestBatch(backend="a", turn=1, figures=True, columns=columns))


def test_a_turn_whose_engine_died_is_partial(load: Store) -> None:
    load.save_turns(RUN, [turn(), turn(2, state="running", requests=0, finished=0)], [])
    save_requests(load, requests(random.Random(1), 3, 4, turn=2))
    assert [t.state for t in load.load(RUN).turns] == ["whole", "running"]
    assert [t.seq for t in load.load(RUN).hello().turns] == [1], "a turn under way is not one yet"
    load.finish(RUN, "stopped")
    stored = load.load(RUN)
    assert [t.state for t in stored.turns] == ["whole", "partial"]
    assert sum(map(len, load.requests(stored.turns[1]))) == 3
    assert [(t.settled, t.requests, t.finished, t.failed) for t in stored.turns[1:]] == [(2, 1, 1, 0)]
    run_view = RunView(stored.plan)
    run_view.apply(stored.hello())
    assert [t.state for t in run_view.backends["a"].turns] == ["whole", "partial"]


def test_requests_of_a_turn_that_is_not_there(load: Store) -> None:
    with pytest.raises(NoRunError):
        save_requests(load, requests(random.Random(1), 3, 4))
    assert list(load.requests(turn())) == []


def test_values_that_cannot_be_stored_are_left_out(load: Store) -> None:
    load.save_turns(RUN, [turn(latency_s=float("nan"), in_flight=-1.0, steal=float("inf"))], [])
    assert load.load(RUN).turns == [turn(latency_s=None)]
    (sample,) = requests(random.Random(1), 1, 4, latency_s=float("inf"), ttft_s=-1.0, steal=-1.0)
    save_requests(load, [sample])
    ((read,),) = load.requests(turn())
    assert read == msgspec.structs.replace(sample, latency_s=None, ttft_s=None, steal=0.0)


_HOSTILE: dict[str, Any] = {
    "run": "ffffffff",
    "backend": "z",
    "attempt": 0,
    "round": 0,
    "level": 3,
    "seq": 2,
    "started_utc": "yesterday",
    "state": "won",
    "latency_s": -1,
    "requests": -1,
    "requests_per_s": 1e300,
    "in_flight": "8",
    "steal": -0.5,
    "finish_reason": "x" * 2_000,
    "text": 5,
    "backlog": [-1],
    "percentiles": {"latency": {"n": 5, "p50": -1.0}},
    "buckets": {"latency": [5, -1]},
    "error": {"kind": "worse", "message": ""},
    "power": {"meters": ["package-0"], "joules": -1.0},
    "by_worker": [{"worker": 1, "name": "node1", "connect_s": -1.0}],
}


@pytest.mark.parametrize("field", _HOSTILE)
def test_a_hostile_turn_is_refused(load: Store, field: str) -> None:
    load.save_turns(RUN, [turn()], [])
    record = msgspec.to_builtins(turn()) | {field: _HOSTILE[field]}
    buckets = msgspec.json.encode(record.pop("buckets", {})).decode()
    load._connection.execute(
        "UPDATE turns SET record = ?, buckets = ?", (msgspec.json.encode(record).decode(), buckets)
    )
    with pytest.raises(StoreError, match=r"run ab12cd34 of the history .* cannot be read"):
        load.load(RUN)


def test_every_number_of_a_turn_has_a_range(load: Store) -> None:
    load.save_turns(RUN, [turn()], [])
    for field in msgspec.structs.fields(Turn):
        if not isinstance(field.default, int | float | None) or isinstance(field.default, bool):
            continue
        record = msgspec.to_builtins(turn()) | {field.name: 1e30}
        load._connection.execute("UPDATE turns SET record = ?", (msgspec.json.encode(record).decode(),))
        with pytest.raises(StoreError):
            load.load(RUN)


@pytest.mark.parametrize(
    ("count", "packed"), [(0, b"x"), (1, "text"), (513, b"x"), (2, zlib.compress(b"{}")), ("1", b"")]
)
def test_a_hostile_chunk_is_refused(load: Store, count: object, packed: object) -> None:
    load.save_turns(RUN, [turn()], [])
    load._connection.execute("INSERT INTO requests (turn, count, packed) VALUES (1, ?, ?)", (count, packed))
    with pytest.raises(StoreError, match="cannot be read"):
        list(load.requests(turn()))


def test_secrets_are_not_stored(load: Store) -> None:
    secret = "sk-literal-0123456789"
    begun = load_plan(1, run="cd34ab12")
    hot = msgspec.structs.replace(begun.backends[0], api_key=secret)
    load.begin(msgspec.structs.replace(begun, backends=[hot, begun.backends[1]]), MACHINE)
    error = Failure(kind="http", message=f"bad key {secret}")
    load.save_turns("cd34ab12", [turn(run="cd34ab12", text=f"key {secret}", error=error)], [])
    (stored,) = load.load("cd34ab12").turns
    assert stored.text == "key ***" and stored.error is not None and secret not in stored.error.message


@pytest.mark.parametrize("change", ["level = 2", "started_utc = ''", "turn = 5", "buckets = '[]'", "record = x'00'"])
def test_columns_that_contradict_the_record_are_refused(load: Store, change: str) -> None:
    load.save_turns(RUN, [turn()], [])
    load._connection.execute(f"UPDATE turns SET {change}")
    with pytest.raises(StoreError, match="cannot be read"):
        load.load(RUN)


def test_a_listing_has_the_turns_at_the_level_that_counts(load: Store) -> None:
    turns = [
        turn(1, level=2, phase="warmup", output_tokens_per_s=1.0),
        turn(2, level=1, output_tokens_per_s=2.0),
        *(turn(2 + n, level=2, round=n, output_tokens_per_s=800.0 + n) for n in (1, 2, 3)),
        turn(6, level=2, round=4, state="partial", error=Failure(kind="connect", message="refused")),
        turn(7, level=2, round=5, state="partial"),
        turn(9, level=2, round=5, state="running"),
        turn(8, level=2, backend="b", output_tokens_per_s=900.0),
    ]
    load.save_turns(RUN, turns, [])
    (row,) = load.runs()
    assert (row.level, row.metric) == ("8 streams", "output_tokens_per_s")
    listed = [(b.name, b.measured, b.errors, b.metric_median, b.latency_median_s) for b in row.backends]
    assert listed == [("a", 3, 1, 802.0, 0.5), ("b", 1, 0, 900.0, 0.5)]
    assert run_line(row).endswith("8 streams: b 900 tok/s, a 802 tok/s (1 of 4 failed)")


def test_a_load_that_has_ended_says_how_much_was_done_and_how_long_it_took(load: Store) -> None:
    load.save_turns(RUN, [turn(n, round=n, elapsed_s=10.0) for n in (1, 2)], [])
    load.finish(RUN, "stopped")
    run = load.load(RUN).hello().run
    # Each backend: a warm-up of one request and of a turn at both levels, then three rounds.
    assert (run.finished, run.total) == (2, 2 * (1 + 2 + 3 * 2))
    assert run.elapsed_s >= 10.0


@pytest.mark.parametrize("warmup", [0, 1, 2])
@pytest.mark.parametrize("launches", [1, 5])
@pytest.mark.parametrize("levels", [(), (4,), (1, 8)])
def test_a_stored_run_counts_the_jobs_that_its_engine_takes(
    store: Store, warmup: int, launches: int, levels: tuple[int, ...]
) -> None:
    plan = load_plan(*levels)
    backend = msgspec.structs.replace(plan.backends[0], url="", launch=["server"])
    load, metric = (plan.load, plan.config.metric) if levels else (Load(), "latency")
    config = msgspec.structs.replace(plan.config, warmup=warmup, iterations=10, launches=launches, metric=metric)
    store.begin(msgspec.structs.replace(plan, config=config, backends=[backend], load=load), MACHINE)
    store.finish(RUN, "stopped")
    taken = jobs(warmup, config.iterations, config.launch_of, lambda _: range(1, len(levels) + 1) if levels else (0,))
    assert store.load(RUN).hello().run.total == len(taken)


def test_requests_are_read_from_the_history_when_they_are_needed(load: Store) -> None:
    load.save_turns(RUN, [turn()], [])
    samples = requests(random.Random(1), 3, 4)
    save_requests(load, samples)
    with contextlib.closing(RequestSource(str(load.path))) as source:
        assert list(source(turn())) == [samples]
        with pytest.raises(NoRunError):
            list(source(turn(run="ffffffff")))
