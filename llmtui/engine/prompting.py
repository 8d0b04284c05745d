"""What the engine itself asks: the iterations of a race, and the single requests before a load.

Without prompts of their own, all have the prompt of the run.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from llmtui.engine.schedule import Job
from llmtui.load.prompt_files.errors import PromptFileError, bad_prompt
from llmtui.load.prompts import LIMIT, PLACEHOLDER, TEXT, Prompt, PromptSource, Template
from llmtui.load.sources import open_source
from llmtui.model import Calibration, Failure, Plan, Prompts
from llmtui.wire.base import Request

if TYPE_CHECKING:
    from llmtui.engine.bringup import Target
    from llmtui.engine.run import Run

#: What a request asks: the text of the run's prompt, or one of its own.
Asked: TypeAlias = str | Prompt


async def prompt_of(run: Run, job: Job) -> Asked | Failure:
    """Return what an iteration asks: the text of the run's prompt, one of its own, or why that cannot be asked.

    All backends ask the same one in the same round. Measured iterations ask the prompts from the first one of the order
    on, and warm-ups those from the last one backwards.
    """
    plan = run.plan
    if not plan.prompts.given or (plan.prompts.mix and run.calibration is None):
        return plan.config.prompt
    number = job.number if job.phase == "measured" else 1 - job.number
    try:
        # In a thread: the first one of a large file is found only after reading all of it.
        return await asyncio.to_thread(_nth, plan.prompts, prompt_seed(plan), run.calibration, number)
    except PromptFileError as problem:
        return bad_prompt(problem)


def first_prompt(plan: Plan) -> Asked:
    """Return the first prompt of a file, without one the prompt of the run. Raises PromptFileError."""
    if not plan.prompts.file:
        return plan.config.prompt
    return _nth(plan.prompts, prompt_seed(plan), None, 1)


def prompt_seed(plan: Plan) -> str:
    """Return what decides the order of prompts: the seed of the config, so that two runs ask the same ones."""
    return f"{plan.config.seed}/prompts"


def request_of(target: Target, prompt: Asked, fresh_line: str, limit: int | None, usual: int) -> Request:
    """Return the request that asks this, as the server takes it.

    `limit` is that of the answer, by default the prompt's own, and `usual` that of the run for a prompt without one.
    """
    if isinstance(prompt, str):
        return target.request(prompt, fresh_line, limit)
    request = target.request(TEXT, PLACEHOLDER if fresh_line else "", LIMIT)
    limit = limit or prompt.max_tokens or usual
    body = Template(body=request.body).of(1, msgspec.structs.replace(prompt, max_tokens=limit))
    if fresh_line:
        body = body.replace(PLACEHOLDER.encode(), fresh_line.encode(), 1)
    sent = limit if request.max_tokens == LIMIT else request.max_tokens
    return msgspec.structs.replace(request, body=body, max_tokens=sent)


def turn_start(plan: Plan, job: Job) -> float:
    """Return where in the shuffled order of all prompts a turn begins, as a share of them.

    The turns that are planned begin evenly apart, so that they ask different prompts as long as there are enough.
    """
    levels = len(plan.levels)
    rounds, warmups = plan.config.iterations, max(plan.config.launches, 1)
    place = (job.number - 1) * levels + job.level - 1
    if job.phase == "warmup":
        place += rounds * levels
    planned = (rounds + warmups) * levels
    return place / planned if place < planned else place * 0.618034 % 1


@functools.lru_cache(maxsize=2)
def _source(prompts: Prompts, seed: str, calibration: Calibration | None) -> PromptSource:
    source = open_source(prompts, seed, calibration)
    assert source is not None
    return source


def _nth(prompts: Prompts, seed: str, calibration: Calibration | None, number: int) -> Prompt:
    return _source(prompts, seed, calibration).prompt(number)
