"""One iteration: its prompt, its request with retries, the conditions on the machine meanwhile, and its record."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.schedule import Job, fresh_line
from llmtui.engine.watch import conditions
from llmtui.engine.watch.other_cpu import ForeignMeter
from llmtui.engine.watch.stalls import Stalled, stalled_failure
from llmtui.format import plural
from llmtui.measure.failures import wait_words
from llmtui.measure.request import (
    HIDDEN_TOKENS,
    Answer,
    IterationError,
    cached_count,
    figures,
    is_plausible_count,
    prompt_count,
    server_times_s,
)
from llmtui.model import (
    AnyEvent,
    Failure,
    Iteration,
    Note,
    Plan,
    Progress,
    redacted,
)
from llmtui.text import sanitize

#: Progress of an iteration is told this often at most.
PROGRESS_INTERVAL_S = 0.25
#: A server that asks to come back at once is given this long all the same.
LEAST_WAIT_S = 0.25
#: A finish reason is one word of the protocol.
MAX_REASON_CHARS = 60


async def measure(
    backend_run: BackendRun, job: Job, plan: Plan, own_pids: Callable[[], list[int]], tell: Callable[[AnyEvent], None]
) -> Iteration:
    """Carry out one iteration and return its record; a failure is part of the record. Progress is told meanwhile.

    A server that asks to come back later is asked again then, for `timeout_s` in all; what it refused is counted, and
    the record is of the last request.
    """
    timeout_s = plan.config.timeout_s
    prompt = plan.config.prompt
    if plan.config.fresh_prompt:
        prompt = (
            f"{fresh_line(plan.run + backend_run.salt, backend_run.state.attempt, job, backend_run.twin)}\n{prompt}"
        )
    began = time.monotonic()
    refused = 0
    while True:
        iteration, asked_s = await _request(backend_run, job, plan, prompt, own_pids, tell)
        failure = iteration.error
        if asked_s is None or failure is None:
            break
        refused += 1
        wait_s = max(asked_s, LEAST_WAIT_S)
        if time.monotonic() - began + wait_s > timeout_s:
            times = f" (refused {refused} times)" if refused > 1 else ""
            hint = f"the server {wait_words(asked_s)}, longer than timeout_s ({timeout_s:g} s) allows{times}"
            if not asked_s:
                hint = f"the server {wait_words(0)}, and refused for all of timeout_s ({timeout_s:g} s){times}"
            iteration = msgspec.structs.replace(iteration, error=msgspec.structs.replace(failure, hint=hint))
            break
        if not backend_run.refusal_reported:
            backend_run.refusal_reported = True
            status = failure.message.partition(":")[0]
            text = f"{status}, {wait_words(asked_s)}; the refusals are counted and no samples"
            tell(Note(text=text, level="warning", backend=backend_run.name))
        await asyncio.sleep(wait_s)
    return msgspec.structs.replace(iteration, refused=refused) if refused else iteration


async def _request(
    backend_run: BackendRun,
    job: Job,
    plan: Plan,
    prompt: str,
    own_pids: Callable[[], list[int]],
    tell: Callable[[AnyEvent], None],
) -> tuple[Iteration, float | None]:
    """One request as an iteration; and how long the server asks to wait, in s, where it refused for now."""
    phase, number = job
    attempt = backend_run.state.attempt
    meter = ForeignMeter(backend_run.target.cpu_seconds, own_pids)
    told = began = time.monotonic()

    def on_tokens(count: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= PROGRESS_INTERVAL_S:
            told = now
            elapsed_s = round(now - began, 3)
            tell(Progress(backend=backend_run.name, phase=phase, iteration=number, tokens=count, elapsed_s=elapsed_s))

    started = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    answer: Answer | None = None
    failure: Failure | None = None
    asked_s: float | None = None
    before = conditions.sample()
    # A collection in the middle of an answer would delay the reading of what arrives meanwhile.
    gc.collect(0)
    gc.disable()
    stalled = Stalled()
    stalled.start()
    meter.start()
    try:
        answer = await backend_run.target.ask(prompt, on_tokens)
    except IterationError as error:
        failure, asked_s = error.failure, error.retry_after_s
        if failure.kind == "connect" and backend_run.backend.launched:
            failure = msgspec.structs.replace(
                failure, hint="llmtui launched it: its log says more; a rerun starts it anew"
            )
    finally:
        foreign = meter.stop()
        stood = stalled_failure(stalled.stop())
        gc.enable()
    changed = conditions.since(before)
    if stood is not None:
        answer, failure, asked_s = None, stood, None
    iteration = Iteration(
        run=plan.run,
        backend=backend_run.name,
        attempt=attempt,
        iteration=number,
        phase=phase,
        started_utc=started,
        foreign_cpu=foreign,
        server_cpu=meter.server_cpu,
        steal=changed.steal,
        swapped=changed.swapped,
        throttled=changed.throttled,
        part=backend_run.part,
        error=failure,
    )
    if answer is None:
        return redacted(iteration, backend_run.backend), asked_s
    if not backend_run.count_reported and (doubt := doubted_count(answer)):
        backend_run.count_reported = True
        tell(Note(text=doubt, level="warning", backend=backend_run.name))
    return redacted(with_figures(iteration, answer), backend_run.backend), asked_s


def doubted_count(answer: Answer) -> str:
    """What to say of a token count that is not used; "" where there is nothing to say."""
    told, prompt, asked = answer.output_tokens, answer.prompt_tokens, answer.max_tokens
    if told is not None and not is_plausible_count(answer, told, HIDDEN_TOKENS):
        if asked is not None and told > asked + HIDDEN_TOKENS:
            what = f"its count of {told:,} output tokens cannot be true: {asked:,} were asked for"
        else:
            size = plural(answer.text_bytes, "byte")
            what = f"its count of {told:,} output tokens is more than the text that came shows ({size})"
    elif told is None and answer.streamed and asked is not None and answer.events > asked + HIDDEN_TOKENS:
        what = f"it sends {answer.events:,} pieces of text for {asked:,} tokens, and counts none itself"
    elif prompt is not None and prompt_count(answer) is None:
        what = f"its count of {prompt:,} prompt tokens cannot be true: {answer.sent_bytes:,} bytes were sent"
    else:
        return ""
    return f"{what}; no rate is computed from it, check the server's usage"


def with_figures(iteration: Iteration, answer: Answer) -> Iteration:
    """`iteration` with the numbers of a good answer."""
    numbers = figures(answer)
    prefill_s, decode_s, load_s = server_times_s(answer)
    return msgspec.structs.replace(
        iteration,
        latency_s=numbers.latency_s,
        ttft_s=numbers.ttft_s,
        ttfo_s=numbers.ttfo_s,
        itl_s=numbers.itl_s,
        tpot_s=numbers.tpot_s,
        tokens_per_s=numbers.tokens_per_s,
        output_tokens=numbers.output_tokens,
        token_source=numbers.token_source,
        prompt_tokens=prompt_count(answer),
        cached_tokens=cached_count(answer),
        finish_reason=sanitize(answer.finish_reason, MAX_REASON_CHARS) if answer.finish_reason is not None else None,
        connect_s=answer.connect_ns / 1e9 if answer.connect_ns is not None else None,
        server_prefill_s=prefill_s,
        server_decode_s=decode_s,
        server_load_s=load_s,
        stamp=answer.stamp,
        text=answer.text,
        arrivals_ns=answer.arrivals_ns,
        arrival_tokens=answer.arrival_tokens,
    )
