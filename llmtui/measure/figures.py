"""The figures of one answer, and which of the server's counts they can be computed from.

`llmtui explain measure` has the definitions.
"""

from __future__ import annotations

import dataclasses
import itertools

from llmtui.measure.answer import Answer
from llmtui.model import TokenSource

#: Tokens that a server may add to a prompt: its chat template and a system prompt of its own.
TEMPLATE_TOKENS = 16_384
#: Tokens that a server may count without sending them as text.
HIDDEN_TOKENS = 16
#: The largest allowed timeout_s.
MAX_SERVER_S = 86_400.0


@dataclasses.dataclass(frozen=True)
class Figures:
    """The figures of one iteration, as `llmtui explain measure` defines them: seconds, tokens, tokens per second."""

    latency_s: float
    ttft_s: float | None
    ttfo_s: float | None
    itl_s: float | None
    tpot_s: float | None
    tokens_per_s: float | None
    output_tokens: int | None
    token_source: TokenSource | None


def figures(answer: Answer) -> Figures:
    """Return latency, TTFT, TTFO, ITL (median gap), TPOT and tokens/s of an answer with at least one token.

    The rate counts the tokens after the first arrival, over the time from the first arrival to the last. Some servers
    (llama.cpp, transformers, vLLM, Ollama) include the end-of-sequence token in their usage, which never arrives as
    text. The rate leaves it out when an answer finished with "stop" and one token more than text events.
    """
    tokens, source = token_count(answer)
    if not answer.streamed:
        return Figures(answer.end_ns / 1e9, None, None, None, None, None, tokens, source)
    arrivals = answer.arrivals_ns
    first, last = arrivals[0], arrivals[-1]
    arrived = tokens if tokens is not None else 0
    if answer.finish_reason == "stop" and tokens == answer.events + 1:
        arrived = answer.events
    in_first = answer.arrival_tokens[0]
    if arrived > answer.events:
        # Several tokens per event: estimate those in the first arrival from its share of the text.
        share = answer.arrival_bytes[0] / max(1, sum(answer.arrival_bytes))
        in_first = max(in_first, round(arrived * share))
    after_first = arrived - in_first
    decode_s = (last - first) / 1e9
    gaps = sorted(b - a for a, b in itertools.pairwise(arrivals))
    middle = len(gaps) // 2
    itl_ns = None
    if gaps:
        itl_ns = gaps[middle] if len(gaps) % 2 else (gaps[middle - 1] + gaps[middle]) / 2
    rated = after_first > 0 and decode_s > 0 and is_plausible_count(answer, arrived)
    return Figures(
        latency_s=last / 1e9,
        ttft_s=first / 1e9,
        ttfo_s=answer.first_output_ns / 1e9 if answer.first_output_ns is not None else None,
        itl_s=itl_ns / 1e9 if itl_ns is not None else None,
        tpot_s=decode_s / after_first if rated else None,
        tokens_per_s=after_first / decode_s if rated else None,
        output_tokens=tokens,
        token_source=source,
    )


def token_count(answer: Answer) -> tuple[int | None, TokenSource | None]:
    """Return the output tokens of an answer and the source of the count; None if no count is plausible.

    The server's own count is preferred to the number of text events, which means nothing for an answer that was not
    streamed.
    """
    reported = answer.output_tokens
    if reported is not None and is_plausible_count(answer, reported, HIDDEN_TOKENS):
        return reported, answer.token_source or "usage"
    if answer.streamed and is_plausible_count(answer, answer.events, HIDDEN_TOKENS):
        return answer.events, "arrivals"
    return None, None


def is_plausible_count(answer: Answer, tokens: int, hidden: int = 0) -> bool:
    """Whether `answer` can have this many tokens: no more than requested, and at least a byte of output for each.

    A token may be part of a character, so bytes are counted and not characters. `hidden` more tokens are allowed, since
    servers count some that they never send (the end of the answer, marks around its thinking). Rates leave them out.
    """
    limit = answer.text_bytes if answer.max_tokens is None else min(answer.max_tokens, answer.text_bytes)
    return tokens <= limit + hidden


def prompt_count(answer: Answer) -> int | None:
    """Return the server's count of prompt tokens; None if it reports none or more than the bytes sent plus a long chat
    template."""
    reported = answer.prompt_tokens
    return reported if reported is not None and reported <= answer.sent_bytes + TEMPLATE_TOKENS else None


def cached_count(answer: Answer) -> int | None:
    """Return the server's count of cached prompt tokens; None if it reports none or more than the prompt has."""
    reported, prompt = answer.cached_tokens, answer.prompt_tokens
    limit = answer.sent_bytes + TEMPLATE_TOKENS if prompt is None else prompt_count(answer) or 0
    return reported if reported is not None and reported <= limit else None


def server_times_s(answer: Answer) -> tuple[float | None, float | None, float | None]:
    """Return prefill, decode and load by the server's clock, in s; all None if one is longer than `MAX_SERVER_S`."""
    times = (answer.prefill_s, answer.decode_s, answer.load_s)
    return times if all(t is None or t <= MAX_SERVER_S for t in times) else (None, None, None)
