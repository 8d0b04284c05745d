"""Every embedded engine answers several requests at a time, if it is given slots for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from llmtui.model import Embedded
from tests.real.engines import ENGINES, chat, managed, quiet

pytestmark = [pytest.mark.real, pytest.mark.slow]

SLOTS = 4


@pytest.mark.parametrize("name", ENGINES)
async def test_answers_of_full_length_go_on_together(name: Embedded, tmp_path: Path) -> None:
    """The prompts have one length, with which mistral.rs 0.9.5 fails if it computes two of them together."""
    server = managed(name, tmp_path, slots=SLOTS)
    ready = await server.start(quiet)
    begun: set[int] = set()
    together = asyncio.Event()

    async def ask(client: httpx.AsyncClient, number: int) -> int:
        tokens = 0
        prompt = {"messages": [{"role": "user", "content": f"Name the capital number {number} of France."}]}
        async for event in chat(client, ready, max_tokens=96, **ready.full_length, **prompt):
            if not together.is_set():
                begun.add(number)
                if len(begun) == SLOTS:
                    together.set()
            usage = event.get("usage") or {}
            tokens = usage.get("completion_tokens", tokens)
        begun.discard(number)
        return tokens

    try:
        assert ready.slots == SLOTS
        async with httpx.AsyncClient(trust_env=False, timeout=300) as client:
            tokens = await asyncio.gather(*(ask(client, number) for number in range(SLOTS)))
        assert tokens == [96] * SLOTS
        assert together.is_set(), "all answers were under way at the same time"
    finally:
        await server.stop()
