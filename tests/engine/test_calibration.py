"""The lengths of synthetic prompts against the counts of truth servers, in real runs."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from llmtui.engine.calibration import Counted, corrected
from llmtui.model import Backend, Calibration, Iteration, Plan, Prompts
from llmtui.store.open import open_store
from tests.engine.helpers import Followed, engine_for, load_of, notes_of, plan_of, truth_backend


def counting(name: str, *more: str, per_word: float = 1.37, template: int = 23) -> Backend:
    """A truth server that counts the tokens of prompts."""
    arguments = ["--prompt-tokens", str(template), "--tokens-per-word", str(per_word), *more]
    return truth_backend(name, arguments=arguments)


def mix_of(mix: str, *backends: Backend, **config: Any) -> Plan:
    """A short load of one level with the prompts of a mix."""
    plan = load_of(*backends, concurrency=[2], requests=20, **({"iterations": 1} | config))
    return msgspec.structs.replace(plan, prompts=Prompts(mix=mix))


def measured(plan: Plan) -> list[Iteration]:
    """The requests of the measured turns."""
    store, _ = open_store()
    with store:
        turns = [turn for turn in store.load(plan.run).turns if turn.phase == "measured"]
        return [sample for turn in turns for batch in store.requests(turn) for sample in batch]


def errors(samples: list[Iteration]) -> list[float]:
    """By how much the server's counts differ from the planned lengths, as shares."""
    planned = [int(sample.prompt.partition("/")[0]) for sample in samples]
    return [(sample.prompt_tokens or 0) / tokens - 1 for sample, tokens in zip(samples, planned, strict=True)]


async def finished(plan: Plan) -> Followed:
    """Carry out a run."""
    async with engine_for(plan) as run:
        await run.until_done()
    return run


@pytest.mark.slow
@pytest.mark.parametrize(("more", "how"), [(["--tokenize"], "its tokenizer"), ([], "the usage of two requests")])
async def test_prompts_have_the_lengths_of_the_mix(more: list[str], how: str) -> None:
    plan = mix_of("U(200,600)/(2,6)", counting("a", *more), counting("b", *more))
    run = await finished(plan)
    samples = measured(plan)
    assert len(samples) >= 40
    assert max(map(abs, errors(samples))) < 0.01
    assert all(sample.output_tokens == int(sample.prompt.partition("/")[2]) for sample in samples)
    # Both backends get the same prompts.
    sent = {name: {s.request: s.prompt_tokens for s in samples if s.backend == name} for name in ("a", "b")}
    both = sent["a"].keys() & sent["b"].keys()
    assert both and all(sent["a"][number] == sent["b"][number] for number in both)
    [note] = [text for text in notes_of(run) if "prompts of the mix: " in text]
    # Two counts, each rounded to a token, find the slope to 1 in 256.
    found = re.search(r"a word is ([0-9.]+) tokens", note)
    assert found is not None and float(found[1]) == pytest.approx(1.37, rel=1 / 256)
    assert how in note and "chat template and fresh line are 2" in note


def test_short_prompts_correct_the_overhead_and_long_ones_the_words() -> None:
    before = Calibration(tokens_per_word=1.2, overhead=22.0, source="usage")
    short = corrected(before, [Counted(64, 101)] * 20)
    assert short.overhead == pytest.approx(24, abs=0.3) and short.tokens_per_word == pytest.approx(1.2, abs=0.005)
    long = corrected(before, [Counted(2000, 2470)] * 20)
    assert long.overhead == pytest.approx(22, abs=1.5) and long.tokens_per_word == pytest.approx(1.224, abs=0.001)
    both = corrected(before, [Counted(words, round(25 + 1.22 * words)) for words in (40, 80, 2000, 4000)] * 5)
    assert both.overhead == pytest.approx(25, abs=0.6) and both.tokens_per_word == pytest.approx(1.22, abs=0.0005)
    assert corrected(before, []) == before
    assert corrected(before, [Counted(64, 20_000)]) == before


@pytest.mark.slow
async def test_a_published_mix_is_scaled_to_the_smallest_context() -> None:
    plan = mix_of("chat", counting("a", "--slots", "4", "--context", "1024"), counting("b"))
    run = await finished(plan)
    words = "all lengths are scaled to 20%, so prompts have up to 877 tokens (median 206)"
    assert any(words in text for text in notes_of(run)), notes_of(run)
    samples = measured(plan)
    assert all((s.prompt_tokens or 0) + (s.output_tokens or 0) <= 1024 for s in samples)


@pytest.mark.slow
async def test_lengths_that_the_user_set_are_not_changed() -> None:
    plan = mix_of("D(1000,100)", counting("a", "--slots", "4", "--context", "1024"), counting("b"))
    run = await finished(plan)
    failure = run.run_view.backends["a"].state.failure
    assert failure is not None and failure.message == (
        "2 streams: the mix D(1000,100) has requests of 1,100 tokens, and the context of this server has 1,024"
    )
    assert {sample.backend for sample in measured(plan)} == {"b"}


@pytest.mark.slow
async def test_a_server_without_counts_gets_words() -> None:
    plan = mix_of("D(300,3)", truth_backend("a", arguments=["--no-usage"]), warmup=0)
    run = await finished(plan)
    assert run.run_view.backends["a"].state.state == "done"
    assert any("counted in words" in text for text in notes_of(run))


@pytest.mark.slow
async def test_a_race_asks_the_prompts_of_a_mix() -> None:
    plan = plan_of(counting("a"), counting("b"), iterations=2)
    plan = msgspec.structs.replace(plan, prompts=Prompts(mix="D(300,7)"))
    run = await finished(plan)
    for view in run.run_view.backends.values():
        samples = [sample for sample in view.iterations if sample.phase == "measured"]
        assert [(s.prompt, s.output_tokens) for s in samples] == [("300/7", 7)] * 2
        assert max(map(abs, errors(samples))) < 0.01
