"""Only an answer that its server calls complete is a sample."""

from __future__ import annotations

from typing import Any

import pytest

from tests.odd.running import answer_of
from tests.odd.server import TOKENS, chat_of, chunk, delta, odd, usage

TEXT = [delta(f" w{n}") for n in range(TOKENS)]


@pytest.mark.parametrize(
    "word", ["stop", "eos", "eos_token", "STOP", "tool-calls", "FINISH_REASON_MAX_TOKENS", "length"]
)
async def test_words_of_success(word: str) -> None:
    """vibrantlabsai/ragas#1548: Together's "eos". dstackai/dstack#2229: TGI's "eos_token"."""
    with odd(chat_of(*TEXT, delta(finish=word), usage(TOKENS))) as server:
        assert (await answer_of(server.url)).finish_reason == word


@pytest.mark.parametrize(
    "word", ["abort", "error", "cancelled", "content_filter", "timeout", "network_error", "whatever"]
)
async def test_words_of_failure(word: str) -> None:
    """vllm-project/vllm#57082: "abort" and then [DONE]. spiceai/spiceai#12596: "content_filter"."""
    chat = chat_of(*TEXT, delta(finish=word), usage(TOKENS))
    with odd(chat) as server, pytest.raises(Exception, match=f"the server ended the answer with '{word}'"):
        await answer_of(server.url)


@pytest.mark.parametrize("word", ["", "null", "None"])
async def test_words_of_an_answer_that_goes_on(word: str) -> None:
    """sgl-project/sglang#3912: "" in each chunk. Ai00-X/ai00_server#90: "null" as a string."""
    texts = [delta(f" w{n}", finish=word) for n in range(TOKENS)]
    with odd(chat_of(*texts, delta(finish="stop"), usage(TOKENS))) as server:
        assert (await answer_of(server.url)).finish_reason == "stop"
    with odd(chat_of(*texts, usage(TOKENS))) as server, pytest.raises(Exception, match="no finish reason"):
        await answer_of(server.url)


async def test_text_after_the_only_finish_reason() -> None:
    """open-webui/open-webui#23921: "stop" in the first chunk, and then the answer."""
    first = delta("", finish="stop")
    with (
        odd(chat_of(first, *TEXT, usage(TOKENS))) as server,
        pytest.raises(Exception, match="no finish reason after 12 tokens"),
    ):
        await answer_of(server.url)
    with odd(chat_of(first, *TEXT, delta(finish="stop"), usage(TOKENS))) as server:
        assert (await answer_of(server.url)).events == TOKENS


ERRORS = {
    "in a choice": chunk({"delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "boom"}}),
    "beside choices": chunk({"delta": {"content": ""}, "finish_reason": "error"}, error={"message": "boom", "code": 1}),
    "in a message": chunk({"message": {"error": {"message": "boom"}}}),
    "vLLM": {"object": "error", "message": "boom", "type": "BadRequestError", "code": 400},
    "status": {"status": 500, "message": "boom"},
    "words": {"detail": "boom"},
    "Groq": chunk(x_groq={"error": "boom"}),
    "text": "boom",
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
async def test_errors_have_their_sentence(error: Any) -> None:
    """genkit-ai/genkit#6259 and damianvtran/local-operator#223: OpenRouter's errors in the middle of a stream."""
    with odd(chat_of(*TEXT, error)) as server, pytest.raises(Exception, match="boom"):
        await answer_of(server.url)


NO_ERRORS: list[Any] = [
    {},
    "",
    None,
    {"message": "", "type": "", "code": 0},
    [],
    "null",
    {"code": None, "metadata": {"raw": ""}},
]


@pytest.mark.parametrize("empty", NO_ERRORS)
async def test_an_empty_error_is_none(empty: Any) -> None:
    events = [value | {"error": empty} for value in [*TEXT, delta(finish="stop")]]
    with odd(chat_of(*events, usage(TOKENS))) as server:
        assert (await answer_of(server.url)).events == TOKENS


STATUS = {
    "comment in data": ": OPENROUTER PROCESSING",  # mnfst/llm-gateway#2053, anomalyco/opencode#50871
    "empty string": '""',  # caozhiyuan/copilot-api#88
    "number": "1732790000",
    "null": "null",
    "object": {"type": "status", "message": "queued, position 3"},
    "loading": {"status": "loading"},
    "empty": {},
    "list": "[]",
}


@pytest.mark.parametrize("status", STATUS.values(), ids=STATUS)
async def test_status_events_are_ignored(status: Any) -> None:
    with odd(chat_of(status, *TEXT, status, delta(finish="stop"), usage(TOKENS), status)) as server:
        answer = await answer_of(server.url)
    assert (answer.events, answer.output_tokens) == (TOKENS, TOKENS)
