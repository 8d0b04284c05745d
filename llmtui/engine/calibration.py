"""How many tokens a synthetic prompt has: asked of one server before the first turn, and corrected after the warm-up.

All backends get the same texts, so one calibration is for all of them. Where they have other models, their counts
differ, which a check reports.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from typing import NamedTuple

import httpx
import msgspec

from llmtui.engine.asking import ask_until_settled
from llmtui.engine.backend_run import BackendRun
from llmtui.engine.bringup import Target
from llmtui.engine.health import fail
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
#: A correction beyond this is a server that counts something else.
MOST_CORRECTION = 0.2
#: A word has at least and at most this many tokens in any vocabulary, or the count is of something else.
_LEAST_PER_WORD, _MOST_PER_WORD = 0.3, 12.0


async def calibrate(run: Run, backend_run: BackendRun, job: Job) -> bool:
    """Before a job, see that the lengths of a mix are known. Return False if the mix does not fit the backend.

    The first backend that has a turn is asked. The warm-up turns correct what it said, before the first turn that
    counts.
    """
    if not run.plan.prompts.mix or not job.level:
        return True
    mix = parse_mix(run.plan.prompts.mix)
    if run.calibration is None:
        run.calibration = _scaled(run, mix, await _asked(run, backend_run))
        run.calibrated_by = backend_run.name
    elif job.phase == "measured" and run.calibrated_by:
        run.calibration = await _corrected(run)
        run.calibrated_by = ""
    return not _too_long(run, backend_run, mix)


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


class _Counted(NamedTuple):
    """A prompt: the tokens that it was to have, and those that the server counted."""

    planned: int
    counted: int


async def _corrected(run: Run) -> Calibration:
    """Return the calibration, corrected by the first answers of the warm-up turns of the server that was asked."""
    calibration = run.calibration or Calibration()
    turns = [turn for turn in run.turns if turn.backend == run.calibrated_by and turn.phase == "warmup"]
    prompts: list[_Counted] = []
    for turn in turns if calibration.source else ():
        samples = await asyncio.to_thread(_first_requests, run, turn.seq)
        prompts += _counted(samples, calibration)
        if len(prompts) >= CORRECTING:
            break
    prompts = prompts[:CORRECTING]
    planned = sum(one.planned - calibration.overhead for one in prompts)
    if planned <= 0:
        return calibration
    factor = sum(one.counted - calibration.overhead for one in prompts) / planned
    if not abs(factor - 1) <= MOST_CORRECTION:
        return calibration
    per_word = calibration.tokens_per_word * factor
    if abs(factor - 1) > 0.001:
        off = sum(one.counted for one in prompts) / sum(one.planned for one in prompts) - 1
        text = f"prompts of the mix: the first {len(prompts)} were {abs(off):.1%} {'longer' if off > 0 else 'shorter'} "
        run.add_note(Note(text=text + f"than planned; a word is {per_word:.3f} tokens from now on"))
    return msgspec.structs.replace(calibration, tokens_per_word=per_word)


def _first_requests(run: Run, seq: int) -> list[Iteration]:
    try:
        parts = run.requests(Requests(backend=run.calibrated_by, turn=seq, figures=True))
        return list(itertools.islice((sample for _, part in parts for sample in part), 2 * CORRECTING))
    except StoreError:
        return []  # the run goes on without its history


def _counted(samples: Iterable[Iteration], calibration: Calibration) -> list[_Counted]:
    """Return the prompts that have at least one word more than the template, and whose tokens the server counted."""
    found = []
    for sample in samples:
        planned = int(sample.prompt.partition("/")[0] or 0)
        if sample.prompt_tokens is not None and planned > calibration.tokens(1):
            found.append(_Counted(planned, sample.prompt_tokens))
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
    text += f"{contexts[least]:,}: all lengths are scaled to {scale:.0%}"
    run.add_note(Note(text=text, level="warning"))
    return msgspec.structs.replace(calibration, scale=scale)


def _too_long(run: Run, backend_run: BackendRun, mix: Mix) -> bool:
    """Let a backend fail whose context the mix does not fit, before a request is sent."""
    ready = backend_run.target.ready
    context = ready.context_tokens if ready is not None else None
    longest = mix.longest * (run.calibration.scale if run.calibration is not None else 1.0)
    if not context or longest <= context:
        return False
    message = f"the mix {mix.name} has requests of {round(longest):,} tokens, and the context of this server has "
    message += f"{context:,}"
    hint = "give the server a larger context, or the mix shorter lengths"
    fail(run, backend_run, Failure(kind="server", message=message, hint=hint))
    return True


def _note(run: Run, backend_run: BackendRun, text: str) -> None:
    run.add_note(Note(text=text, backend=backend_run.name))
