"""Conversations against real servers: the history is live, the slot is kept while a user thinks."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from llmtui.load.messages import Slice, SliceDone
from llmtui.load.prompts import LIMIT, PLACEHOLDER, TEXT, Template
from llmtui.model import Iteration, Turn
from llmtui.runview.talks import forgets
from llmtui.stats.turn_figures import TurnFigures
from llmtui.wire import dialect_for
from tests.load.helpers import in_flight, run_slice, share, slice_for, truth


def talking(url: str, *, turns: int = 3, think_s: float = 0.0, context: int = 0, **more: Any) -> Slice:
    of = slice_for(url, users=True, think_s=think_s, **more)
    config = msgspec.structs.replace(of.config, max_tokens=LIMIT)
    request = dialect_for(of.backend).request(of.backend, config, TEXT, "truth", PLACEHOLDER)
    template = Template(body=request.body, key="key")
    return msgspec.structs.replace(of, template=template, turns=turns, context=context, max_tokens=of.config.max_tokens)


def turn_of(of: Slice, samples: list[Iteration], done: SliceDone) -> Turn:
    figures = TurnFigures(of.level)
    figures.add(samples)
    fields = figures.figures(done.window_from_s, done.window_to_s)
    return Turn(run="r", backend="a", attempt=1, phase="measured", round=1, level=1, seq=1, started_utc="", **fields)


async def test_a_server_with_a_cache_takes_the_history_from_it_and_another_conversation_none() -> None:
    async with truth(ttft_ms=5, itl_ms=1, tokens_per_word=1, remember=True, prefill_ms=0.3) as url:
        of = talking(url, streams=3, settle=6, requests=45, tokens=30)
        samples, done = await run_slice(of)
    assert done.error is None and all(sample.ok for sample in samples)
    by_talk: dict[int, list[Iteration]] = {}
    for sample in samples:
        by_talk.setdefault(sample.talk, []).append(sample)
    whole = [talk for number, talk in by_talk.items() if number > 3 and len(talk) == 3]
    assert len(whole) > 8
    for talk in whole:
        assert [sample.talk_turn for sample in talk] == [1, 2, 3]
        # The fresh line is a message of its own, which no other conversation has.
        assert [(sample.cached_tokens or 0) > 0 for sample in talk] == [False, True, True]
        prompts = [sample.prompt_tokens or 0 for sample in talk]
        assert all(after > before + 30 for before, after in itertools.pairwise(prompts))
    turn = turn_of(of, samples, done)
    assert [each.turn for each in turn.talk_turns] == [1, 2, 3]
    assert turn.talk_turns[0].cached_share == 0.0 and (turn.talk_turns[2].cached_share or 0) > 0.4
    assert forgets(turn.talk_turns) == ""


async def test_a_server_that_forgets_is_told_by_its_ttft() -> None:
    async with truth(ttft_ms=2, itl_ms=1, tokens_per_word=1, prefill_ms=1) as url:
        of = talking(url, streams=2, settle=4, requests=40, tokens=30, turns=4)
        samples, done = await run_slice(of)
    turn = turn_of(of, samples, done)
    assert forgets(turn.talk_turns).startswith("it seems to forget: from question 2 to 4 the prompt is")


async def test_users_who_think_have_fewer_requests_under_way_and_are_all_there() -> None:
    async with truth(ttft_ms=40, itl_ms=5) as url:
        of = talking(url, streams=6, settle=6, requests=120, tokens=8, think_s=0.15)
        samples, done = await run_slice(of)
    turn = turn_of(of, samples, done)
    busy = in_flight(samples, done)
    assert busy < 4 and turn.in_flight == pytest.approx(busy, rel=0.05)
    assert busy + (turn.thinking or 0) == pytest.approx(6, rel=0.1)
    thought = [sample.thought_s for sample in samples if sample.thought_s is not None]
    assert min(thought) > 0.07 and sum(thought) / len(thought) == pytest.approx(0.15, rel=0.15)


async def test_two_backends_get_the_same_first_questions_and_think_times() -> None:
    async with truth(ttft_ms=5, itl_ms=1, tokens_per_word=1) as one, truth(ttft_ms=60, itl_ms=1) as other:
        runs = [
            await run_slice(talking(url, streams=2, settle=2, requests=16, tokens=4, think_s=0.05))
            for url in (one, other)
        ]
    thoughts = []
    for samples, _ in runs:
        thoughts.append({(s.talk, s.talk_turn): s.thought_s for s in samples if s.thought_s is not None})
    common = thoughts[0].keys() & thoughts[1].keys()
    assert len(common) > 6
    for key in common:
        assert thoughts[0][key] == pytest.approx(thoughts[1][key], abs=0.02)


async def test_a_conversation_ends_before_its_history_is_too_long_for_the_context() -> None:
    async with truth(ttft_ms=5, itl_ms=1, tokens_per_word=1, slots=4, context=120, strict=True) as url:
        of = talking(url, streams=2, settle=2, requests=30, tokens=30, turns=9, context=120)
        samples, done = await run_slice(of)
    assert done.error is None and done.talks_full > 2
    assert all(sample.ok for sample in samples) and max(sample.talk_turn for sample in samples) < 5


async def test_a_request_that_fails_ends_its_conversation_and_another_one_begins() -> None:
    async with truth(ttft_ms=5, itl_ms=1, tokens_per_word=1, slots=4, context=120, strict=True) as url:
        of = talking(url, streams=2, settle=2, requests=20, tokens=30, turns=9)
        samples, done = await run_slice(of)
    assert done.error is None
    failed = [sample for sample in share(samples, "window") if not sample.ok]
    assert failed and turn_of(of, samples, done).talks_failed == len(failed)
    talks = [sample.talk for sample in samples]
    assert len(set(talks)) > 4 and all(talks.count(sample.talk) == sample.talk_turn for sample in failed)
