"""Requests to a backend that do not count: asked again as long as the server may take another one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from llmtui.engine.adapting import MIN_WAIT_S, AskAgain
from llmtui.engine.bringup import Target
from llmtui.engine.prompting import Asked
from llmtui.measure.answer import Answer
from llmtui.measure.request import IterationError


async def ask_until_settled(
    target: Target,
    prompt: Asked,
    on_note: Callable[[str], None],
    timeout_s: float,
    *,
    fresh_line: str = "",
    max_tokens: int | None = None,
) -> Answer:
    """Ask again as long as the server may take another request, also one that asks for a retry within `timeout_s`.

    `fresh_line` and `max_tokens` are those of `Target.ask`. Raises IterationError.
    """
    until = time.monotonic() + timeout_s
    while True:
        try:
            return await target.ask(prompt, fresh_line=fresh_line, max_tokens=max_tokens)
        except AskAgain as again:
            if again.note:
                on_note(again.note)
            await asyncio.sleep(again.wait_s)
            until = time.monotonic() + timeout_s
        except IterationError as error:
            if error.retry_after_s is None:
                raise
            wait_s = max(error.retry_after_s, MIN_WAIT_S)
            if time.monotonic() + wait_s > until:
                raise
            await asyncio.sleep(wait_s)
