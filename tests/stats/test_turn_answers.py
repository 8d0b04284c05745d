"""The answers of a turn: their work is compared, whatever the order in which they end."""

from __future__ import annotations

from llmtui.stats.turn_answers import Answers, events_per_piece, tokens_per_arrival
from tests import build


def answers(*fields: dict[str, object]) -> dict[str, object]:
    made = Answers()
    for of in fields:
        made.add(build.answered(**of))  # type: ignore[arg-type]
    return made.figures()


def test_the_text_is_of_the_first_request_and_not_of_the_first_answer() -> None:
    of = answers({"request": 18, "text": "b"}, {"request": 17, "text": "a"}, {"request": 19, "text": "c"})
    assert (of["text"], of["text_of"]) == ("a", 17)
    assert answers({"request": 17, "text": ""}, {"request": 18, "text": "b"})["text_of"] == 18


def test_means_show_what_medians_hide() -> None:
    of = answers({"output_tokens": 64}, {"output_tokens": 64, "cached_tokens": 30}, {"output_tokens": 4})
    assert (of["output_tokens_mean"], of["cached_tokens_mean"]) == (44.0, 30.0)
    assert answers()["output_tokens_mean"] is None


def test_answers_that_ended_early_are_counted() -> None:
    of = answers({"finish_reason": "stop"}, {"finish_reason": "length"}, {"finish_reason": "length"})
    assert (of["ended_early"], of["finish_reason"]) == (1, "length")


def test_tokens_per_arrival_and_events_per_piece() -> None:
    four = build.answered(output_tokens=8, arrivals_ns=[10**7, 2 * 10**7], arrival_tokens=[4, 4])
    assert tokens_per_arrival(four) == 4.0 and events_per_piece(four) is None
    streamed = build.answered(output_tokens=8, ttft_s=0.01, arrivals_ns=[10**7, 2 * 10**7], arrival_tokens=[4, 4])
    assert events_per_piece(streamed) == 4.0
    assert tokens_per_arrival(build.answered(output_tokens=8)) is None
