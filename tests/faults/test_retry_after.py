"""Retry-After: parsing, how long the engine waits, what is measured, and ending a wait."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.engine.adapting import MIN_WAIT_S
from llmtui.engine.backend_run import BackendRun
from llmtui.engine.bringup import Target
from llmtui.engine.retry import measure
from llmtui.engine.schedule import Job
from llmtui.measure.failures import retry_after_s
from llmtui.model import AnyCommand, AnyEvent, Backend, BackendState, Note, Phase, Rerun, Stop
from tests.engine.helpers import engine_for, plan_of
from tests.faults.servers import GOOD, refuse, reply
from tests.scripted import scripted

NOW = datetime(2026, 11, 22, 18, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "date", "expected"),
    [
        ("0", "", 0),
        (" 120 ", "", 120),
        ("1.5", "", 1.5),
        ("999999999999", "", 999999999999),
        ("Sun, 22 Nov 2026 18:00:30 GMT", "", 30),
        ("Sun, 22 Nov 2026 17:59:00 GMT", "", 0),
        # The server's clock is an hour ahead: its own Date says so.
        ("Sun, 22 Nov 2026 19:00:30 GMT", "Sun, 22 Nov 2026 19:00:00 GMT", 30),
        ("Sun, 22 Nov 2026 18:00:30 GMT", "rubbish", 30),
        ("Sunday, 22-Nov-26 18:00:30 GMT", "", 30),
        ("Sun Nov 22 18:00:30 2026", "", 30),
        ("-1", "", None),
        ("1e9", "", None),
        ("9" * 4000, "", None),
        ("nan", "", None),
        ("soon", "", None),
        ("", "", None),
    ],
)
def test_retry_after_s(value: str, date: str, expected: float | None) -> None:
    assert retry_after_s(value, date, NOW) == expected


@given(st.text(), st.text())
def test_any_header_is_a_wait_or_none(value: str, date: str) -> None:
    for header in (value, f"Sun, {value} Nov 2026 18:00:30 GMT", f"Sun, 22 Nov {value} 18:00 {date}"):
        wait_s = retry_after_s(header, date, NOW)
        assert wait_s is None or wait_s >= 0


@given(st.datetimes(min_value=datetime(1970, 1, 1)))
def test_any_date_is_a_wait(until: datetime) -> None:
    until = until.replace(microsecond=0, tzinfo=UTC)
    expected = max(0.0, (until - NOW).total_seconds())
    assert retry_after_s(format_datetime(until, usegmt=True), "", NOW) == expected


@pytest.mark.parametrize("phase", ["warmup", "measured"])
async def test_sample_covers_only_the_last_request(phase: Phase, tmp_path: Path) -> None:
    """Figures, start time and foreign CPU exclude the refusals and the wait."""
    metered: list[float] = []
    events: list[AnyEvent] = []

    def own_pids() -> list[int]:
        metered.append(time.monotonic())
        return []

    async with scripted(reply(404)) as server:
        server.by_path = {b"POST": [refuse(429, Retry_After="0"), refuse(503, Retry_After="0.3"), GOOD]}
        backend = Backend(name="a", url=server.url, model="m")
        plan = plan_of(backend)
        backend_run = BackendRun(backend, Target(backend, plan.config, tmp_path), BackendState(name="a"))
        await backend_run.target.bring_up(lambda _, __: None)
        began = datetime.now(UTC)
        try:
            iteration = await measure(backend_run, Job(phase, 1), plan, own_pids, events.append)
        finally:
            await backend_run.target.close()
        prompts = {r.partition(b"\r\n\r\n")[2] for r in server.requests if r.startswith(b"POST")}
    assert iteration.ok and iteration.refused == 2 and iteration.phase == phase
    assert iteration.latency_s is not None and iteration.latency_s < MIN_WAIT_S
    waited = (datetime.fromisoformat(iteration.started_utc) - began).total_seconds()
    assert waited >= MIN_WAIT_S + 0.3 - 0.001
    assert len(prompts) == 1, "the same prompt each time"
    assert [event.text for event in events if isinstance(event, Note)] == [
        "HTTP 429, asks to retry immediately; refusals are counted, but are not samples"
    ]
    if iteration.foreign_cpu is not None:
        _, one, two, three, four, _ = metered
        assert two - one >= MIN_WAIT_S and four - three >= 0.3, "each request is metered on its own"


@pytest.mark.parametrize(
    "command",
    [pytest.param(Stop(backend="a"), marks=pytest.mark.slow), Rerun(backend="a"), None],
    ids=["stop", "rerun", "shutdown"],
)
async def test_wait_can_be_ended(command: AnyCommand | None) -> None:
    async with scripted(reply(404)) as server:
        server.by_path = {b"POST": [refuse(429, Retry_After="500"), GOOD]}
        backend = Backend(name="a", url=server.url, model="m")
        async with engine_for(plan_of(backend, iterations=1, warmup=0, timeout_s=600.0)) as run:
            run_view = await run.until(lambda run_view: bool(run_view.notes))
            assert run_view.backends["a"].iterations == []
            if command is None:
                return  # leaving the block shuts the engine down
            await run.client.send(command)
            run_view = await run.until_done()
    backend_view = run_view.backends["a"]
    if isinstance(command, Stop):
        assert backend_view.state.state == "stopped" and backend_view.iterations == []
    else:
        assert backend_view.state.state == "done" and [
            (i.attempt, i.ok, i.refused) for i in backend_view.iterations
        ] == [(2, True, 0)]
