"""The rules of token counts and of streaming, at their borders; rates never exceed what arrived."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.measure.answer import Answer
from llmtui.measure.counts import doubt_of, most_tokens, token_count
from llmtui.measure.figures import figures
from llmtui.model import pieces
from llmtui.wire.base import Delta

MS = 1_000_000


def streamed(*deltas: Delta, first_ms: float = 100, gap_ms: float = 20, **fields: Any) -> Answer:
    """An answer whose deltas arrive one by one; those without output come with the last one before."""
    answer = Answer(**fields)
    at_ns = round(first_ms * MS)
    for delta in deltas:
        answer.add([delta], at_ns)
        if delta.text or delta.reasoning or delta.tool:
            at_ns += round(gap_ms * MS)
    answer.end_ns = at_ns
    return answer


def words(count: int) -> list[Delta]:
    return [Delta(text=f" w{n}") for n in range(count)]


def thoughts(count: int, text: str = " hm") -> list[Delta]:
    return [Delta(reasoning=text)] * count


def end(tokens: int | None = None, reasoning: int | None = None, finish: str = "stop") -> Delta:
    return Delta(finish_reason=finish, output_tokens=tokens, reasoning_tokens=reasoning, token_source="usage")


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("", 0),
        ("word", 2),
        ("The quick brown fox", 6),
        ("a b c", 3),
        (" w0", 2),
        ("2024", 4),
        (" 7", 2),
        ("x = [1, 2]", 10),
        ("    return\n\n", 8),
        ("one\ntwo", 3),
        ("日本", 6),
        ("né", 3),
    ],
)
def test_most_tokens_of_a_text(text: str, most: int) -> None:
    assert most_tokens(text) == most


@pytest.mark.parametrize(
    ("deltas", "last", "hidden"),
    [
        pytest.param(words(20), end(320, 300), 300, id="silent"),
        pytest.param(words(20), end(20, 300), 300, id="silent, counted beside the answer"),
        pytest.param([*thoughts(300), *words(20)], end(320, 300), 0, id="all sent"),
        pytest.param([*thoughts(60, " a few of them at once"), *words(20)], end(320, 300), 0, id="all sent, merged"),
        pytest.param([*thoughts(5, " the user greets"), *words(20)], end(320, 300), 295, id="a summary"),
        pytest.param(words(320), end(320, 300), 0, id="sent as text"),
        pytest.param([Delta(text="<think>"), *words(319)], end(320, 300), 0, id="sent as text with a mark"),
        pytest.param(words(20), end(20, 20), 0, id="all called thinking"),
        pytest.param(words(20), end(320, None), 300, id="not told"),
    ],
)
def test_hidden_tokens(deltas: list[Delta], last: Delta, hidden: int) -> None:
    answer = streamed(*deltas, last)
    numbers = figures(answer)
    assert numbers.hidden_tokens == hidden
    assert (numbers.tokens_per_s is None) is (hidden > 0)
    assert ("hidden tokens" in doubt_of(answer)) is (hidden > 0)
    assert numbers.ttft_s == 0.1


PROSE = "The quick brown fox jumps over the lazy dog, and then it sleeps in the sun until the evening. Nobody minds it."


def test_several_tokens_per_event_need_text_for_them() -> None:
    """vLLM's stream interval and speculative decoding send more text per event; silent thinking does not."""
    cut = [Delta(text=PROSE[at : at + 5]) for at in range(0, len(PROSE), 5)]
    assert figures(streamed(*cut, end(28))).tokens_per_s == pytest.approx(28 / len(cut) * 50, rel=0.1)
    silent = figures(streamed(*cut, end(120)))
    assert (silent.hidden_tokens, silent.tokens_per_s) == (120 - len(cut), None)
    merged = figures(streamed(*[Delta(text=PROSE)] * 6, end(6 * 28)))
    assert merged.hidden_tokens == 0 and merged.tokens_per_s == pytest.approx(28 * 50)


def test_a_few_silent_tokens_of_thinking_are_left_out_of_the_rate() -> None:
    numbers = figures(streamed(*words(20), end(28, 8)))
    assert (numbers.output_tokens, numbers.hidden_tokens) == (28, 0)
    assert numbers.tokens_per_s == pytest.approx(50)


@pytest.mark.parametrize(
    ("reported", "source", "tokens"),
    [
        (0, "arrivals", 20),
        (18, "arrivals", 20),
        (19, "usage", 19),
        (20, "usage", 20),
        (21, "usage", 21),
        # 20 events " w0" have room for 50 tokens, and 16 more may be marks.
        (66, "usage", 66),
        (67, "arrivals", 20),
    ],
)
def test_borders_of_the_count(reported: int, source: str, tokens: int) -> None:
    count = token_count(streamed(*words(20), end(reported)))
    assert (count.tokens, count.source) == (tokens, source)


def test_tool_calls_may_have_more_events_than_tokens() -> None:
    answer = streamed(Delta(tool="get_weather"), *[Delta(tool="x")] * 9, end(7, finish="tool_calls"))
    assert token_count(answer).tokens == 7


def test_a_document_counts_only_what_it_shows() -> None:
    told = Answer(streamed=False, end_ns=MS)
    told.add([Delta(text="a few words of text", output_tokens=306, reasoning_tokens=300)], MS)
    assert (figures(told).output_tokens, figures(told).hidden_tokens) == (6, 300)
    silent = Answer(streamed=False, end_ns=MS)
    silent.add([Delta(text="a few words of text", output_tokens=306)], MS)
    assert (figures(silent).output_tokens, figures(silent).hidden_tokens) == (None, 305)
    zeros = Answer(streamed=False, end_ns=MS)
    zeros.add([Delta(text="a few words of text", output_tokens=0)], MS)
    assert figures(zeros).output_tokens is None


def test_the_whole_answer_told_again_is_no_arrival() -> None:
    answer = streamed(*words(20), Delta(text="".join(d.text for d in words(20)), replaces=True), end(20))
    assert (answer.events, len(answer.arrivals_ns), answer.text.count("w7")) == (20, 20, 1)
    alone = Answer()
    alone.add([Delta(text="all of it", replaces=True)], MS)
    assert (alone.text, alone.events) == ("all of it", 1)


# --- Streamed or not ---


def timed(times_ms: list[float], tokens: list[int] | None = None, reported: int | None = None) -> Answer:
    """An answer with these arrivals, three bytes per event."""
    counts = tokens or [1] * len(times_ms)
    return Answer(
        arrivals_ns=[round(ms * MS) for ms in times_ms],
        arrival_tokens=counts,
        arrival_bytes=[3 * n for n in counts],
        output_tokens=sum(counts) if reported is None else reported,
        finish_reason="length",
    )


def evenly(first_ms: float, count: int, per_s: float) -> list[float]:
    return [first_ms + 1000 * n / per_s for n in range(count)]


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        pytest.param(timed(evenly(20, 64, 5_000)), False, id="a fast engine"),
        pytest.param(timed(evenly(2, 64, 2_000)), False, id="a cached prompt"),
        pytest.param(timed(evenly(10_000, 16, 100)), False, id="a long prompt"),
        pytest.param(timed(evenly(300, 12, 3_000)), False, id="a fast engine far away"),
        pytest.param(timed(evenly(150, 64, 17_000)), False, id="a chip of its own"),
        pytest.param(timed(evenly(3, 64, 50_000)), False, id="too soon to tell"),
        pytest.param(timed(evenly(1_300, 64, 50_000)), True, id="sent event by event"),
        pytest.param(timed([1_300, 1_300.1], [40, 24]), True, id="read twice"),
        pytest.param(timed([1_300], [64]), True, id="one arrival"),
        pytest.param(timed([404, 409], [1, 11]), True, id="a pause of the machine"),
        pytest.param(timed([1_300], [1], 64), False, id="one event of a token with a lie"),
        pytest.param(timed([1_300], [1], 2), False, id="one token and the end"),
        pytest.param(timed([1_300], [3]), False, id="three tokens"),
        pytest.param(timed([1_300, 1_300.05, 1_300.1, 1_306, *evenly(1_306, 60, 50_000)]), True, id="interrupted"),
        pytest.param(timed([700, 1_300], [32, 32]), False, id="two pieces"),
    ],
)
def test_one_piece(answer: Answer, whole: bool) -> None:
    assert (figures(answer).ttft_s is None) is whole


def test_a_single_event_with_many_tokens_is_one_piece() -> None:
    answer = Answer(end_ns=900 * MS)
    answer.add([Delta(text="a few words of ordinary text", output_tokens=6)], 900 * MS)
    assert figures(answer).ttft_s is None and figures(answer).latency_s == 0.9


@pytest.mark.parametrize(
    ("times", "starts"),
    [
        ([], []),
        ([5], [0]),
        ([0, 100, 200, 300], [0, 1, 2, 3]),
        ([0, 100, 200, 10_200], [0, 1, 2, 3]),  # a pause
        ([0, 0.03, 500, 500.04, 500.06, 1_000, 1_000.03], [0, 2, 5]),
        ([0, 500, 500.04, 1_000], [0, 1, 3]),
        (evenly(20, 64, 10_000), list(range(64))),
    ],
)
def test_pieces(times: list[float], starts: list[int]) -> None:
    assert pieces([round(ms * MS) for ms in times]) == starts


def test_three_pieces_have_no_rate_and_four_have() -> None:
    three = timed([17_500, 34_000, 50_500], [65, 65, 65])
    assert (figures(three).tokens_per_s, figures(three).itl_s) == (None, None)
    four = timed([17_500, 34_000, 50_500, 50_500.03, 67_000], [65, 65, 40, 25, 65])
    assert figures(four).tokens_per_s == pytest.approx(195 / 49.5)
    assert figures(four).itl_s == pytest.approx(16.5)


_TEXTS = st.sampled_from([" word", "a", " 12", "日", "\n", " several words at once", "", "\u200b"])


@given(
    st.lists(st.tuples(_TEXTS, st.integers(0, 10**9), st.booleans()), min_size=1, max_size=40),
    st.none() | st.integers(0, 10_000),
    st.none() | st.integers(0, 10_000),
    st.none() | st.integers(1, 64),
    st.sampled_from(["stop", "length"]),
)
def test_no_rate_is_above_what_arrived(
    events: list[tuple[str, int, bool]], reported: int | None, thought: int | None, asked: int | None, finish: str
) -> None:
    answer = Answer(max_tokens=asked, sent_bytes=100)
    at_ns = 1
    for text, gap_ns, thinks in events:
        at_ns += gap_ns
        answer.add([Delta(reasoning=text) if thinks else Delta(text=text)], at_ns)
    if not answer.events:
        return
    answer.add([end(reported, thought, finish)], at_ns)
    numbers = figures(answer)
    doubt_of(answer)
    if numbers.tokens_per_s is None:
        assert numbers.tpot_s is None
        return
    span_s = (answer.arrivals_ns[-1] - answer.arrivals_ns[0]) / 1e9
    room = max(answer.events, most_tokens(answer.text) + most_tokens(answer.reasoning) + 1)
    assert 0 < numbers.tokens_per_s * span_s <= room
    assert asked is None or numbers.tokens_per_s * span_s <= asked
    assert len(answer.arrivals_ns) >= 4 and not numbers.hidden_tokens


@pytest.mark.parametrize(
    ("events", "finish", "asked", "counted"),
    [
        (64, "length", 64, (64, "limit")),
        (58, "max_tokens", 64, (64, "limit")),  # several events were parts of a character
        (57, "length", 64, (57, "arrivals")),  # something else ended it, such as a full context
        (65, "length", 64, (65, "arrivals")),
        (64, "stop", 64, (64, "arrivals")),
        (64, "length", None, (64, "arrivals")),
    ],
)
def test_an_answer_without_usage_that_its_limit_ended_has_the_tokens_of_the_limit(
    events: int, finish: str, asked: int | None, counted: tuple[int, str]
) -> None:
    answer = streamed(*words(events), Delta(finish_reason=finish), max_tokens=asked)
    numbers = figures(answer)
    assert (numbers.output_tokens, numbers.token_source) == counted
    # Each event but the first took 20 ms.
    rate = 50 * (counted[0] - 1) / (events - 1) if events <= (asked or events) else None
    assert numbers.tokens_per_s == (rate and pytest.approx(rate))
    assert doubt_of(answer) == ""
