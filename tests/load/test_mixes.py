"""Prompts of a mix: their lengths, drawn apart and as published, and that all backends get the same ones."""

from __future__ import annotations

import statistics

import pytest

from llmtui.load.mixes import STRATA, MixPrompts
from llmtui.model import Calibration
from llmtui.model.mixes import Mix, parse_mix
from llmtui.runview.mixes import mix_sentence


def lengths(mix: Mix, count: int, calibration: Calibration | None = None) -> tuple[list[int], list[int]]:
    """The tokens of that many prompts, and of their answers."""
    source = MixPrompts(mix, "seed", calibration or Calibration())
    prompts, answers = zip(*(source.lengths(number) for number in range(1, count + 1)), strict=True)
    return list(prompts), list(answers)


@pytest.mark.parametrize(
    ("name", "prompts", "answers"),
    [
        ("chat", (207, 1020, 2735), (54, 129, 424)),
        ("code", (147, 1469, 5194), (7, 13, 55)),
        ("long", (964, 6909, 27367), (24, 350, 597)),
        ("chat/8", (26, 128, 342), (7, 16, 53)),
    ],
)
def test_a_published_mix_has_its_percentiles(name: str, prompts: tuple[int, ...], answers: tuple[int, ...]) -> None:
    for values, published in zip(lengths(parse_mix(name), 4000), (prompts, answers), strict=True):
        tenths = statistics.quantiles(values, n=10)
        for value, expected in zip((tenths[0], tenths[4], tenths[8]), published, strict=True):
            assert value == pytest.approx(expected, rel=0.03, abs=1)


def test_prompts_and_answers_are_not_correlated() -> None:
    assert abs(statistics.correlation(*lengths(parse_mix("chat"), 2000))) < 0.06


def test_tails_are_bounded() -> None:
    mix = parse_mix("long")
    prompts, answers = lengths(mix, 4000)
    assert max(prompts) <= 85_401 * 1.14 and max(answers) <= 1_120 * 1.08
    assert max(prompts) + max(answers) <= mix.longest


def test_the_prompts_of_a_turn_have_the_whole_mix() -> None:
    source = parse_mix("U(100,300)/(10,20)")
    means = [
        statistics.mean(
            MixPrompts(source, f"turn {turn}", Calibration()).lengths(number)[0] for number in range(1, STRATA + 1)
        )
        for turn in range(30)
    ]
    assert all(mean == pytest.approx(200, abs=5) for mean in means)


@pytest.mark.parametrize(
    ("name", "prompts", "answers", "means"),
    [
        ("D(512,128)", (512, 512), (128, 128), (512, 128)),
        ("U(50, 100)/(200, 250)", (50, 100), (200, 250), (75, 225)),
        ("N(480,240)/(300,150)", (1, 1200), (1, 750), (482, 302)),
    ],
)
def test_lengths_that_the_user_sets(
    name: str, prompts: tuple[int, int], answers: tuple[int, int], means: tuple[int, int]
) -> None:
    drawn = lengths(parse_mix(name), 2000)
    for values, (least, most), mean in zip(drawn, (prompts, answers), means, strict=True):
        assert least <= min(values) and max(values) <= most
        assert statistics.mean(values) == pytest.approx(mean, rel=0.02)


def test_a_prompt_is_a_function_of_seed_and_number() -> None:
    one, two = (MixPrompts(parse_mix("chat"), "seed", Calibration()) for _ in range(2))
    numbers = [7, 1, 40, 7]
    assert [one.prompt(number) for number in numbers] == [two.prompt(number) for number in numbers]
    assert one.prompt(7) != MixPrompts(parse_mix("chat"), "other", Calibration()).prompt(7)


def test_a_prompt_has_the_words_for_its_tokens() -> None:
    calibration = Calibration(tokens_per_word=1.5, overhead=40)
    prompt = MixPrompts(parse_mix("D(640,9)"), "seed", calibration).prompt(3)
    assert len(prompt.text.split()) == 400
    assert (prompt.max_tokens, prompt.name) == (9, "640/9")
    # The chat template alone is longer.
    assert len(MixPrompts(parse_mix("D(10,9)"), "seed", calibration).prompt(3).text.split()) == 1


def test_a_scale_is_for_prompts_and_answers() -> None:
    whole, half = (lengths(parse_mix("chat"), 200, Calibration(scale=scale)) for scale in (1.0, 0.5))
    for long, short in zip(whole, half, strict=True):
        assert sum(short) == pytest.approx(sum(long) / 2, rel=0.01)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("chatty", "expected 'chat', 'code' or 'long'"),
        ("", "expected 'chat'"),
        ("chat/0", "divisor from 1 to 1000"),
        ("D(512)", "expected 'chat'"),
        ("D(0,128)", "lengths of 1 to 1000000 tokens, and those of the prompt are not"),
        ("D(512,2000000)", "those of the answer are not"),
        ("U(100,50)/(1,2)", "the least length of U(100,50) is above the most"),
        ("N(480,240)", "expected 'chat'"),
        ("D(1e9,1)", "expected 'chat'"),
    ],
)
def test_what_is_wrong_with_a_mix(name: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_mix(name)
    assert problem in str(caught.value)


def test_a_mix_in_words() -> None:
    assert mix_sentence("D(512,128)") == (
        "synthetic prompts of the mix D(512,128): prompts of 512 tokens, answers of 128"
    )
    assert mix_sentence("chat/4") == (
        "synthetic prompts of the mix chat/4 (lengths as in Azure's conversations of 2023): prompts of 35 to 1,085 "
        "(median 255) tokens, answers of 11 to 157 (median 32)"
    )
    assert mix_sentence("") == ""
