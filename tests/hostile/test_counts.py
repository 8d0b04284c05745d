"""Impossible token counts of a server: they give no rate and decide no verdict."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from llmtui.measure.answer import Answer
from llmtui.measure.counts import cached_count, doubt_of, prompt_count
from llmtui.measure.figures import figures, server_times_s
from llmtui.measure.request import MAX_ARRIVALS, IterationError, ask
from llmtui.measure.transport import new_client
from llmtui.model import Backend, RunConfig
from llmtui.wire import Delta, dialect_for
from tests.engine.helpers import engine_for, plan_of, truth_backend
from tests.scripted import CLOSE, FINISH, SSE_HEAD, Step, scripted, token

SECOND = 1_000_000_000
NOT_FOUND: list[Step] = [b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"]


def answer(reported: int | None, pieces: list[str], max_tokens: int | None = 8, **more: Any) -> Answer:
    """Return a streamed answer, a piece per second, for which the server reports `reported` tokens."""
    return Answer(
        max_tokens=max_tokens,
        arrivals_ns=[SECOND * (n + 1) for n in range(len(pieces))],
        arrival_tokens=[1] * len(pieces),
        arrival_bytes=[len(piece.encode()) for piece in pieces],
        output_tokens=reported,
        token_source="usage",
        finish_reason="length",
        end_ns=SECOND * len(pieces),
        **more,
    )


def test_a_count_far_above_max_tokens_gives_no_rate() -> None:
    lie = answer(1_000_000, ["four", "more", "word", "text"])
    assert (figures(lie).tokens_per_s, figures(lie).output_tokens, figures(lie).token_source) == (None, 4, "arrivals")
    assert doubt_of(lie) == (
        "the server reports 1,000,000 output tokens, more than the 8 requested: hidden tokens; no tokens/s is "
        "computed, and its times include them"
    )
    unseen = answer(60, ["fifteen", "letters!"], 64)
    assert doubt_of(unseen).startswith("the server reports 60 output tokens, too many for the text it sent (15 bytes):")
    letters = answer(None, ["x"] * 90, 64)
    assert doubt_of(letters).startswith("the server sent 90 pieces of text for 64 tokens and no token count;")
    long = answer(40, ["a long piece of text "] * 8, 16)
    assert doubt_of(long) == (
        "the server reports 40 output tokens, more than the 16 requested; arrivals are counted instead: check the "
        "server's usage"
    )


WORDS = ["four", "more", "word", "text"]


@pytest.mark.parametrize(
    ("reported", "pieces", "max_tokens", "counted", "rate"),
    [
        (16, WORDS, 16, (16, "usage"), 4.0),
        (17, WORDS, 16, (17, "usage"), 1.0),  # the end of the answer is counted and never sent
        (17, WORDS, None, (17, "usage"), 1.0),
        (32, WORDS, None, (32, "usage"), 1.0),  # so are the marks around its thinking
        (33, WORDS, None, (4, "arrivals"), None),
        (25, ["four more and", "still more", "than", "that"], 8, (4, "arrivals"), 1.0),
        (64, ["o", "k", "a", "y"], 64, (4, "arrivals"), None),
        (16, ["👩", "👩", "👩", "👩"], 16, (16, "usage"), 4.0),  # a token may be one byte of a character
        (None, list("abcdefghi"), 8, (9, "arrivals"), None),  # more arrivals than tokens were asked for
        (None, list("abcdefghijklmnopqrstuvwxy"), 8, (None, None), None),
        (10**6, list("abcdefghijklmnopqrstuvwxy"), 8, (None, None), None),
    ],
)
def test_a_count_above_max_tokens_or_the_bytes_received_is_ignored(
    reported: int | None, pieces: list[str], max_tokens: int | None, counted: tuple[Any, Any], rate: float | None
) -> None:
    numbers = figures(answer(reported, pieces, max_tokens))
    assert (numbers.output_tokens, numbers.token_source) == counted
    assert numbers.tokens_per_s == rate
    assert (numbers.tpot_s is None) == (rate is None)
    assert numbers.latency_s == len(pieces)


def test_an_impossible_count_of_an_unstreamed_answer_is_ignored() -> None:
    numbers = figures(answer(1_000_000, ["fifteen"], streamed=False))
    assert (numbers.output_tokens, numbers.token_source, numbers.latency_s) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("backend", "limit"),
    [
        (Backend(name="a"), 64),
        (Backend(name="a", options={"max_tokens": 5}), 5),
        (Backend(name="a", options={"max_completion_tokens": 6}), 6),
        (Backend(name="a", options={"n_predict": 128}), 128),
        (Backend(name="a", options={"n_predict": -1}), None),
        (Backend(name="a", protocol="ollama"), 64),
        (Backend(name="a", protocol="ollama", options={"num_predict": 7}), 7),
        (Backend(name="a", protocol="ollama", options={"num_predict": -1}), None),
        (Backend(name="a", protocol="tgi"), 64),
        (Backend(name="a", protocol="tgi", options={"max_new_tokens": 9}), 9),
        (Backend(name="a", protocol="custom"), None),
        (Backend(name="a", protocol="custom", body={"q": "{prompt}", "n": "{max_tokens}"}), 64),
    ],
)
def test_requests_have_their_token_limit_in_each_protocol(backend: Backend, limit: int | None) -> None:
    config = RunConfig(max_tokens=64)
    assert dialect_for(backend).request(backend, config, "hi", "m").max_tokens == limit


def usage(tokens: int) -> bytes:
    usage = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": tokens}}
    return b"data: %b\n\n" % json.dumps(usage).encode()


async def test_a_server_that_claims_a_million_tokens_does_not_win() -> None:
    """The claim gives no rate, is reported once, and does not win the verdict."""
    claim: list[Step] = [SSE_HEAD, token("fifteen"), token("letters!"), FINISH, usage(1_000_000), CLOSE]
    async with scripted(NOT_FOUND) as server:
        server.by_path = {b"POST": [claim]}
        plan = plan_of(truth_backend("honest"), Backend(name="liar", url=server.url), iterations=8, max_tokens=8)
        async with engine_for(plan) as run:
            run_view = await run.until_done()
            notes = [note.text for note in run_view.notes if note.backend == "liar"]
            assert len([text for text in notes if "the server reports" in text]) == 1
            measured = run_view.backends["liar"].measured
            assert {(i.output_tokens, i.token_source) for i in measured} == {(2, "arrivals")}
            line = run_view.verdict().line
            assert not line.startswith("liar"), line
            assert "output-tokens" in {check.code for check in run_view.verdict().checks}


async def test_the_number_of_arrivals_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_ARRIVALS >= 50_000, "far above any honest answer"
    monkeypatch.setattr("llmtui.measure.request.MAX_ARRIVALS", 2)
    read = [asyncio.Event() for _ in range(3)]
    # Each token is sent after the previous one was read, so that each is a separate arrival.
    script: list[Step] = [SSE_HEAD, token("a"), read[0], token("b"), read[1], token("c"), read[2]]
    backend = Backend(name="a", protocol="openai", model="m", options={"max_tokens": 0})
    dialect = dialect_for(backend)
    async with scripted(script) as server, new_client(server.url, connect_timeout_s=5.0) as client:
        asked = dialect.request(msgspec.structs.replace(backend, url=server.url), RunConfig(), "hi", "m")
        with pytest.raises(IterationError, match="more than 2 arrivals with text: the server does not stop"):
            await ask(client, asked, dialect, timeout_s=10.0, on_tokens=lambda n: read[n - 1].set())


@pytest.mark.parametrize(
    ("reported", "sent", "counted"),
    [(20, 200, 20), (16_584, 200, 16_584), (16_585, 200, None), (10**15, 200, None), (None, 9, None)],
)
def test_a_prompt_count_above_the_bytes_sent_is_ignored(reported: int | None, sent: int, counted: int | None) -> None:
    lie = answer(2, ["four", "more"], prompt_tokens=reported, sent_bytes=sent)
    assert prompt_count(lie) == counted
    assert bool(doubt_of(lie)) is (reported != counted)


@pytest.mark.slow
async def test_a_server_that_claims_an_endless_prompt_does_not_win_by_prefill() -> None:
    def claim(tokens: int) -> list[Step]:
        usage = {"choices": [], "usage": {"prompt_tokens": tokens, "completion_tokens": 2}}
        return [SSE_HEAD, token("a"), token("b"), FINISH, b"data: %b\n\n" % json.dumps(usage).encode(), CLOSE]

    async with scripted(NOT_FOUND) as honest, scripted(NOT_FOUND) as huge, scripted(NOT_FOUND) as large:
        for server, tokens in ((honest, 20), (huge, 9 * 10**15), (large, 2_000)):
            server.by_path = {b"POST": [claim(tokens)]}
        backends = [Backend(name=n, url=s.url) for n, s in (("honest", honest), ("huge", huge), ("large", large))]
        async with engine_for(plan_of(*backends, iterations=8, max_tokens=2)) as run:
            run_view = await run.until_done()
            assert {i.prompt_tokens for i in run_view.backends["huge"].measured} == {None}
            (check,) = [c for c in run_view.verdict().checks if c.code == "prompt-tokens"]
            assert (check.level, check.spoils) == ("void", ["latency", "ttft", "prefill_tokens_per_s"])
            assert "prefill" not in run_view.verdict().line


@pytest.mark.parametrize(("text", "seen"), [("\u200b" * 80, 0), ("ab\n cd", 6), ("é\u200bé", 4), ("👩", 4)])
def test_invisible_text_allows_no_token_count(text: str, seen: int) -> None:
    invisible = Answer(max_tokens=64)
    invisible.add([Delta(text=text)], 1)
    assert invisible.text_bytes == seen


def test_cached_tokens_cannot_exceed_the_prompt() -> None:
    assert cached_count(answer(2, ["a", "b"], prompt_tokens=20, cached_tokens=20)) == 20
    apart = answer(2, ["a", "b"], prompt_tokens=20, cached_tokens=21)
    assert (prompt_count(apart), cached_count(apart)) == (41, 21), "the prompt's count excludes the cached tokens"
    lie = answer(2, ["a", "b"], prompt_tokens=20, cached_tokens=10**9)
    assert (prompt_count(lie), cached_count(lie)) == (20, None)
    assert cached_count(answer(2, ["a", "b"], cached_tokens=2**53 - 1)) is None
    assert cached_count(answer(2, ["a", "b"], cached_tokens=5)) == 5


def test_server_durations_cannot_exceed_the_timeout() -> None:
    honest = answer(2, ["a", "b"], prefill_s=0.5, decode_s=1.5, load_s=0.1)
    assert server_times_s(honest) == (0.5, 1.5, 0.1)
    assert server_times_s(answer(2, ["a", "b"], prefill_s=9e17, decode_s=0.1)) == (None, None, None)
    assert server_times_s(answer(2, ["a", "b"])) == (None, None, None)
