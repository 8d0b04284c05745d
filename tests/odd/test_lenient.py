"""JSON and counts that most clients can read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.odd.running import answer_of, figures_of
from tests.odd.server import TOKENS, chat_of, chunk, delta, odd, usage

TEXT = [delta(f" w{n}") for n in range(TOKENS)]
STOP = delta(finish="stop")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (r'"\ud83d"', "\ufffd"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ('"a\tb"', "a\tb"),
        ("5", "5"),
        ('[{"type":"text","text":"x"},"y"]', "xy"),
        ('"a","logprobs":-Infinity', "a"),
        ('"a","x":1e999,"y":123456789012345678901234567890', "a"),
    ],
)
async def test_content_that_strict_parsers_refuse(content: str, text: str) -> None:
    """infiniflow/ragflow#15266 and sgl-project/sglang#20323: NaN and Infinity."""
    event = '{"choices":[{"index":0,"delta":{"content":#}}]}'.replace("#", content)
    with odd(chat_of(*TEXT, event, STOP, usage(TOKENS + 1))) as server:
        answer = await answer_of(server.url)
    assert answer.events == TOKENS + 1 and answer.text.endswith(text)


async def test_invalid_utf8_is_replaced() -> None:
    def chat(reply: Any, request: Any) -> None:
        reply.head()
        reply.stream()
        reply.send(b'data: {"choices":[{"delta":{"content":"\xff\xfe"}}]}\n\n')
        reply.finish(TOKENS + 1)

    with odd(chat) as server:
        assert (await answer_of(server.url)).text.endswith("w11\ufffd\ufffd")


ODD_FIELDS = [
    {"choices": None},
    {"choices": {}},
    {"choices": [None, 5, "x", []]},
    {"choices": [{"delta": None, "message": None, "finish_reason": None}]},
    {"choices": [{"delta": "x", "message": 5, "finish_reason": 7}]},
    {"choices": [{"delta": {"content": True, "tool_calls": {}, "reasoning": 0, "audio": []}}]},
    {"choices": [], "usage": "x", "timings": [], "model": {}, "x_groq": 5},
]


@pytest.mark.parametrize("fields", ODD_FIELDS)
async def test_fields_of_other_types_are_ignored(fields: dict[str, Any]) -> None:
    with odd(chat_of(fields, *TEXT, fields, STOP, usage(TOKENS), fields)) as server:
        assert (await answer_of(server.url)).output_tokens == TOKENS


@pytest.mark.parametrize(
    ("fields", "cached", "prompt", "thought"),
    [
        ({"prompt_cache_hit_tokens": 12}, 12, 20, None),
        ({"prompt_tokens_details": {"cached_tokens": "12"}}, 12, 20, None),
        ({"cache_read_input_tokens": 12, "cache_creation_input_tokens": 3}, 12, 20, None),
        ({"cache_read_input_tokens": 50, "cache_creation_input_tokens": 3}, 50, 73, None),
        ({"cached_tokens": 12, "prompt_tokens_details": None}, 12, 20, None),
        ({"completion_tokens_details": {"reasoning_tokens": 4}}, None, 20, 4),
        ({"reasoning_tokens": 4}, None, 20, 4),
        ({"prompt_tokens": None, "input_tokens": 30, "input_tokens_details": {"cached_tokens": 5}}, 5, 30, None),
        ({"prompt_tokens": None, "input_tokens": 30, "cache_read_input_tokens": 5}, 5, 35, None),
        ({"cached_tokens": float("nan")}, None, 20, None),
    ],
)
async def test_counts_of_many_servers(
    fields: dict[str, Any], cached: int | None, prompt: int | None, thought: int | None
) -> None:
    with odd(chat_of(*TEXT, STOP, usage(TOKENS, **fields))) as server:
        answer = await answer_of(server.url)
    assert (answer.cached_tokens, answer.prompt_tokens, answer.reasoning_tokens) == (cached, prompt, thought)
    assert answer.output_tokens == TOKENS


async def test_usage_in_a_choice_and_names_of_the_other_api() -> None:
    """earendil-works/pi#2017: Moonshot's usage is in the last choice."""
    counts = {"output_tokens": str(TOKENS), "input_tokens": 20}
    last = chunk({"delta": {}, "finish_reason": "stop", "usage": counts})
    with odd(chat_of(*TEXT, last)) as server:
        answer, figures = await figures_of(server.url)
    assert (figures.output_tokens, answer.token_source, answer.prompt_tokens) == (TOKENS, "usage", 20)
