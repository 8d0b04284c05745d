"""Servers that refuse a field of the request, in the words of real ones: asked again without it, outside the timing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from llmtui.config.errors import ConfigError
from llmtui.config.schema import parse
from llmtui.model import Backend, RunConfig
from llmtui.wire import dialect_for
from llmtui.wire.refusals import refused_fields
from tests.odd.running import config_for, run
from tests.odd.server import TOKENS, Handler, OddServer, Reply, Request, friendly, odd, plain_chat
from tests.odd.settling import settle

PYDANTIC = {"type": "extra_forbidden", "msg": "Extra inputs are not permitted", "input": 0}


def openai_error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None} | fields}


#: Field, status and answer, with the report that has this answer.
REFUSALS: list[tuple[str, str, Any]] = [
    # langchain-azure #82 (Mistral on Azure)
    ("seed", "422 Unprocessable", {"detail": [PYDANTIC | {"loc": ["body", "seed"]}]}),
    # partITech/php-mistral #76: the details are under two keys
    (
        "seed",
        "422 Unprocessable",
        {
            "object": "Error",
            "detail": [PYDANTIC | {"loc": ["body", "seed"]}],
            "message": [PYDANTIC | {"loc": ["body", "seed"]}],
            "code": 3001,
        },
    ),
    # langchain-azure #82: the details are JSON inside a text
    (
        "seed",
        "400 Bad Request",
        {"message": "Invalid input: " + json.dumps({"detail": [PYDANTIC | {"loc": ["body", "seed"]}]})},
    ),
    # nashsu/llm_wiki #336
    ("seed", "400 Bad Request", openai_error("Unrecognized request argument supplied: seed")),
    # LiteLLM #3923: a refusal with status 500
    (
        "seed",
        "500 Internal Server Error",
        openai_error(
            "ollama does not support parameters: {'seed': 1}, for model=llama3:latest. To drop these, set "
            "`litellm.drop_params=True` or for proxy:\n\n`litellm_settings:\n drop_params: true`\n",
            code=500,
        ),
    ),
    # kaiko-ai/eva #895 (LiteLLM)
    ("seed", "400 Bad Request", openai_error("anthropic does not support parameters: ['seed'], for model=claude-3-7.")),
    # appatalks/eva-agent #83
    (
        "temperature",
        "400 Bad Request",
        openai_error(
            "Unsupported parameter: 'temperature' is not supported with this model.",
            param="temperature",
            code="unsupported_parameter",
        ),
    ),
    # LiteLLM #33738
    (
        "temperature",
        "400 Bad Request",
        openai_error("gpt-5-nano doesn't support temperature=0.0 while reasoning is active. Only temperature=1 is"),
    ),
    # FlowiseAI/Flowise #2866 (Fireworks)
    (
        "stream_options",
        "400 Bad Request",
        {"error": {"object": "error", "message": "Extra inputs are not permitted, field: 'stream_options'"}},
    ),
    # microsoft/semantic-kernel #10510, openai-python #2296 (Azure)
    (
        "stream_options",
        "400 Bad Request",
        openai_error("Validation error at #/stream_options: Extra inputs are not permitted"),
    ),
    # gpustack #429 (vLLM): a list of Python in a text
    (
        "stream_options",
        "400 Bad Request",
        {
            "object": "error",
            "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not "
            "permitted', 'input': {'include_usage': True}}]",
        },
    ),
    # Shapes of Google's gateway, Go, serde, JSON Schema, Python and plain text
    (
        "seed",
        "400 Bad Request",
        [openai_error('Invalid JSON payload received. Unknown name "seed": Cannot find field.', status="INVALID")],
    ),
    ("seed", "400 Bad Request", 'json: unknown field "seed"'),
    ("seed", "422 Unprocessable", "unknown field `seed`, expected one of `model`, `messages`, `temperature`"),
    ("seed", "400 Bad Request", "Additional properties are not allowed ('seed' was unexpected)"),
    ("seed", "400 Bad Request", {"message": "property 'seed' is unsupported"}),
    ("stream_options", "500 Error", {"detail": "f() got an unexpected keyword argument 'stream_options'"}),
    ("stream_options", "400 Bad Request", {"error": "include_usage is not supported"}),
    ("temperature", "422 Unprocessable", {"detail": [{"loc": ["body", "temperature"], "msg": "must be positive"}]}),
    ("max_tokens", "400 Bad Request", openai_error("Unknown parameter: 'max_tokens'.", param="max_tokens")),
]


def refusing(field: str, status: str, answer: Any) -> Handler:
    """Answer a request that has `field` with a refusal, and all others as usual."""

    def chat(reply: Reply, request: Request) -> None:
        if field in request.body:
            reply.whole(answer, status)
        else:
            plain_chat(reply, request)

    return chat


def posts(server: OddServer) -> list[dict[str, Any]]:
    return [request.body for request in server.requests if request.method == "POST"]


@pytest.mark.parametrize(("field", "status", "answer"), REFUSALS)
async def test_a_refused_field_is_left_out(field: str, status: str, answer: Any, tmp_path: Path) -> None:
    with odd(refusing(field, status, answer)) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.answer is not None and settled.answer.events == TOKENS, settled.failure
    (note,) = settled.notes
    assert note.startswith(f"the server refuses {field!r}: left out of every request; ")
    assert settled.remark == f"without {field}"
    refused, taken = posts(server)
    assert refused == taken | {field: refused[field]}


async def test_a_newer_name_of_the_limit_replaces_it(tmp_path: Path) -> None:
    """copilot-api #164, gollm #33: OpenAI's newer models take only max_completion_tokens."""
    text = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    with odd(refusing("max_tokens", "400 Bad Request", openai_error(text, code="invalid_request_body"))) as server:
        settled = await settle(server.url, tmp_path, RunConfig(max_tokens=7))
    assert settled.answer is not None and settled.answer.max_tokens == 7
    assert settled.notes == ["the server refuses 'max_tokens': 'max_completion_tokens' is sent instead"]
    assert posts(server)[1]["max_completion_tokens"] == 7 and "max_tokens" not in posts(server)[1]


async def test_several_fields_are_left_out_one_after_the_other_or_together(tmp_path: Path) -> None:
    """LiteLLM #13825 lists all of them; most servers name the first."""

    def chat(reply: Reply, request: Request) -> None:
        wrong = [name for name in ("seed", "temperature", "stream_options") if name in request.body]
        if "stream_options" in wrong:
            reply.whole({"error": "unsupported field: stream_options"}, "400 Bad Request")
        elif wrong:
            reply.whole({"detail": [PYDANTIC | {"loc": ["body", name]} for name in wrong]}, "422 Unprocessable")
        else:
            plain_chat(reply, request)

    with odd(chat) as server:
        settled = await settle(server.url, tmp_path)
    assert settled.answer is not None
    assert settled.remark == "without stream_options, seed, temperature"
    assert len(posts(server)) == 3


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (400, openai_error("max_tokens is too large: 64. This model supports at most 32", param="max_tokens")),
        (400, openai_error("This model's maximum context length is 8 tokens. However, you requested max_tokens=64")),
        (
            422,
            {
                "detail": [
                    {"type": "missing", "loc": ["body", "user_id"], "msg": "Field required", "input": {"seed": 1}}
                ]
            },
        ),
        (400, openai_error("Invalid 'messages': seed must be planted first", param="messages")),
        (400, 'bad request: {"model": "m", "messages": [], "temperature": 0, "seed": 0}'),
        (401, openai_error("unsupported seed")),
        (500, openai_error("a seed of doubt")),
    ],
)
def test_other_complaints_are_no_refusal(status: int, answer: Any) -> None:
    body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    request = dialect_for(Backend(name="a")).request(Backend(name="a"), RunConfig(), "hi", "m")
    assert refused_fields(status, body, request.body) == []


async def test_a_refused_field_of_the_users_options_is_an_error(tmp_path: Path) -> None:
    with odd(refusing("seed", "400 Bad Request", openai_error("Unknown parameter: 'seed'."))) as server:
        settled = await settle(server.url, tmp_path, options={"seed": 5})
    assert settled.failure == "HTTP 400: Unknown parameter: 'seed'.: remove 'seed' from options of this backend"
    assert len(posts(server)) == 1


@pytest.mark.slow
def test_the_refused_request_is_part_of_no_iteration(tmp_path: Path) -> None:
    """It took 1 s. The run says what it leaves out, in a note and in the export."""

    def chat(reply: Reply, request: Request) -> None:
        if "seed" in request.body:
            time.sleep(1.0)
            reply.whole({"detail": [PYDANTIC | {"loc": ["body", "seed"]}]}, "422 Unprocessable")
        else:
            plain_chat(reply, request)

    with odd(chat) as server:
        outcome = run(tmp_path, config_for(server.url))
    assert outcome.code == 0, outcome.stderr
    assert outcome.stderr.count("odd: the server refuses 'seed': left out of every request; answers may differ\n") == 1
    assert outcome.backend["state"]["note"] == "without seed"
    assert [(row["output_tokens"], row["refused"]) for row in outcome.iterations] == [(TOKENS, 0)] * 3
    assert all(row["latency_s"] < 1.0 for row in outcome.iterations)
    assert ["seed" in body for body in posts(server)] == [True, False, False, False]


# --- omit. ---


@pytest.mark.slow
def test_omit_leaves_fields_out_from_the_start(tmp_path: Path) -> None:
    with odd(refusing("seed", "422 Unprocessable", {"detail": "no"})) as server:
        outcome = run(tmp_path, config_for(server.url, 'omit = ["seed", "temperature"]', iterations=1))
    assert outcome.code == 0 and outcome.backend["state"]["note"] == ""
    (body,) = posts(server)
    assert not {"seed", "temperature"} & body.keys()


@pytest.mark.parametrize(
    ("backend", "place", "kept"),
    [
        (Backend(name="a", protocol="ollama", omit=["seed", "num_predict"]), "options", {"temperature"}),
        (Backend(name="a", protocol="tgi", omit=["seed"]), "parameters", {"max_new_tokens", "details"}),
        (Backend(name="a", protocol="custom", body={"q": "{prompt}", "n": 1}, omit=["n"]), "", {"q"}),
    ],
)
def test_omit_in_every_protocol(backend: Backend, place: str, kept: set[str]) -> None:
    body = json.loads(dialect_for(backend).request(backend, RunConfig(), "hi", "m").body)
    assert set(body[place] if place else body) == kept


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('omit = ["model"]', "omit: 'model' is required, so it cannot be left out"),
        ('omit = ["sed"]', "omit: protocol 'openai' has no field 'sed'; did you mean 'seed'?"),
        ('omit = ["zzz"]', "omit: protocol 'openai' has no field 'zzz'; expected one of max_tokens, temperature, seed"),
        (
            'protocol = "ollama"\nomit = ["num_ctx"]',
            "protocol 'ollama' has no field 'num_ctx'; did you mean 'num_predict'?",
        ),
        ('omit = ["seed"]\noptions = { seed = 1 }', "omit: 'seed' is also in options; remove it from one of them"),
        ('protocol = "custom"\nbody = { q = "{prompt}" }\nomit = ["q"]', "'q' holds the prompt"),
        ('omit = "seed"', "omit: expected a list"),
    ],
)
def test_omit_is_checked(keys: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f'[[backend]]\nname = "a"\nurl = "http://h"\n{keys}\n', source="c.toml", folder=Path("/"), environ={})
    assert message in str(caught.value)


@pytest.mark.slow
def test_plain_servers_get_the_usual_request(tmp_path: Path) -> None:
    with odd(plain_chat, friendly) as server:
        assert run(tmp_path, config_for(server.url, iterations=1)).code == 0
    (body,) = posts(server)
    assert list(body) == ["model", "messages", "max_tokens", "temperature", "seed", "stream", "stream_options"]
