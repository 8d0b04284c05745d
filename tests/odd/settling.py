"""Bring one backend up and ask until it answers or fails, as an iteration does, in this process."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmtui.engine.asking import ask_until_settled
from llmtui.engine.bringup import Target
from llmtui.measure.answer import Answer
from llmtui.measure.request import IterationError
from llmtui.model import Backend, RunConfig
from llmtui.servers.base import Ready, StartError


@dataclass
class Settled:
    """What came of it: the answer or the failure, the notes for the user, and what the state says of the backend."""

    ready: Ready | None = None
    answer: Answer | None = None
    failure: str = ""
    kind: str = ""
    notes: list[str] = field(default_factory=list)
    remark: str = ""
    bring_up_s: float = 0.0


async def settle(url: str, folder: Path, config: RunConfig | None = None, **backend: Any) -> Settled:
    """Bring up a backend at `url` and send it one request. Other keywords are keys of the backend."""
    config = config or RunConfig(timeout_s=5.0)
    target = Target(Backend(**({"name": "a", "url": url} | backend)), config, folder)
    settled = Settled()
    began = time.monotonic()
    try:
        settled.ready = await target.bring_up(lambda _, __: None)
        settled.bring_up_s = time.monotonic() - began
        settled.answer = await ask_until_settled(target, "hi", settled.notes.append, config.timeout_s)
    except (StartError, IterationError) as error:
        settled.failure, settled.kind = str(error.failure), error.failure.kind
    finally:
        settled.remark = target.remark
        await target.close()
    return settled
