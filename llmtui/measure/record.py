"""The record of a request: an answer's figures in the struct that is stored, sent to clients and exported."""

from __future__ import annotations

import msgspec

from llmtui.measure.answer import Answer
from llmtui.measure.counts import cached_count, prompt_count
from llmtui.measure.figures import figures, server_times_s
from llmtui.model import Iteration
from llmtui.text import sanitize

#: A finish reason is one word.
MAX_REASON_CHARS = 60


def with_figures(iteration: Iteration, answer: Answer) -> Iteration:
    """Return `iteration` with the figures of a complete answer."""
    prefill_s, decode_s, load_s = server_times_s(answer)
    return msgspec.structs.replace(
        iteration,
        **vars(figures(answer)),
        prompt_tokens=prompt_count(answer),
        cached_tokens=cached_count(answer),
        finish_reason=sanitize(answer.finish_reason, MAX_REASON_CHARS) if answer.finish_reason is not None else None,
        connect_s=answer.connect_ns / 1e9 if answer.connect_ns is not None else None,
        server_prefill_s=prefill_s,
        server_decode_s=decode_s,
        server_load_s=load_s,
        stamp=answer.stamp,
        written_stamp=answer.written_stamp,
        text=answer.text,
        arrivals_ns=answer.arrivals_ns,
        arrival_tokens=answer.arrival_tokens,
    )
