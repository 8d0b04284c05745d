"""Captured answers of real servers give the expected deltas, in pieces of any size."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtui.wire import Dialect, OllamaDialect, OpenAIDialect, WireError
from tests.examples import examples
from tests.wire.replay import bytewise, captured, carries_tokens, cut, fold, read, run

HI = "Hi, welcome to my chat!"
HELP = "I'm here to help with your creative writing endeavors. What brings you here today?"
CITY = ", the city of New Haven was a thriving metropolis, with"
NOVA = ", the city of Nova Haven was a thriving metropolis, with"
GGUF = "models/smollm2.q.ggu"
BF16 = "models/SmolLM2-135M-bf1@main"


def expected(
    text: str, events: int, finish: str, output: int | None, prompt: int | None, source: str | None, **more: Any
) -> dict[str, Any]:
    figures = {
        "finish_reason": finish,
        "output_tokens": output,
        "prompt_tokens": prompt,
        "token_source": source,
        **more,
    }
    return {"text": text, "reasoning": "", "events": events} | {k: v for k, v in figures.items() if v is not None}


OPENAI: dict[str, dict[str, Any]] = {
    # llama.cpp: timings alone on the finish event; or with the usage, after it.
    "llamacpp-xllamacpp/chat_stream": expected(
        HI, 7, "stop", 8, 36, "server", cached_tokens=0, prefill_s=0.208005, decode_s=0.083273, model=GGUF
    ),
    "llamacpp-xllamacpp/chat_stream_usage": expected(
        HI, 7, "stop", 8, 36, "usage", cached_tokens=35, prefill_s=0.011478, decode_s=0.080024, model=GGUF
    ),
    "llamacpp-xllamacpp/chat_stream_stop": expected(
        "The answer is 4.",
        6,
        "stop",
        7,
        43,
        "usage",
        cached_tokens=24,
        prefill_s=0.110423,
        decode_s=0.068459,
        model=GGUF,
    ),
    "llamacpp-xllamacpp/chat_stream_logprobs": expected(
        "Hi, welcome", 3, "length", 3, 36, "server", cached_tokens=24, prefill_s=0.072898, decode_s=0.02429, model=GGUF
    ),
    "llamacpp-xllamacpp/chat_nostream": expected(
        HI, 1, "stop", 8, 36, "usage", cached_tokens=35, prefill_s=0.011123, decode_s=0.079173, model=GGUF
    ),
    "llamacpp-xllamacpp/completion_stream": expected(
        CITY, 12, "length", 12, 4, "usage", cached_tokens=0, prefill_s=0.028066, decode_s=0.123264, model=GGUF
    ),
    "llamacpp-xllamacpp/completion_stream_usage": expected(
        CITY, 12, "length", 12, 4, "usage", cached_tokens=3, prefill_s=0.010857, decode_s=0.121072, model=GGUF
    ),
    "llamacpp-xllamacpp/completion_nostream": expected(
        CITY, 1, "length", 12, 4, "usage", cached_tokens=3, prefill_s=0.010562, decode_s=0.117549, model=GGUF
    ),
    # llama-cpp-python: no usage in a stream, even when asked.
    "llama-cpp-python/chat_stream": expected("Hi, welcome to my blog!", 7, "stop", None, None, None, model="smollm2"),
    "llama-cpp-python/chat_stream_usage": expected(
        "Hi, welcome to my blog!", 7, "stop", None, None, None, model="smollm2"
    ),
    "llama-cpp-python/chat_stream_stop": expected("The answer is 4.", 6, "stop", None, None, None, model="smollm2"),
    "llama-cpp-python/chat_nostream": expected("Hi, welcome to my blog!", 1, "stop", 7, 36, "usage", model="smollm2"),
    "llama-cpp-python/completion_stream": expected(
        ", the city of Nova Haven was a thriving metropolis with towering",
        12,
        "length",
        None,
        None,
        None,
        model="smollm2",
    ),
    # transformers serve: usage in the finish event whatever was asked, never a [DONE].
    "transformers-serve/chat_stream": expected(HI, 7, "stop", 8, 36, "usage", model=BF16),
    "transformers-serve/chat_stream_usage": expected(HI, 7, "stop", 8, 36, "usage", model=BF16),
    "transformers-serve/chat_stream_stop": expected("The answer is 4.", 6, "stop", 7, 43, "usage", model=BF16),
    "transformers-serve/chat_nostream": expected(HI, 1, "stop", 8, 36, "usage", model=BF16),
    "transformers-serve/completion_stream": expected(NOVA, 12, "length", 12, 4, "usage", model=BF16),
    # vLLM: role with empty content, usage after the finish with `choices: []`.
    "vllm-cpu/chat_stream": expected("Hello, welcome to my world!", 7, "stop", None, None, None, model="smollm2"),
    "vllm-cpu/chat_stream_usage": expected("Hello, welcome to my world!", 7, "stop", 8, 36, "usage", model="smollm2"),
    "vllm-cpu/chat_stream_stop": expected("The answer is 4.", 6, "stop", 7, 43, "usage", model="smollm2"),
    "vllm-cpu/chat_nostream": expected("Hello, welcome to my world!", 1, "stop", 8, 36, "usage", model="smollm2"),
    "vllm-cpu/completion_stream_usage": expected(NOVA, 12, "length", 12, 4, "usage", model="smollm2"),
    # Ollama's /v1: finish, usage and [DONE] in one piece.
    "ollama/v1_chat_stream": expected(HELP, 17, "stop", None, None, None, model="smollm2"),
    "ollama/v1_chat_stream_usage": expected(HELP, 17, "stop", 18, 15, "usage", model="smollm2"),
    "ollama/v1_chat_nostream": expected(HELP, 1, "stop", 18, 15, "usage", model="smollm2"),
}

OLLAMA: dict[str, dict[str, Any]] = {
    "ollama/chat_stream": expected(
        HELP, 17, "stop", 18, 15, "server", prefill_s=0.018537, decode_s=0.295917, load_s=0.009496407, model="smollm2"
    ),
    "ollama/chat_stream_cold": expected(
        HELP, 17, "stop", 18, 15, "server", prefill_s=0.304247, decode_s=1.291699, load_s=0.800128667, model="smollm2"
    ),
    "ollama/chat_stream_stop_eos": expected(
        HELP, 17, "stop", 18, 15, "server", prefill_s=0.008999, decode_s=0.312285, load_s=0.000632351, model="smollm2"
    ),
    "ollama/chat_nostream": expected(
        HELP, 1, "stop", 18, 15, "server", prefill_s=0.008529, decode_s=0.28402, load_s=0.000633873, model="smollm2"
    ),
    "ollama/generate_nostream_warm": expected(
        HELP, 1, "stop", 18, 15, "server", prefill_s=0.040533, decode_s=0.913114, load_s=0.000575897, model="smollm2"
    ),
    # The same long prompt twice: the count stays, the duration shows the cache hit.
    "ollama/chat_long_1": expected(
        "The number 59 is a special number that is the sum of its own square.",
        18,
        "stop",
        19,
        1034,
        "server",
        prefill_s=0.170879,
        decode_s=0.711999,
        load_s=0.003899511,
        model="smollm2",
    ),
    "ollama/chat_long_2_same": expected(
        "The number 59 is a special number that is the sum of 59 and 1.",
        21,
        "stop",
        22,
        1034,
        "server",
        prefill_s=0.013001,
        decode_s=0.261845,
        load_s=0.000687233,
        model="smollm2",
    ),
}

CASES: list[tuple[str, Dialect, dict[str, Any]]] = [
    *((name, OpenAIDialect(), expected) for name, expected in OPENAI.items()),
    *((name, OllamaDialect(), expected) for name, expected in OLLAMA.items()),
]
IDS = [name for name, _, _ in CASES]


@pytest.mark.parametrize(("name", "dialect", "expected"), CASES, ids=IDS)
def test_captured_answer(name: str, dialect: Dialect, expected: dict[str, Any]) -> None:
    assert read(dialect, name) == expected


@pytest.mark.parametrize(("name", "dialect", "expected"), CASES, ids=IDS)
def test_byte_by_byte(name: str, dialect: Dialect, expected: dict[str, Any]) -> None:
    response = captured(name)
    parser = dialect.parser(response.content_type)
    assert fold(run(parser, bytewise(response.body))) == expected


@pytest.mark.parametrize(("name", "dialect", "expected"), CASES, ids=IDS)
def test_line_ends(name: str, dialect: Dialect, expected: dict[str, Any]) -> None:
    response = captured(name)
    crlf = response.body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert fold(run(dialect.parser(response.content_type), [crlf])) == expected


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(CASES), st.lists(st.integers(0, 1_000_000), max_size=20))
def test_random_cuts(case: tuple[str, Dialect, dict[str, Any]], at: list[int]) -> None:
    name, dialect, expected = case
    response = captured(name)
    assert fold(run(dialect.parser(response.content_type), cut(response.body, at))) == expected


def test_long_answer_of_many_tokens() -> None:
    answer = read(OllamaDialect(), "ollama/generate_stream_300tok")
    assert answer["text"].startswith("The story of a sea captain is a tale of adventure, honor")
    assert (answer["events"], answer["output_tokens"], answer["finish_reason"]) == (300, 300, "length")
    answer = read(OpenAIDialect(), "transformers-serve/server_killed_midstream_SIGTERM")
    assert answer["text"].startswith("The sea was a vast and mysterious realm")
    assert (answer["events"], answer["output_tokens"], answer["finish_reason"]) == (400, 400, "length")


@pytest.mark.parametrize("feed", [lambda b: [b], bytewise], ids=["whole", "bytewise"])
def test_crashed_vllm_reports_an_error_before_done(feed: Any) -> None:
    response = captured("vllm-cpu/engine_child_killed_midstream")
    assert response.status == 200 and response.body.rstrip().endswith(b"[DONE]")
    with pytest.raises(WireError, match="EngineCore encountered an issue") as caught:
        run(OpenAIDialect().parser(response.content_type), feed(response.body))
    assert caught.value.kind == "server"


def test_crashed_ollama_runner_reports_an_error_line() -> None:
    response = captured("ollama/runner_killed_midstream_chat")
    with pytest.raises(WireError, match="unexpected EOF") as caught:
        run(OllamaDialect().parser(response.content_type), [response.body])
    assert caught.value.kind == "server"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ollama/runner_killed_midstream_v1_chat", "In the 19th"),
        ("llamacpp-xllamacpp/server_killed_midstream_SIGKILL", "The sea was a mysterious"),
        ("llamacpp-xllamacpp/server_killed_midstream_SIGTERM", "The sea was a mysterious and"),
    ],
)
def test_openai_stream_that_stops_early_has_no_finish_reason(name: str, text: str) -> None:
    answer = read(OpenAIDialect(), name)
    assert answer["text"].startswith(text)
    assert OpenAIDialect.requires_finish and "finish_reason" not in answer


def test_ollama_stream_that_stops_early_has_no_finish_reason() -> None:
    response = captured("ollama/server_sigterm_midstream")
    answer = read(OllamaDialect(), "ollama/server_sigterm_midstream")
    assert not response.complete
    assert answer["events"] == 11 and "finish_reason" not in answer


def test_empty_stream_has_no_deltas() -> None:
    response = captured("llama-cpp-python/err_prompt_too_long_stream")
    assert (response.status, response.body) == (200, b"")
    assert run(OpenAIDialect().parser(response.content_type), [b""]) == []


def test_role_and_first_token_in_one_piece_are_one_delta_with_text() -> None:
    response = captured("llamacpp-xllamacpp/chat_stream")
    first = response.body.index(b'"Hi"')
    end = response.body.index(b"\n\n", first) + 2
    deltas = OpenAIDialect().parser(response.content_type).feed(response.body[:end])
    assert [d.text for d in deltas if carries_tokens(d)] == ["Hi"]
    assert not carries_tokens(deltas[0])
