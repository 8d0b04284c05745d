"""Requests to a running server during bring-up, and the extra fields of measured ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmtui.engine.asking import ask_until_settled
from llmtui.engine.bringup import Target
from llmtui.measure.request import IterationError
from llmtui.model import Backend, Failure, RunConfig
from tests.engine.helpers import engine_for, plan_of
from tests.scripted import ANSWER, Scripted, Step, reply, scripted


def quiet(_: str, __: float | None) -> None:
    """Ignore a report."""


async def asked(server: Scripted, tmp_path: Path, config: RunConfig, **backend: Any) -> dict[str, Any]:
    """Return the body of the first iteration's request."""
    target = Target(Backend(name="a", url=server.url, **backend), config, tmp_path)
    await target.bring_up(quiet)
    try:
        await target.ask("hi")
    finally:
        await target.close()
    body: dict[str, Any] = json.loads(server.requests[-1].partition(b"\r\n\r\n")[2])
    return body


@pytest.mark.parametrize(
    ("framework", "config", "expected"),
    [
        ("llama.cpp", RunConfig(), {"ignore_eos": True, "cache_prompt": False}),
        ("llamafile", RunConfig(full_length=False), {"cache_prompt": False}),
        ("llama.cpp", RunConfig(full_length=False, fresh_prompt=False), {}),
        ("vLLM", RunConfig(), {"ignore_eos": True}),
        ("LM Studio", RunConfig(), {}),
    ],
)
async def test_requests_ask_for_full_length_and_no_prefix_cache(
    framework: str, config: RunConfig, expected: dict[str, Any], tmp_path: Path
) -> None:
    async with scripted(reply(404, {})) as server:
        server.by_path = {b"POST": [ANSWER]}
        body = await asked(server, tmp_path, config, framework=framework, model="m")
    assert {k: v for k, v in body.items() if k in ("ignore_eos", "cache_prompt")} == expected


async def test_a_conversation_may_use_the_cache_for_its_history(tmp_path: Path) -> None:
    async with scripted(reply(404, {})) as server:
        target = Target(Backend(name="a", url=server.url, framework="llama.cpp", model="m"), RunConfig(), tmp_path)
        await target.bring_up(quiet)
        bodies = [json.loads(target.request("hi", "", history=history).body or b"") for history in (False, True)]
        await target.close()
    assert [body.get("cache_prompt") for body in bodies] == [False, None]


async def test_options_of_the_config_take_precedence(tmp_path: Path) -> None:
    async with scripted(reply(404, {})) as server:
        server.by_path = {b"POST": [ANSWER]}
        body = await asked(server, tmp_path, RunConfig(), framework="vllm", model="m", options={"ignore_eos": False})
    assert body["ignore_eos"] is False


@pytest.mark.parametrize(("options", "threads"), [({"n_threads": "{threads}"}, 3), ({}, None)])
async def test_threads_that_requests_set_are_known(
    options: dict[str, Any], threads: int | None, tmp_path: Path
) -> None:
    async with scripted(reply(404, {})) as server:
        target = Target(Backend(name="a", url=server.url, options=options), RunConfig(threads=3), tmp_path)
        assert (await target.bring_up(quiet)).threads == threads
        await target.close()


async def test_without_a_configured_model_the_first_one_is_used(tmp_path: Path) -> None:
    async with scripted(reply(404, {})) as server:
        server.by_path = {b"GET /v1/models": [reply(200, {"data": [{"id": "one"}, {"id": "two"}]})], b"POST": [ANSWER]}
        body = await asked(server, tmp_path, RunConfig())
    assert body["model"] == "one"


async def test_bring_up_waits_for_a_loading_server(tmp_path: Path) -> None:
    loading = reply(503, {"error": {"message": "Loading model"}})
    async with scripted(reply(404, {})) as server:
        server.by_path = {b"GET /health": [loading, loading, reply(200, {"status": "ok"})], b"POST": [ANSWER]}
        await asked(server, tmp_path, RunConfig(), model="m")
        asked_for = [r.split(b" ")[1] for r in server.requests]
    assert asked_for.count(b"/health") == 3


async def failure_of(tmp_path: Path, **backend: Any) -> Failure:
    """Bring a backend up, and return why its request fails."""
    target = Target(Backend(name="a", **backend), RunConfig(), tmp_path)
    await target.bring_up(quiet)
    try:
        with pytest.raises(IterationError) as caught:
            await ask_until_settled(target, "hi", lambda _: None, 5.0)
    finally:
        await target.close()
    return caught.value.failure


async def test_missing_ollama_model_gives_the_pull_command(tmp_path: Path) -> None:
    async with scripted(reply(200, {"models": [{"name": "other:latest"}]})) as server:
        server.by_path = {b"POST /api/chat": [reply(404, {"error": "model 'smollm2:135m' not found"})]}
        failure = await failure_of(tmp_path, url=server.url, protocol="ollama", model="smollm2:135m")
    assert str(failure) == "HTTP 404: model 'smollm2:135m' not found: ollama pull smollm2:135m"
    assert failure.kind == "missing"


async def test_unauthorized_asks_for_an_api_key(tmp_path: Path) -> None:
    async with scripted(reply(401, {"error": {"message": "no key"}})) as server:
        failure = await failure_of(tmp_path, url=server.url)
    assert str(failure) == "HTTP 401: no key: set api_key for this backend"


async def test_echoed_secrets_are_redacted() -> None:
    def refusal(*parts: bytes) -> list[Step]:
        body = b'{"error":{"message":"' + b" ".join(parts) + b'"}}'
        return [b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body]

    async with scripted(reply(404, {})) as server:
        server.by_path = {b"POST": [refusal(b"bad Bearer sk-hush-hush and X-Team: team-7h3a-hush")]}
        backend = Backend(
            name="a", url=server.url, model="m", api_key="sk-hush-hush", headers={"X-Team": "team-7h3a-hush"}
        )
        async with engine_for(plan_of(backend)) as run:
            run_view = await run.until_done()
    assert "hush" not in repr(run.events)
    failure = run_view.backends["a"].state.failure
    assert failure is not None
    assert failure.message == "HTTP 401: bad Bearer *** and X-Team: ***"


@pytest.mark.parametrize(
    ("claimed", "owner", "note"),
    [
        ("llamafile", "llamacpp", "answers as llama.cpp"),
        ("Ollama", "vllm", "answers as vLLM"),
        ("llama.cpp", "llamacpp", ""),
        ("llamafile", "someone", ""),
        ("", "llamacpp", ""),
        ("my own", "llamacpp", ""),
    ],
)
async def test_a_server_that_is_not_what_the_config_says_is_remarked_on(
    claimed: str, owner: str, note: str, tmp_path: Path
) -> None:
    async with scripted(reply(404, {})) as server:
        server.by_path = {b"GET /v1/models": [reply(200, {"data": [{"id": "m", "owned_by": owner}]})]}
        target = Target(Backend(name="a", url=server.url, framework=claimed), RunConfig(), tmp_path)
        try:
            await target.bring_up(quiet)
            assert target.remark == note
        finally:
            await target.close()
