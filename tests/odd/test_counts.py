"""Counts that cannot be true, and answers that were not streamed: rates are of what arrived."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmtui.engine.backend_run import BackendRun
from llmtui.engine.bringup import Target
from llmtui.engine.iteration import becomes_whole
from llmtui.measure.answer import Answer
from llmtui.measure.counts import doubt_of
from llmtui.measure.figures import Figures
from llmtui.model import FASTEST_NS, Backend, RunConfig
from tests import build
from tests.odd.running import figures_of, run
from tests.odd.server import TOKENS, Handler, Reply, Request, delta, odd, usage

#: What `stream` sends per second, and the most that a busy machine makes of it.
RATE = 200.0
#: Longer than any answer may take to be too quick to judge, and far longer than sending a piece of it takes.
HELD_S = 0.2


def thinking(tokens: int) -> dict[str, Any]:
    return {"completion_tokens_details": {"reasoning_tokens": tokens}}


def ends(*last: dict[str, Any]) -> Handler:
    """A usual stream that ends with these chunks."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        reply.stream()
        reply.event(delta(finish="stop"))
        for chunk in last:
            reply.event(chunk)
        reply.event("[DONE]")
        reply.end()

    return chat


def counting(count: Callable[[int], int], final: int | None = None) -> Handler:
    """A stream with a usage in every chunk: `count` of the number of the event; at the end `final`."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        time.sleep(0.03)
        for number in range(TOKENS):
            time.sleep(0.005)
            counts = {"prompt_tokens": 20, "completion_tokens": count(number + 1)}
            reply.event(delta(f" w{number}") | {"usage": counts})
        reply.event(delta(finish="stop"))
        if final is not None:
            reply.event(usage(final))
        reply.event("[DONE]")
        reply.end()

    return chat


def letters(reply: Reply, request: Request) -> None:
    """Stream letter by letter, with the model's own count."""
    reply.head()
    time.sleep(0.03)
    for letter in "The quick brown fox jumps":
        time.sleep(0.003)
        reply.event(delta(letter))
    reply.finish(5)


def merged(reply: Reply, request: Request) -> None:
    """Several tokens in each event, as with vLLM's stream interval."""
    reply.head()
    time.sleep(0.03)
    for _ in range(6):
        time.sleep(0.01)
        reply.event(delta(" a few words of ordinary text,"))
    reply.finish(42)


def summarized(reply: Reply, request: Request) -> None:
    """Send a summary of the thinking, then the answer."""
    reply.head()
    time.sleep(0.03)
    reply.event(delta(reasoning_content="The user greets me."))
    reply.stream()
    reply.event(delta(finish="stop"))
    reply.event(usage(300 + TOKENS, **thinking(300)))
    reply.event("[DONE]")
    reply.end()


async def outcome(chat: Handler, **backend: Any) -> tuple[Answer, Figures, str]:
    with odd(chat) as server:
        answer, figures = await figures_of(server.url, **backend)
    return answer, figures, doubt_of(answer)


@pytest.mark.parametrize(
    ("chat", "words"),
    [
        # SGLang's stream reports no reasoning tokens beside those it counts (sglang #15660).
        pytest.param(ends(usage(320)), "reports 320 output tokens", id="not told"),
        pytest.param(ends(usage(55)), "too many for the text it sent (38 bytes)", id="plausible by bytes alone"),
        pytest.param(ends(usage(300 + TOKENS, **thinking(300))), "", id="told"),
        pytest.param(summarized, "", id="only a summary arrives"),
        pytest.param(ends(usage(300 + TOKENS, **thinking(300 + TOKENS))), "312 output tokens", id="all are thinking"),
    ],
)
async def test_hidden_tokens_give_no_rate(chat: Handler, words: str) -> None:
    answer, figures, doubt = await outcome(chat)
    assert words in doubt and "hidden tokens" in doubt
    assert figures.hidden_tokens >= 40
    assert figures.tokens_per_s is None and figures.tpot_s is None
    assert figures.ttft_s is not None and figures.itl_s is not None
    if answer.output_tokens != TOKENS:
        assert (figures.output_tokens, figures.token_source) == (answer.events, "arrivals")


@pytest.mark.parametrize(
    ("chat", "words"),
    [
        # A gateway took the zeros of the first chunks for the count (CLIProxyAPI #3077).
        pytest.param(counting(lambda _: 0), "0 output tokens for 12 pieces of text", id="zeros"),
        pytest.param(ends(usage(0)), "0 output tokens for 12 pieces of text", id="zero at the end"),
        # An estimate without the thinking (LiteLLM #38676), or of another tokenizer.
        pytest.param(ends(usage(5)), "5 output tokens for 12 pieces of text", id="fewer than arrived"),
        # Not cumulative before vLLM #9357.
        pytest.param(counting(lambda _: 1), "1 output token for 12 pieces of text", id="one in every chunk"),
        pytest.param(counting(lambda _: 20), "20 output tokens from the start", id="the same in every chunk"),
        pytest.param(counting(lambda n: 30 - n), "goes down while text arrives", id="going down"),
        pytest.param(counting(lambda n: n % 3 + 1), "for 12 pieces of text", id="one for each chunk"),
        pytest.param(counting(lambda n: n, final=0), "0 output tokens for 12 pieces", id="a zero after all"),
    ],
)
async def test_arrivals_are_counted_where_the_count_is_not_of_the_answer(chat: Handler, words: str) -> None:
    _, figures, doubt = await outcome(chat)
    assert words in doubt and "arrivals are counted instead" in doubt
    assert (figures.output_tokens, figures.token_source, figures.hidden_tokens) == (TOKENS, "arrivals", 0)
    assert figures.latency_s is not None and figures.ttft_s is not None and figures.tokens_per_s is not None
    # A busy machine answers slower than planned, and never faster.
    assert figures.tokens_per_s == pytest.approx((TOKENS - 1) / (figures.latency_s - figures.ttft_s))
    assert figures.tokens_per_s < RATE * 1.1


@pytest.mark.parametrize(
    ("chat", "tokens"),
    [
        pytest.param(ends(usage(TOKENS)), TOKENS, id="right"),
        pytest.param(ends(usage(TOKENS + 1)), TOKENS + 1, id="with the end token"),
        pytest.param(ends(usage(TOKENS - 1)), TOKENS - 1, id="without the first"),
        pytest.param(counting(lambda n: n), TOKENS, id="cumulative"),
        pytest.param(counting(lambda _: 0, final=TOKENS), TOKENS, id="zeros until the end"),
        pytest.param(ends(usage(TOKENS) | {"usage": {"completion_tokens": 12.0}}), TOKENS, id="a float"),
        pytest.param(ends(usage(TOKENS, **thinking(TOKENS))), TOKENS, id="all of it called thinking"),
        pytest.param(letters, 5, id="letter by letter"),
        pytest.param(merged, 42, id="several tokens per event"),
    ],
)
async def test_a_count_that_can_be_true_is_used(chat: Handler, tokens: int) -> None:
    _, figures, doubt = await outcome(chat)
    assert doubt == ""
    assert (figures.output_tokens, figures.token_source) == (tokens, "usage")
    assert figures.tokens_per_s is not None and figures.ttft_s is not None


async def test_fewer_than_four_arrivals_give_no_rate() -> None:
    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        reply.stream(3)
        reply.finish(3)

    _, figures, _ = await outcome(chat)
    assert figures.ttft_s is not None and figures.output_tokens == 3
    assert (figures.itl_s, figures.tokens_per_s, figures.tpot_s) == (None, None, None)


# --- Not streamed ---


def event_of(text: str) -> str:
    return f"data: {json.dumps(delta(text))}\n\n"


def at_once(reply: Reply, request: Request) -> None:
    """All events in one write, as a gateway sends what it held back (dstack #4269, llama-swap #236)."""
    reply.head()
    time.sleep(HELD_S)
    reply.send("".join(event_of(f" w{n}") for n in range(TOKENS)))
    reply.finish()


def one_by_one(reply: Reply, request: Request) -> None:
    """Each event in a write of its own, all after the end of the answer (LiteLLM #26102)."""
    reply.head()
    time.sleep(2 * HELD_S)
    for number in range(TOKENS):
        reply.event(delta(f" w{number}"))
    reply.finish()


def one_event(reply: Reply, request: Request) -> None:
    """The whole answer as the only event."""
    reply.head()
    time.sleep(HELD_S)
    reply.event(delta("".join(f" w{n}" for n in range(TOKENS))))
    reply.finish()


def one_long_event(reply: Reply, request: Request) -> None:
    """The whole answer as the only event, and no usage."""
    reply.head()
    time.sleep(HELD_S)
    reply.event(delta("A whole sentence, and one more: they are sent as if they were a single token."))
    reply.event(delta(finish="stop"))
    reply.end()


def document(reply: Reply, request: Request) -> None:
    """One JSON document, though a stream was asked for."""
    time.sleep(HELD_S)
    message = {"index": 0, "message": {"role": "assistant", "content": "a few words"}, "finish_reason": "stop"}
    reply.whole({"choices": [message], "usage": {"prompt_tokens": 20, "completion_tokens": 3}})


@pytest.mark.parametrize("chat", [at_once, one_by_one, one_event, one_long_event, document])
async def test_an_answer_in_one_piece_has_only_a_latency(chat: Handler) -> None:
    answer, figures, _ = await outcome(chat)
    assert figures.latency_s >= HELD_S
    missing = (figures.ttft_s, figures.ttfo_s, figures.itl_s, figures.tpot_s, figures.tokens_per_s)
    assert missing == (None,) * 5, answer.arrivals_ns
    if chat is not one_long_event:
        assert figures.output_tokens == (3 if chat is document else TOKENS)


async def test_an_answer_of_one_token_is_streamed() -> None:
    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        time.sleep(HELD_S)
        reply.event(delta("Hi"))
        reply.finish(1, "length")

    _, figures, _ = await outcome(chat)
    assert figures.ttft_s == figures.latency_s


async def test_an_answer_in_three_pieces_has_no_rate() -> None:
    """A proxy with buffers of a few kB sends many events at a time (nginx's proxy_buffering: c8s #140)."""

    def chat(reply: Reply, request: Request) -> None:
        reply.head()
        for burst in range(3):
            time.sleep(0.08)
            reply.send("".join(event_of(f" w{burst * 10 + number}") for number in range(10)))
        reply.finish(30)

    _, figures, _ = await outcome(chat)
    assert figures.ttft_s is not None and figures.output_tokens == 30
    assert (figures.itl_s, figures.tokens_per_s) == (None, None)


# --- What the program says ---


@pytest.mark.slow
def test_the_run_says_it_and_compares_by_what_is_left(tmp_path: Path) -> None:
    with odd(ends(usage(TOKENS))) as plain, odd(ends(usage(320))) as silent, odd(at_once) as held:
        tables = [
            f'[[backend]]\nname = "{n}"\nurl = "{s.url}"'
            for n, s in {"plain": plain, "silent": silent, "held": held}.items()
        ]
        done = run(tmp_path, "[run]\niterations = 6\nwarmup = 0\n\n" + "\n\n".join(tables))
    assert done.code == 0, done.stderr
    assert done.stderr.count("hidden tokens") == 1
    assert done.stdout.count("not streamed: it came in one piece") == 6
    by_code = {check["code"]: check for check in done.run["checks"]}
    assert by_code["hidden-tokens"]["backends"] == ["plain", "held", "silent"]
    assert by_code["not-streamed"]["backends"] == ["held"]
    assert "token-counts-guessed" not in by_code
    rows = {b["backend"]["name"]: b for b in done.run["backends"]}
    assert {i["hidden_tokens"] for i in rows["silent"]["iterations"]} == {320 - TOKENS}
    assert rows["silent"]["summary"]["tokens_per_s"] is None and rows["held"]["summary"]["ttft"] is None
    assert "  held: 6 of 6 iterations not streamed: the answer came in one piece" in done.stdout
    pairs = {tuple(pair["backends"]): pair for pair in done.run["comparisons"]}
    assert pairs["plain", "silent"]["metric"] is None and "not comparable by latency" in done.stdout
    assert pairs["plain", "held"]["metric"] == "latency"


def test_no_engine_is_faster_than_the_limit() -> None:
    assert FASTEST_NS <= 200_000


async def test_a_tool_call_is_no_thinking() -> None:
    """can1357/oh-my-pi #12213, ai-dynamo/aiperf #804: answers that are a tool call and nothing else."""

    def calls(reply: Reply, request: Request) -> None:
        reply.head()
        for number in range(TOKENS):
            time.sleep(0.005)
            reply.event(delta(tool_calls=[{"index": 0, "function": {"arguments": f"w{number} "}}]))
        reply.finish(reason="tool_calls")

    with odd(calls) as server:
        _, figures = await figures_of(server.url)
    assert figures.ttfo_s == figures.ttft_s is not None


def test_the_user_is_informed_after_three_answers_in_one_piece_on_a_quiet_machine(tmp_path: Path) -> None:
    backend = Backend(name="a")
    backend_run = BackendRun(backend, Target(backend, RunConfig(), tmp_path), build.state())
    whole: dict[str, Any] = {"output_tokens": 12}
    answers = [whole, whole, whole | {"foreign_cpu": 1.0}, whole, {"ttft_s": 0.1}, whole, whole, whole, whole]
    informed = [becomes_whole(backend_run, build.iteration("a", **one)) for one in answers]
    assert informed == [False] * 7 + [True, False]
