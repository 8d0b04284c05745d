"""Text that a server sends twice counts once, and is no arrival."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from llmtui.wire.repeats import TextSoFar
from tests.odd.running import answer_of
from tests.odd.server import Reply, Request, chat_of, chunk, delta, odd, usage

WORDS = [f" w{n}" for n in range(12)]
TEXT = "".join(WORDS)
DELTAS = [delta(word) for word in WORDS]
SO_FAR = list(itertools.accumulate(WORDS))
STOP = delta(finish="stop")
MESSAGE: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}

SHAPES = {
    # abundantbeing/hermes-browser-extension#11
    "a message at the end": [*DELTAS, chunk(MESSAGE)],
    "a message with a delta": [*DELTAS, chunk(MESSAGE | {"delta": {}})],
    "a message behind the finish": [*DELTAS, STOP, chunk(MESSAGE)],
    # infiniflow/ragflow#15286: the whole answer as one more delta
    "one more delta": [*DELTAS, delta(TEXT), STOP],
    "one more delta with the finish": [*DELTAS, delta(TEXT, finish="stop")],
    # QwenLM/qwen-code#3279: each delta has all text so far
    "all so far": [*[delta(text) for text in SO_FAR], STOP],
    "all so far and once more": [*[delta(text) for text in SO_FAR], delta(TEXT, finish="stop")],
    "only messages": [*[chunk({"message": {"content": word}}) for word in WORDS], STOP],
    "text beside": [*[chunk({"delta": {"content": w}, "text": w}) for w in WORDS], STOP],
    "text beside empty deltas": [*[chunk({"delta": {}, "text": w}) for w in WORDS], STOP],
}


@pytest.mark.parametrize("events", SHAPES.values(), ids=SHAPES)
async def test_one_text(events: list[Any]) -> None:
    with odd(chat_of(*events, usage(len(WORDS)))) as server:
        answer = await answer_of(server.url)
    assert (answer.text, answer.events, answer.finish_reason) == (TEXT, len(WORDS), "stop")


@pytest.mark.parametrize("field", ["message", "response"])
async def test_ollama_repeats_the_answer_at_its_end(field: str) -> None:
    def line(text: str, **fields: Any) -> str:
        value = {"content": text} if field == "message" else text
        return json.dumps({"model": "m1", field: value, "done": False} | fields) + "\n"

    def chat(reply: Reply, request: Request) -> None:
        reply.head(content_type="application/x-ndjson")
        for word in WORDS:
            reply.send(line(word))
        reply.send(line(TEXT, done=True, done_reason="stop", eval_count=len(WORDS)))
        reply.end()

    with odd(chat) as server:
        answer = await answer_of(server.url, protocol="ollama")
    assert (answer.text, answer.events) == (TEXT, len(WORDS))


THINKING = {
    # MoonshotAI/kimi-code#3928: StepFun sends both
    "both": lambda w: {"reasoning": w, "reasoning_content": w},
    "details": lambda w: {"reasoning": w, "reasoning_details": [{"type": "reasoning.text", "text": w}]},
    "summary": lambda w: {"reasoning_details": [{"type": "reasoning.summary", "summary": w}]},
    "blocks": lambda w: {"reasoning_content": w, "thinking_blocks": [{"type": "thinking", "thinking": w}]},
    "parts": lambda w: {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": w}]}]},
    "thinking": lambda w: {"thinking": w, "content": None},
}


@pytest.mark.parametrize("fields", THINKING.values(), ids=THINKING)
async def test_thinking_counts_once(fields: Any) -> None:
    thoughts = [delta(**fields(word)) for word in WORDS]
    with odd(chat_of(*thoughts, *DELTAS, STOP, usage(24))) as server:
        answer = await answer_of(server.url)
    assert (answer.events, answer.text, answer.reasoning_events) == (24, TEXT, 12)
    assert answer.reasoning == TEXT


@pytest.mark.parametrize(
    "pieces",
    [
        ["ha", "haha", "hahaha", "hahahaha"],
        [" ", "  ", "    ", "        ", "            "],
        ["1", "10", "100", "1", "10", "100"],
        ["*", "**", "**", "bold"],
        ["na", " na", " na", " na", " na", " na"],
        ["the cat "] * 20,
        ["a", "an", "and", " so on"],
        ["ha", "ha", "haha"],
    ],
)
def test_models_may_repeat_themselves(pieces: list[str]) -> None:
    """agno-agi/agent-ui#151 and d-kuro/kirocc#112: clients that took repeated words for repeated text lost them."""
    so_far = TextSoFar()
    assert [so_far.new(piece, last=n == len(pieces) - 1) for n, piece in enumerate(pieces)] == pieces
    assert so_far.correction is None
