"""The sender of a slice: samples are reported after the next request is sent, and an error in llmtui is not hidden."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llmtui.load import sender as sender_module
from llmtui.load.closed import run_closed
from llmtui.load.course import Course
from llmtui.load.sender import Sender
from llmtui.measure.transport import new_client
from llmtui.model import Iteration
from tests.load.helpers import slice_for, truth


async def sent(url: str, report: Callable[[Iteration], None], requests: int) -> Sender:
    """Send that many requests in one stream."""
    of = slice_for(url, streams=1, requests=requests, tokens=2)
    async with new_client(of.url, connect_timeout_s=5) as client:
        sender = Sender(of, client, Course(0, requests, 0), report, lambda: None)
        await run_closed(of, sender)
        sender.report()
    return sender


async def test_a_sample_is_reported_once_the_next_request_is_under_way() -> None:
    events: list[str] = []
    async with truth(ttft_ms=1, itl_ms=0) as url:
        of = slice_for(url, streams=1, requests=3, tokens=2)
        async with new_client(of.url, connect_timeout_s=5) as client:
            sender = Sender(of, client, Course(0, 3, 0), lambda s: events.append(f"report {s.request}"), lambda: None)
            take = sender.take

            def noted(at_s: float = 0.0) -> sender_module.Taken:
                taken = take(at_s)
                events.append(f"take {taken.number}")
                return taken

            sender.take = noted  # type: ignore[method-assign]
            await run_closed(of, sender)
    assert events == ["take 1", "take 2", "report 1", "take 3", "report 2", "report 3"]


async def test_an_error_in_llmtui_makes_the_turn_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> Iteration:
        raise ArithmeticError("a bug")

    samples: list[Iteration] = []
    async with truth(ttft_ms=1, itl_ms=0) as url:
        monkeypatch.setattr(sender_module, "with_figures", fails)
        sender = await sent(url, samples.append, 2)
    assert samples == [] and sender.failure is not None
    assert sender.failure.message == "llmtui failed here: ArithmeticError('a bug')"
