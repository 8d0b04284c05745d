"""Runs with options in the config: those that make the figures untrue are refused, all others are measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.odd.running import config_for, figures_of, run
from tests.odd.server import TOKENS, Reply, Request, delta, odd


def with_logprobs(reply: Reply, request: Request) -> None:
    """Events of several kB each, if the request asks for them, as vLLM and llama.cpp send them."""
    reply.head()
    entry = {"token": "w", "logprob": -0.5, "bytes": [119]}
    content = [entry | {"top_logprobs": [entry] * request.body.get("top_logprobs", 0)}]
    for number in range(TOKENS):
        event = delta(f" w{number}")
        if request.body.get("logprobs"):
            event["choices"][0]["logprobs"] = {"content": content}
        reply.event(event)
    reply.finish()


def test_several_answers_to_one_request_are_refused(tmp_path: Path) -> None:
    with odd() as server:
        outcome = run(tmp_path, config_for(server.url, "options = { n = 2 }"))
    assert outcome.code == 2
    assert outcome.stdout == ""
    assert "options: n = 2 makes several answers of one request" in outcome.stderr
    assert not server.requests


@pytest.mark.slow
def test_log_probabilities_are_measured_and_named(tmp_path: Path) -> None:
    with odd(with_logprobs) as server:
        plain = f'[[backend]]\nname = "plain"\nurl = "{server.url}"'
        extra = "options = { logprobs = true, top_logprobs = 20 }\n\n" + plain
        outcome = run(tmp_path, config_for(server.url, extra))
    assert outcome.code == 0, outcome.stderr
    assert [row["output_tokens"] for row in outcome.iterations] == [TOKENS] * 3
    said = " ".join(outcome.stdout.split())
    assert "different options that change the work: odd logprobs = true, top_logprobs = 20, plain none" in said


async def test_options_of_the_stream_do_not_take_the_usage_away() -> None:
    with odd() as server:
        await figures_of(server.url, options={"stream_options": {"continuous_usage_stats": True}})
        await figures_of(server.url, headers={"Host": "llm.example"})
    first, second = server.requests
    assert first.body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert second.headers["host"] == "llm.example"
