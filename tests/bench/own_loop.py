"""Streams that the calling process reads itself from the truth server: for benchmarks of the client alone."""

from __future__ import annotations

import asyncio
import gc

import httpx
import msgspec

from llmtui.accuracy.deviation import Truth
from llmtui.accuracy.probe import Job
from llmtui.measure.answer import Answer
from llmtui.measure.request import IterationError, ask
from llmtui.model import Backend, RunConfig
from llmtui.wire import dialect_for


async def run_level(
    client: httpx.AsyncClient, url: str, job: Job, streams: int
) -> tuple[list[tuple[Answer, Truth]], list[str]]:
    """Run one level: one warm-up request per stream, then all start together and send one request after another.

    Return the answers with the logs of their requests, and the failures of the others.
    """
    answers: dict[str, Answer] = {}
    failed: list[str] = []
    expected_s = (job.ttft_ms + job.tokens * job.itl_ms) / 1e3
    config = RunConfig(max_tokens=job.tokens)
    timing = {"ttft_ms": job.ttft_ms, "itl_ms": job.itl_ms}

    async def stream(number: int, count: int, phase: str) -> None:
        for turn in range(count):
            name = f"{phase}-{streams}-{number}-{turn}"
            backend = Backend(name="truth", url=url, options={"truth": timing, "user": name})
            dialect = dialect_for(backend)
            request = dialect.request(backend, config, config.prompt, "truth")
            try:
                answers[name] = await ask(
                    client, request, dialect, timeout_s=30 + 3 * expected_s, on_tokens=lambda _: None
                )
            except IterationError as error:
                failed.append(str(error.failure))

    await asyncio.gather(*(stream(number, 1, "warmup") for number in range(streams)))
    answers.clear()
    failed.clear()
    # As the engine does around each iteration.
    gc.collect()
    gc.disable()
    try:
        await asyncio.gather(
            *(stream(number, job.requests_per_stream(streams), "measured") for number in range(streams))
        )
    finally:
        gc.enable()
    pairs = []
    for name, answer in answers.items():
        response = await client.get(f"{url}/truth/{name}")
        pairs.append((answer, msgspec.json.decode(response.content, type=Truth)))
    return pairs, failed
