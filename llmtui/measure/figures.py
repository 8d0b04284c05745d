"""The figures of one answer: rates are of what arrived, and an answer in one piece has only a latency.

`llmtui explain measure` has the definitions.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics

from llmtui.measure.answer import Answer
from llmtui.measure.counts import token_count
from llmtui.model import FASTEST_NS, TokenSource, pieces

#: Fewer arrivals give no rate and no ITL, and an answer of fewer tokens may well come in one piece.
FEWEST = 4
#: An answer is one piece if all of it arrives within this share of its latency.
_SLIVER = 0.02
#: Within this time any answer may arrive in one piece.
_SOON_NS = 50_000_000
#: Hardly a token has more bytes.
_TOKEN_BYTES = 16
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
    hidden_tokens: int


def figures(answer: Answer) -> Figures:
    """Return latency, TTFT, TTFO, ITL (median gap), TPOT and tokens/s of an answer with at least one token.

    The rate counts the tokens after the first piece, over the time from the first arrival to the last.
    """
    count = token_count(answer)
    arrivals = answer.arrivals_ns
    alone = Figures(
        latency_s=(arrivals[-1] if answer.streamed else answer.end_ns) / 1e9,
        ttft_s=None,
        ttfo_s=None,
        itl_s=None,
        tpot_s=None,
        tokens_per_s=None,
        output_tokens=count.tokens,
        token_source=count.source,
        hidden_tokens=count.hidden,
    )
    arrived = count.arrived
    if not answer.streamed or _is_one_piece(answer, arrived or 0):
        return alone
    starts = pieces(arrivals)
    itl_ns = tokens_per_s = None
    if len(starts) >= FEWEST:
        itl_ns = statistics.median(arrivals[b] - arrivals[a] for a, b in itertools.pairwise(starts))
        decode_s = (arrivals[-1] - arrivals[0]) / 1e9
        if arrived is not None and (later := arrived - _in_first(answer, arrived, starts[1])) > 0:
            tokens_per_s = later / decode_s
    return dataclasses.replace(
        alone,
        ttft_s=arrivals[0] / 1e9,
        ttfo_s=answer.first_output_ns / 1e9 if answer.first_output_ns is not None else None,
        itl_s=itl_ns / 1e9 if itl_ns is not None else None,
        tpot_s=1 / tokens_per_s if tokens_per_s is not None else None,
        tokens_per_s=tokens_per_s,
    )


def _in_first(answer: Answer, arrived: int, end: int) -> int:
    """Return the tokens in the first piece, which are the arrivals up to `end`."""
    events = sum(answer.arrival_tokens[:end])
    if arrived > answer.events:
        # Several tokens per event: estimate those in the first piece from its share of the text.
        share = sum(answer.arrival_bytes[:end]) / max(1, answer.text_bytes)
        return max(events, round(arrived * share))
    return events


def _is_one_piece(answer: Answer, arrived: int) -> bool:
    """Whether all of the answer arrived at once, so that it was not streamed.

    That is faster than any engine, within a sliver of the time since the request, and more than a few tokens.
    """
    arrivals = answer.arrivals_ns
    tokens = max(answer.events, arrived, answer.text_bytes // _TOKEN_BYTES)
    if tokens < FEWEST or arrivals[-1] < _SOON_NS:
        return False
    if len(arrivals) == 1:
        return True
    span = arrivals[-1] - arrivals[0]
    # Events of one arrival have no gap. A pause of the machine makes one long gap.
    gaps = [*(b - a for a, b in itertools.pairwise(arrivals)), *[0] * (answer.events - len(arrivals))]
    each = min(statistics.median(gaps), span / (tokens - 1))
    return span <= _SLIVER * arrivals[-1] and each <= FASTEST_NS


def server_times_s(answer: Answer) -> tuple[float | None, float | None, float | None]:
    """Return prefill, decode and load by the server's clock, in s; all None if one is longer than `MAX_SERVER_S`."""
    times = (answer.prefill_s, answer.decode_s, answer.load_s)
    return times if all(t is None or t <= MAX_SERVER_S for t in times) else (None, None, None)
