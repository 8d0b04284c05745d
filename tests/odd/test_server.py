"""The odd server, answering as it should, gives the usual sample."""

from __future__ import annotations

from pathlib import Path

from tests.odd.running import config_for, figures_of, run
from tests.odd.server import TOKENS, odd


async def test_a_plain_answer_is_a_sample() -> None:
    with odd() as server:
        answer, figures = await figures_of(server.url)
    assert answer.text == "".join(f" w{n}" for n in range(TOKENS))
    assert figures.output_tokens == TOKENS
    assert figures.ttft_s is not None and figures.tokens_per_s is not None


def test_a_plain_server_is_measured_by_a_run(tmp_path: Path) -> None:
    with odd() as server:
        outcome = run(tmp_path, config_for(server.url))
    assert outcome.code == 0, outcome.stderr
    assert [row["output_tokens"] for row in outcome.iterations] == [TOKENS] * 3
    assert sum(request.method == "POST" for request in server.requests) == 3
