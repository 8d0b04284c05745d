"""Only an answer that its server calls complete is a sample."""

from __future__ import annotations

import time
from typing import Any

import pytest

from llmtui.measure.counts import token_count
from llmtui.measure.request import IterationError
from llmtui.stats.checks.evidence import Evidence
from llmtui.wire.base import CHECK_SERVER
from tests import build
from tests.odd.running import answer_of
from tests.odd.server import TOKENS, Reply, Request, chat_of, chunk, delta, odd, usage

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
    with odd(chat) as server, pytest.raises(IterationError) as caught:
        await answer_of(server.url)
    failure = caught.value.failure
    assert failure.message == f"the server ended the answer with '{word}'"
    assert failure.hint == ("its content filter refused it; change the prompt" if "filter" in word else CHECK_SERVER)


@pytest.mark.parametrize(
    ("word", "ending"),
    [("FINISH_REASON_STOP", "stop"), ("eos_token", "stop"), ("MAX_TOKENS", "length"), ("max-output-tokens", "length")],
)
async def test_checks_read_the_words_of_success_too(word: str, ending: str) -> None:
    """huggingface/text-generation-inference#2344: "eos_token" for "stop"."""
    with odd(chat_of(*TEXT, delta(finish=word), usage(TOKENS + 1))) as server:
        answer = await answer_of(server.url)
    evidence = Evidence([build.iteration(finish_reason=answer.finish_reason)])
    assert evidence.reasons == {ending: 1}
    # The end-of-sequence token is counted, and never arrives.
    assert token_count(answer).arrived == (TOKENS if ending == "stop" else TOKENS + 1)


@pytest.mark.parametrize("tail", ['data: {"id": "c1", "cho', "data: [1, 2", '{"id"', "garbage", "data: [DO", "data"])
@pytest.mark.parametrize("finished", [True, False])
async def test_an_event_that_is_cut_off(tail: str, finished: bool) -> None:
    """sudoprivacy/sudocode#576: a proxy cuts the last event. baiye-banned/Agent_about_answer#134: one of the text."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        for event in [*TEXT, delta(finish="stop"), usage(TOKENS)] if finished else TEXT:
            reply.event(event)
        reply.send(tail)
        reply.end()

    with odd(chat) as server:
        if finished:
            assert (await answer_of(server.url)).output_tokens == TOKENS
        else:
            with pytest.raises(IterationError, match=r"in the middle of an event|no finish reason") as caught:
                await answer_of(server.url)
            assert caught.value.failure.hint == CHECK_SERVER


async def test_an_event_that_is_cut_off_where_every_event_has_a_finish_reason() -> None:
    """lhenault/simpleAI#39: "stop" in each chunk."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        for number in range(TOKENS):
            reply.event(delta(f" w{number}", finish="stop"))
            time.sleep(0.002)
        reply.send('data: {"choices": [{"delta": {"cont')
        reply.end()

    with odd(chat) as server, pytest.raises(IterationError, match="in the middle of an event"):
        await answer_of(server.url)


async def test_an_error_after_the_finish_reason_counts_and_after_done_does_not() -> None:
    error = {"error": {"message": "boom"}}
    with odd(chat_of(*TEXT, delta(finish="stop"), error)) as server, pytest.raises(IterationError, match="boom"):
        await answer_of(server.url)
    with odd(chat_of(*TEXT, delta(finish="stop"), usage(TOKENS), "[DONE]", error)) as server:
        assert (await answer_of(server.url)).output_tokens == TOKENS


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
