"""How many tokens a synthetic prompt has: asked of one server before the first turn, and corrected after the warm-up.

All backends get the same texts, so one calibration is for all of them. Where they have other models, their counts
differ, which a check reports.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import httpx
import msgspec

from llmtui.engine.asking import ask_until_settled
from llmtui.engine.backend_run import BackendRun
from llmtui.engine.bringup import Target
from llmtui.engine.health import fail
from llmtui.engine.level_faults import leave_out
from llmtui.engine.run import Run
from llmtui.engine.schedule import Job
from llmtui.load.prompts import line_of
from llmtui.load.synthetic import text_of
from llmtui.measure.counts import prompt_count
from llmtui.measure.request import IterationError
from llmtui.model import Calibration, Failure, Iteration, Note, Requests
from llmtui.model.mixes import Mix, parse_mix
from llmtui.store.errors import StoreError
from llmtui.wire import common

#: The words of the shorter of the two calibrating requests, and of the text for a server's tokenizer.
FEW_WORDS = 256
MANY_WORDS = 4096
TOKENIZE_S = 10.0
#: The first answers of the warm-up turns that correct the calibration.
CORRECTING = 20
#: The standard error of the first calibration: of the overhead in tokens (counts are whole), and of the tokens of a
#: word, relative to it.
OVERHEAD_ERROR = 1.0
WORD_ERROR = 0.004
#: If an answer differs from the calibration by more than this share, the server counts something else.
MOST_CORRECTION = 0.2
#: A word has at least and at most this many tokens in any vocabulary, or the count is of something else.
_LEAST_PER_WORD, _MOST_PER_WORD = 0.3, 12.0


async def calibrate(run: Run, backend_run: BackendRun, job: Job) -> bool:
    """Before a job, see that the lengths of a mix are known. Return False if the mix does not fit the backend.

    The first backend that has a turn, or an iteration of a race, is asked. The warm-up corrects what it said, before
    the first sample that counts.
    """
    if run.plan.levels and not job.level:
        return True  # the single requests before a load
    level = run.plan.levels[job.level - 1] if job.level else None
    if not (name := run.plan.prompts_at(level).mix):
        return True
    mix = parse_mix(name)
    if run.calibration is None:
        run.calibration = _scaled(run, mix, await _asked(run, backend_run))
        run.calibrated_by = backend_run.name
    elif job.phase == "measured" and run.calibrated_by:
        run.calibration = await _corrected(run)
        run.calibrated_by = ""
    return not await _too_long(run, backend_run, job, mix)


async def _asked(run: Run, backend_run: BackendRun) -> Calibration:
    """Ask a server how long texts are, and say so."""
    target, config = backend_run.target, run.config

    async def tokens_of(words: int) -> int | None:
        line = line_of(f"{run.plan.run}/calibration/{words}") if config.fresh_prompt else ""
        text = text_of("calibration", words)
        answer = await ask_until_settled(
            target, text, lambda note: _note(run, backend_run, note), config.timeout_s, fresh_line=line, max_tokens=1
        )
        return prompt_count(answer)

    context = (target.ready.context_tokens if target.ready is not None else None) or 4 * FEW_WORDS
    few = max(16, min(FEW_WORDS, context // 4))
    found: Calibration | None = None
    try:
        if (least := await tokens_of(few)) is not None:
            per_word = await _by_tokenizer(target)
            if per_word is not None:
                found = Calibration(per_word, least - per_word * few, source="tokenize")
            elif (most := await tokens_of(2 * few)) is not None:
                found = Calibration((most - least) / few, 2 * least - most, source="usage")
    except IterationError:
        found = None  # the turn that follows fails with the reason
    if found is None or not _LEAST_PER_WORD <= found.tokens_per_word <= _MOST_PER_WORD:
        _note(run, backend_run, "prompts of the mix are counted in words: the server reports no usable token counts")
        return Calibration()
    how = "its tokenizer" if found.source == "tokenize" else "the usage of two requests"
    text = f"prompts of the mix: a word is {found.tokens_per_word:.3f} tokens by {how}, "
    _note(run, backend_run, text + f"chat template and fresh line are {round(found.overhead)}")
    return found


async def _by_tokenizer(target: Target) -> float | None:
    """Return the tokens of a word by the server's own tokenizer (llama.cpp, vLLM, SGLang, TGI), None without one."""
    assert target.ready is not None
    if target.backend.protocol == "custom":
        return None
    text = text_of("calibration", MANY_WORDS)
    # Each server reads the field that it knows.
    body = {"model": target.ready.model, "content": text, "prompt": text, "inputs": text, "add_special_tokens": False}
    try:
        reply = await target.post("/tokenize", body, TOKENIZE_S)
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError):
        return None
    if reply.status != 200 or not reply.whole:
        return None
    found = common.as_json(reply.body)
    tokens = found if isinstance(found, list) else common.as_dict(reply.body).get("tokens")
    count = len(tokens) if isinstance(tokens, list) else common.count(common.as_dict(reply.body).get("count"))
    per_word = (count or 0) / MANY_WORDS
    return per_word if _LEAST_PER_WORD <= per_word <= _MOST_PER_WORD else None


class Counted(NamedTuple):
    """A prompt: the words that it has, and the tokens that the server counted."""

    words: int
    tokens: int


async def _corrected(run: Run) -> Calibration:
    """Return the calibration, corrected by the first answers of the warm-up of the server that was asked."""
    before = run.calibration or Calibration()
    by = run.calibrated_by
    turns = [turn for turn in run.turns if turn.backend == by and turn.phase == "warmup"]
    each = math.ceil(CORRECTING / max(1, len(turns)))
    warmups = [i for i in run.iterations if i.backend == by and i.phase == "warmup"]
    prompts = _counted(warmups, before) if before.source and not turns else []
    for turn in turns if before.source else ():
        samples = await asyncio.to_thread(_first_requests, run, turn.seq, each)
        prompts += _counted(samples, before)
    after = corrected(before, prompts)
    words = sum(one.words for one in prompts) / max(1, len(prompts))
    if prompts and abs(after.tokens(round(words)) / max(1.0, before.tokens(round(words))) - 1) > 0.001:
        text = f"prompts of the mix: by the first {len(prompts)} answers a word is {after.tokens_per_word:.3f} tokens, "
        run.add_note(Note(text=text + f"chat template and fresh line are {round(after.overhead)}"))
    return after


def corrected(calibration: Calibration, prompts: Sequence[Counted]) -> Calibration:
    """Return the calibration that fits these prompts best, and differs as little as its errors make likely.

    It is a ridge regression: short prompts say more about the overhead, long ones about the words. A prompt whose count
    is far off says nothing.
    """
    a, b = calibration.overhead, calibration.tokens_per_word
    kept = [one for one in prompts if abs(one.tokens / calibration.tokens(one.words) - 1) <= MOST_CORRECTION]
    n, total = 1 / OVERHEAD_ERROR**2 + len(kept), sum(one.words for one in kept)
    squares = 1 / (WORD_ERROR * b) ** 2 + sum(one.words**2 for one in kept)
    rest = [one.tokens - calibration.tokens(one.words) for one in kept]
    weighted = sum(one.words * off for one, off in zip(kept, rest, strict=True))
    determinant = n * squares - total**2
    shift = (squares * sum(rest) - total * weighted) / determinant
    slope = (n * weighted - total * sum(rest)) / determinant
    return msgspec.structs.replace(calibration, overhead=a + shift, tokens_per_word=b + slope)


def _first_requests(run: Run, seq: int, count: int) -> list[Iteration]:
    try:
        parts = run.requests(Requests(backend=run.calibrated_by, turn=seq, figures=True))
        return list(itertools.islice((sample for _, part in parts if isinstance(part, list) for sample in part), count))
    except StoreError:
        return []  # the run goes on without its history


def _counted(samples: Iterable[Iteration], calibration: Calibration) -> list[Counted]:
    """Return the prompts whose tokens the server counted; their names have the planned lengths."""
    found = []
    for sample in samples:
        planned = sample.prompt.partition("/")[0]
        if sample.prompt_tokens is not None and planned.isdecimal():
            found.append(Counted(calibration.words(int(planned)), sample.prompt_tokens))
    return found


def _scaled(run: Run, mix: Mix, calibration: Calibration) -> Calibration:
    """Return the calibration with the factor for all lengths: that with which the mix fits the smallest context."""
    contexts = {
        one.name: tokens
        for one in run.backends
        if one.target.ready is not None and (tokens := one.target.ready.context_tokens)
    }
    least = min(contexts, key=lambda name: contexts[name], default="")
    if not least or not mix.scalable or mix.longest <= contexts[least]:
        return calibration
    # A prompt may be a little longer than planned.
    scale = 0.98 * contexts[least] / mix.longest
    text = f"the longest request of the mix {mix.name} has {mix.longest:,} tokens, and the context of {least} has "
    text += f"{contexts[least]:,}: all lengths are scaled to {100 * scale:.2g}%, "
    median, longest = (round(mix.prompts.at(share) * scale / mix.divisor) for share in (0.5, 1.0))
    text += f"so prompts have up to {longest:,} tokens (median {median:,})"
    run.add_note(Note(text=text, level="warning"))
    return msgspec.structs.replace(calibration, scale=scale)


async def _too_long(run: Run, backend_run: BackendRun, job: Job, mix: Mix) -> bool:
    """Leave out a level whose prompts do not fit the context of a server, before a request is sent.

    Without another level the backend has failed.
    """
    ready = backend_run.target.ready
    context = ready.context_tokens if ready is not None else None
    longest = mix.longest * (run.calibration.scale if run.calibration is not None else 1.0)
    if not context or longest <= context:
        return False
    message = f"the mix {mix.name} has requests of {round(longest):,} tokens, and the context of this server has "
    message += f"{context:,}"
    hint = "give the server a larger context, or the mix shorter lengths"
    failure = Failure(kind="server", message=message, hint=hint)
    if job.level:
        await leave_out(run, backend_run, job, failure, again=False)
    else:
        fail(run, backend_run, failure)
        await backend_run.target.close()
    return True


def _note(run: Run, backend_run: BackendRun, text: str) -> None:
    run.add_note(Note(text=text, backend=backend_run.name))
