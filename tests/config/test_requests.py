"""What a config adds to the requests: refused by name where the figures would be untrue, else sent as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llmtui.config.schema import Config, ConfigError, parse

URL = 'url = "http://127.0.0.1:1"\n'


def read(lines: str) -> Config:
    return parse(f'[[backend]]\nname = "a"\n{lines}\n', source="c.toml", folder=Path("/configs"), environ={})


def refusal(lines: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(lines)
    return re.sub(r"^c\.toml:\d+: backend 1 \('a'\): ", "", str(caught.value))


ANSWERS = " makes several answers of one request, and the figures would be of all of them together; remove it"
ECHO = " repeats the prompt in the answer, and its text would be measured as if it were generated; remove it"
PROMPT = " is set by llmtui and cannot be changed here; set prompt in [run]"


@pytest.mark.parametrize(
    ("protocol", "options", "message"),
    [
        # langchain-ai/langchain issue 26719, BerriAI/litellm issue 3276: a stream mixes the choices.
        ("openai", "n = 2", "n = 2" + ANSWERS),
        ("openai", "n = '2'", "n = '2'" + ANSWERS),
        ("openai", "n = 0", "n = 0" + ANSWERS),
        ("openai", "N = 3", "N = 3" + ANSWERS),
        # vllm-project/vllm issue 9561: its own benchmark cannot measure best_of.
        ("openai", "best_of = 4", "best_of = 4" + ANSWERS),
        ("tgi", "best_of = 2", "best_of = 2" + ANSWERS),
        ("openai", "use_beam_search = true", "use_beam_search = true" + ANSWERS),
        ("openai", "echo = true", "echo = true" + ECHO),
        ("tgi", "return_full_text = true", "return_full_text = true" + ECHO),
        ("openai", "messages = []", "'messages'" + PROMPT),
        ("openai", "Prompt = 'hi'", "'Prompt'" + PROMPT),
        ("tgi", "inputs = 'hi'", "'inputs'" + PROMPT),
        ("openai", "model = 'b'", "'model' is set by llmtui and cannot be changed here; set model in [[backend]]"),
        ("openai", "stream = false", "'stream' is set by llmtui and cannot be changed here; set stream in [[backend]]"),
        ("ollama", "Stream = false", "'Stream' is set by llmtui and cannot be changed here; set stream in [[backend]]"),
        # ollama/ollama issue 2343.
        (
            "ollama",
            "keep_alive = '0m'",
            "keep_alive = '0m' unloads the model after each answer, and every latency would be that of loading it; "
            "remove it",
        ),
        (
            "ollama",
            "raw = true",
            "raw = true is not read by /api/chat of Ollama, so it would change nothing; remove it",
        ),
        ("ollama", "max_tokens = 9", "'max_tokens' is not read by this server; its name there is 'num_predict'"),
        ("tgi", "details = false", "details = false leaves the token counts out of the answer; remove it"),
    ],
)
def test_options_that_make_the_figures_untrue_are_refused(protocol: str, options: str, message: str) -> None:
    assert refusal(f"{URL}protocol = '{protocol}'\noptions = {{ {options} }}") == "options: " + message


def test_options_of_an_embedded_engine_are_checked() -> None:
    assert refusal("embedded = 'llama.cpp'\noptions = { n = 2 }") == "options: n = 2" + ANSWERS


def test_a_nested_table_is_checked_and_named() -> None:
    assert refusal(URL + "options = { extra_body = { n = 2 } }") == "options.extra_body: n = 2" + ANSWERS
    beside = "is not a field of a request; write its contents beside it"
    assert refusal(URL + "options = { extra_body = { top_k = 2 } }") == f"options: 'extra_body' {beside}"
    assert (
        refusal(URL + "protocol = 'ollama'\noptions = { options = { num_ctx = 2 } }") == f"options: 'options' {beside}"
    )


def test_the_body_of_a_chat_is_checked_and_that_of_another_server_is_not() -> None:
    custom = URL + "protocol = 'custom'\n"
    messages = 'messages = [{ role = "user", content = "{prompt}" }]'
    assert refusal(custom + f"body = {{ {messages}, n = 2 }}") == "body: n = 2" + ANSWERS
    inner = 'body = { inputs = "{prompt}", parameters = { best_of = 2 } }'
    assert refusal(custom + inner) == "body.parameters: best_of = 2" + ANSWERS
    body = 'body = { text = "{prompt}", n = 64 }'
    assert read(custom + body).backend[0].body == {"text": "{prompt}", "n": 64}
    lost = refusal(custom + body + "\noptions = { text = 'hi' }")
    assert lost == "options: 'text' replaces the prompt in body; remove it"


@pytest.mark.parametrize(
    ("protocol", "options"),
    [
        ("openai", "n = 1, best_of = 1, echo = false, logprobs = true, top_logprobs = 20"),
        ("openai", "max_completion_tokens = 9, temperature = 1, stop = ['x'], stream_options = { a = 1 }"),
        ("openai", "tools = [{ type = 'function', function = { name = 'n', parameters = { n = 2 } } }]"),
        ("openai", "response_format = { type = 'json_schema', json_schema = { schema = { n = 2 } } }"),
        ("openai", "chat_template_kwargs = { prompt = 'x', n = 2 }"),
        ("ollama", "keep_alive = -1, num_predict = 5, format = 'json'"),
        ("ollama", "keep_alive = '10m'"),
        ("tgi", "decoder_input_details = true, top_n_tokens = 5"),
    ],
)
def test_options_that_are_measured_as_they_are_pass(protocol: str, options: str) -> None:
    assert read(f"{URL}protocol = '{protocol}'\noptions = {{ {options} }}").backend[0].options


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        # Menci/Floway issue 96: a length that was copied from another request.
        ("Content-Length = '5'", "'Content-Length' is written by llmtui, which knows the size and the form of the"),
        ("transfer-encoding = 'chunked'", "'transfer-encoding' is written by llmtui"),
        ("Connection = 'close'", "'Connection' is about the connection, which llmtui handles itself; remove it"),
        ("Expect = '100-continue'", "'Expect' is about the connection"),
        ("Accept-Encoding = 'gzip, br'", "'Accept-Encoding' asks for compression, and a compressed answer comes in"),
        ("Content-Type = 'text/plain'", "'Content-Type' is not that of JSON, which every request is; remove it"),
        ("Idempotency-Key = 'k'", "'Idempotency-Key' is the same in every request, and a server would repeat its"),
        ("X-A = '1', x-a = '2'", "'x-a' and 'X-A' are the same header; remove one"),
    ],
)
def test_headers_that_break_the_transport_are_refused(headers: str, message: str) -> None:
    assert refusal(URL + f"headers = {{ {headers} }}").startswith("headers: " + message)


def test_harmless_headers_pass() -> None:
    headers = {
        "Host": "llm.example",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json; charset=utf-8",
        "X-Title": "bench",
    }
    lines = ", ".join(f"{name} = '{value}'" for name, value in headers.items())
    assert read(URL + f"headers = {{ {lines} }}").backend[0].headers == headers


def test_a_disabled_backend_is_checked_when_it_is_named() -> None:
    config = read(URL + "enabled = false\noptions = { n = 2 }")
    with pytest.raises(ConfigError, match=r"c\.toml:\d+: backend 'a': options: n = 2 makes several answers"):
        config.plan(only=("a",))
