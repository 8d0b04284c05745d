"""The odd server, answering as it should, gives the usual sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.odd.running import config_for, figures_of, run
from tests.odd.server import MODEL, TOKENS, odd


async def test_a_plain_answer_is_a_sample() -> None:
    with odd() as server:
        answer, figures = await figures_of(server.url)
    assert answer.text == "".join(f" w{n}" for n in range(TOKENS))
    assert figures.output_tokens == TOKENS
    assert figures.ttft_s is not None and figures.tokens_per_s is not None


@pytest.mark.slow
def test_a_plain_server_is_measured_by_a_run(tmp_path: Path) -> None:
    with odd() as server:
        outcome = run(tmp_path, config_for(server.url))
    assert outcome.code == 0, outcome.stderr
    assert [row["output_tokens"] for row in outcome.iterations] == [TOKENS] * 3
    assert sum(request.method == "POST" for request in server.requests) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("model", "noted"), [("gpt-4", True), (MODEL, False), (f"models/{MODEL}.gguf", False)])
def test_a_model_that_the_server_does_not_list_is_noted(tmp_path: Path, model: str, noted: bool) -> None:
    with odd() as server:
        outcome = run(tmp_path, config_for(server.url, f'model = "{model}"'))
    assert outcome.code == 0, outcome.stderr
    note = f"the server does not list the model {model}"
    assert (note in outcome.backend["state"].get("note", "")) == noted
    assert (note in outcome.stderr) == noted
