"""The page of a turn's requests: fetched on demand, filtered, sorted, each with its answer and timeline."""

from __future__ import annotations

import functools
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from textual.pilot import Pilot

from llmtui.model import Iteration, RequestBatch, Requests, Slo, Turn, WorkerFigures
from llmtui.runview.turn_requests import TurnRequests
from llmtui.ui.app import MonitorApp
from llmtui.ui.past import PastRun
from llmtui.ui.screens.details import DetailsScreen
from llmtui.ui.screens.requests import RequestsScreen
from llmtui.ui.screens.run import RunScreen
from llmtui.ui.views.iteration_filter import request_filter
from llmtui.ui.views.request_rows import RequestRows
from llmtui.ui.views.request_table import FIELDS
from llmtui.ui.views.turn_facts import request_facts, turn_facts
from llmtui.ui.widgets.iterations import Iterations
from llmtui.ui.widgets.requests import RequestTable
from tests import loads
from tests.ui import canned_load
from tests.ui.canned_load import LOAD, LoadLink
from tests.ui.pilot import answer_shown, make, screen_text, settle

#: The newest turn of llama.cpp in the canned run.
NEWEST = canned_load.turn("llama.cpp", 6, LOAD.levels[2])


@asynccontextmanager
async def monitor(
    link: LoadLink, size: tuple[int, int] = (120, 40), slo: Slo | None = None
) -> AsyncIterator[tuple[MonitorApp, Pilot[None]]]:
    app = make(link, canned_load.plan())
    async with app.run_test(size=size) as pilot:
        await settle(pilot, link)
        app.view.run_view.plan = msgspec.structs.replace(app.view.run_view.plan, slo=slo or Slo())
        yield app, pilot


async def press(pilot: Pilot[None], link: LoadLink, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settle(pilot, link)


def asked(link: LoadLink) -> list[Requests]:
    return [command for command in link.sent if isinstance(command, Requests)]


def table_of(app: MonitorApp) -> RequestTable:
    return app.screen.query_one(RequestTable)


async def test_enter_goes_from_turns_to_requests_and_esc_goes_back() -> None:
    link = LoadLink(canned_load.hello(6))
    async with monitor(link) as (app, pilot):
        await press(pilot, link, "enter", "enter")
        assert isinstance(app.screen, RequestsScreen)
        await answer_shown(app, pilot, link)
        assert asked(link) == [
            Requests(backend="llama.cpp", turn=NEWEST.seq, figures=True, columns=True),
            Requests(backend="llama.cpp", turn=NEWEST.seq, place=0),
        ]
        text = screen_text(app)
        assert "round 6 at 8 streams" in text and "56 requests" in text
        assert "Answer 1: a human cannot eat" in text and "ITL" in text and "settling" in text
        await press(pilot, link, "S")
        await answer_shown(app, pilot, link)
        assert "Answer 19:" in screen_text(app) or table_of(app).row > 0
        await press(pilot, link, "escape")
        assert isinstance(app.screen, DetailsScreen) and app.view.request_page is None
        await press(pilot, link, "escape")
        assert isinstance(app.screen, RunScreen)


async def test_another_turn_replaces_the_one_before() -> None:
    link = LoadLink(canned_load.hello(6), silent=True)
    async with monitor(link) as (app, pilot):
        await press(pilot, link, "enter", "enter")
        first = asked(link)[0]
        batch = link.answer(first)[0]
        link.put(msgspec.structs.replace(batch, samples=batch.samples[:20]))
        await settle(pilot, link)
        assert "loading 20 of 56 requests" in screen_text(app)
        await press(pilot, link, "escape", "up", "enter")
        assert asked(link)[-2] == Requests(backend="llama.cpp", turn=0, figures=True), "the answer under way ends"
        assert asked(link)[-1].turn != first.turn
        link.put(*link.answer(first))
        await settle(pilot, link)
        assert "reading the requests" in screen_text(app)
        link.put(*link.answer(asked(link)[-1]))
        await settle(pilot, link)
        assert "56 requests" in screen_text(app)


async def test_a_history_that_cannot_be_read_says_why() -> None:
    link = LoadLink(canned_load.hello(6), silent=True)
    async with monitor(link, (80, 24)) as (app, pilot):
        await press(pilot, link, "enter", "enter")
        command = asked(link)[0]
        common = {"backend": command.backend, "turn": command.turn, "figures": True, "last": True}
        link.put(RequestBatch(**common, problem="the history is locked by another program"))  # type: ignore[arg-type]
        await settle(pilot, link)
        assert "the requests cannot be read: the history is locked by another program" in screen_text(app)
        await press(pilot, link, "o", "S", "f", "down", "home", "end", "slash", "escape")
        assert isinstance(app.screen, RequestsScreen)


async def test_requests_are_filtered_sorted_and_judged() -> None:
    link = LoadLink(canned_load.hello(6))
    async with monitor(link, slo=Slo(ttft_s=0.5)) as (app, pilot):
        await press(pilot, link, "enter", "enter")
        judged = canned_load.requests(NEWEST)
        missed = [r for r in judged if r.error is not None or (r.ttft_s or 0.0) > 0.5]
        await press(pilot, link, "slash", *"missed", "enter")
        assert len(table_of(app).rows) == len(missed)
        assert f"{len(missed)} of 56" in screen_text(app)
        await press(pilot, link, "escape", "slash", *"window", "enter")
        assert len(table_of(app).rows) == 40
        await press(pilot, link, "escape", "f")
        await answer_shown(app, pilot, link)
        assert "no answer within 10 s" in screen_text(app) and "TTFT within 0.500 s: missed" in screen_text(app)
        await press(pilot, link, "o")
        shown = [table_of(app).rows.at(row) for row in range(55)]
        latencies = [judged[at].latency_s or 0.0 for at in shown]
        assert latencies == sorted(latencies, reverse=True)


async def test_the_number_of_another_backend_leaves_the_requests() -> None:
    link = LoadLink(canned_load.hello(6))
    async with monitor(link) as (app, pilot):
        await press(pilot, link, "enter", "enter", "2")
        assert isinstance(app.screen, DetailsScreen)
        assert app.view.selected == "mistral.rs"


async def test_a_past_run_reads_the_requests_from_its_history() -> None:
    link = LoadLink(canned_load.hello(10, running=False))

    def history(turn: Turn, command: Requests) -> Iterator[tuple[int, list[Iteration]]]:
        assert turn.seq == command.turn
        for batch in link.answer(command):
            yield batch.total, batch.samples

    async with monitor(link, (80, 24)) as (app, pilot):
        app.view.past = PastRun("done", ("run r1",), "")
        app.session.history = history
        await press(pilot, link, "enter", "enter")
        await answer_shown(app, pilot, link)
        assert "Answer 1:" in screen_text(app) and not asked(link)


async def test_the_page_fits_every_size() -> None:
    link = LoadLink(canned_load.hello(6))
    async with monitor(link, (40, 12), Slo(ttft_s=0.5, tpot_s=0.05)) as (app, pilot):
        await press(pilot, link, "enter", "enter", "end")
        for size in ((40, 12), (60, 16), (80, 24), (200, 50)):
            await pilot.resize_terminal(*size)
            await settle(pilot, link)
            assert ">" in screen_text(app) and "56" in screen_text(app)


# --- Rows ---


@functools.cache
def newest_requests() -> TurnRequests:
    """The requests of the newest turn. Do not change them."""
    requests = TurnRequests(NEWEST, Slo(ttft_s=0.5))
    for batch in LoadLink(canned_load.hello(6)).answer(requests.command):
        requests.add(batch)
    return requests


@pytest.mark.parametrize("field", sorted(set(FIELDS.values())))
@pytest.mark.parametrize("typed", ["", "window", ">1.7"])
def test_rows_are_those_of_a_plain_sort(field: str, typed: str) -> None:
    requests = newest_requests()
    rows = RequestRows(requests, request_filter(typed, requests.slo), field)
    for descending in (False, True):
        rows.descending = descending
        rows.update()
        test = request_filter(typed, requests.slo)
        expected = [at for at in range(56) if test is None or test(requests[at])]
        keys = requests.keys(field)
        valued = [at for at in expected if keys[at] == keys[at] and keys[at] != -1]
        expected = sorted(valued, key=lambda at: keys[at], reverse=descending) + [
            at for at in expected if at not in set(valued)
        ]
        assert [rows.at(row) for row in range(len(rows))] == expected
        assert [rows.row_of(at) for at in expected] == list(range(len(expected)))


def test_a_long_filter_is_read_in_pieces() -> None:
    requests = TurnRequests(NEWEST)
    made = canned_load.requests(NEWEST)
    rng = random.Random(1)
    for _ in range(100):
        requests.add(
            RequestBatch(backend=NEWEST.backend, turn=NEWEST.seq, samples=rng.choices(made, k=100), figures=True)
        )
    rows = RequestRows(requests, request_filter("window", None), "latency_s")
    pieces = 0
    while rows.behind:
        rows.update()
        pieces += 1
    assert pieces == 3 and not rows.in_order, "all of them have not arrived yet"
    requests.add(RequestBatch(backend=NEWEST.backend, turn=NEWEST.seq, last=True, figures=True))
    rows.update()
    assert rows.in_order and 0 < len(rows) < 10_000


# --- Words ---


def test_the_facts_of_a_turn_with_objectives() -> None:
    turn = loads.turn(
        kept=30, missed=8, undetermined=2, objectives={"ttft": [33, 5, 2], "tpot": [36, 4, 0]}, goodput_per_s=6.0,
        little_residual=-0.003, requests=40, finished=38, late_s=None,
    )  # fmt: skip
    text = "; ".join(turn_facts(turn, Slo(ttft_s=0.5, tpot_s=0.05)))
    assert "objectives: 30 kept, 8 missed, 2 undetermined (79%)" in text
    assert "TTFT within 0.500 s: 33 kept, 5 missed" in text and "TPOT within 50.0 ms: 36 kept, 4 missed" in text
    assert "goodput 6.00 req/s" in text and "differ by 0.30%" in text
    assert "sent late" not in text and "goodput" not in "; ".join(turn_facts(loads.turn()))


def test_the_facts_of_a_turn_of_a_cluster_have_each_worker() -> None:
    near = WorkerFigures(worker=1, name="node1", requests=20, ttft_s=0.05, connect_s=0.0002, clock_within_s=0.0003,
                         own_error_s=0.0001)  # fmt: skip
    far = WorkerFigures(worker=2, name="node2\x1b[31m", requests=19, ttft_s=0.07, connect_s=0.02)
    facts = turn_facts(loads.turn(workers=2, by_worker=[near, far]))
    assert (
        "worker node1: 20 requests, TTFT p50 50.0 ms, a connection 0.200 ms, clock within 0.300 ms, own error 0.100 ms "
        "(p95)" in facts
    )
    assert "8.0 in flight, never more than 8" in facts and "8.0 in flight, at most 8" in turn_facts(loads.turn())
    assert "worker node2: 19 requests, TTFT p50 70.0 ms, a connection 20.0 ms" in facts
    assert not any(fact.startswith("worker") for fact in turn_facts(loads.turn()))


def test_the_facts_of_a_request_of_an_open_loop() -> None:
    request = canned_load.requests(NEWEST)[40]
    request = msgspec.structs.replace(request, written_s=2.0, due_s=1.9, waited_s=0.08)
    text = "; ".join(request_facts(request, None))
    assert text.startswith(
        "sent 2.00 s after the turn began (window); due at 1.90 s, 80.0 ms waiting for the cap, 20.0"
    )


# --- The turns ---


async def test_another_level_narrows_the_turns_and_esc_lists_all_again() -> None:
    link = LoadLink(canned_load.hello(6))
    async with monitor(link) as (app, pilot):
        app.view.level_shown = 2
        await press(pilot, link, "enter")
        assert len(app.screen.query_one(Iterations).rows) == 21, "a level that was chosen before lists all turns"
        app.view.level_shown = 1
        app.main.show_all()
        await settle(pilot, link)
        table = app.screen.query_one(Iterations)
        assert [table.read(table.rows.at(row)).level for row in range(len(table.rows))] == [1] * 7
        assert "at:1" in screen_text(app) and "7 of 21" in screen_text(app)
        await press(pilot, link, "escape")
        assert isinstance(app.screen, DetailsScreen) and len(table.rows) == 21


async def test_the_turn_under_way_says_when_its_requests_are_listed() -> None:
    link = LoadLink(canned_load.hello(6), canned_load.tick())
    async with monitor(link) as (app, pilot):
        await press(pilot, link, "enter")
        assert "round 7 at 8 streams: 14 of 40 requests; they are listed when it has ended" in screen_text(app)
