"""How far the figures of answers are from the truth server's log, and the summary of a level.

The truth is the server's log alone, without any timestamp of the client:

    TTFT       measured TTFT - (first token sent - request received)
    latency    measured latency - (last token sent - request received)
    ITL        for each two neighbouring tokens: gap between their arrivals - gap between their sends; a token that
               arrived in one read with the previous one counts as early by the whole gap
    tokens/s   measured rate / (tokens after the first / (last token sent - first token sent)) - 1

"Received" is the kernel's timestamp of the last byte of the request on the server's socket; "sent" is taken right
before the call that hands the token to the kernel. Of an open loop also how late requests were written, by the client's
clock: it alone knows when they were due.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from llmtui.model import Iteration, Stamp
from llmtui.model import Level as LoadLevel
from llmtui.model.accuracy import Errors, Level, Loop
from llmtui.stats.summary import percentile

Pair = tuple[Iteration, "Truth"]


class Truth(msgspec.Struct, frozen=True):
    """The truth server's log of one request, on the monotonic clock."""

    received_ns: int
    sent_ns: list[int]
    stamp: Stamp = "user"
    due_ns: list[int] = []


class Deviation(msgspec.Struct, frozen=True):
    """The errors of the figures of one answer: in seconds, and for the rate as a fraction of it."""

    ttft_s: float
    latency_s: float
    itl_s: list[float]
    tokens_per_s: float | None
    coalesced: int


def deviation(sample: Iteration, truth: Truth) -> Deviation:
    """Compare a sample with the log of its request. Raises ValueError if their numbers of tokens differ."""
    sent = truth.sent_ns
    if sum(sample.arrival_tokens) != len(sent):
        raise ValueError(f"{sum(sample.arrival_tokens)} tokens arrived, {len(sent)} were sent")
    assert sample.latency_s is not None
    arrived = [at for at, n in zip(sample.arrivals_ns, sample.arrival_tokens, strict=True) for _ in range(n)]
    gaps = zip(itertools.pairwise(arrived), itertools.pairwise(sent), strict=True)
    rate = None
    if sample.tokens_per_s is not None and sent[-1] > sent[0]:
        rate = sample.tokens_per_s / ((len(sent) - 1) / ((sent[-1] - sent[0]) / 1e9)) - 1
    return Deviation(
        ttft_s=sample.arrivals_ns[0] / 1e9 - (sent[0] - truth.received_ns) / 1e9,
        latency_s=sample.latency_s - (sent[-1] - truth.received_ns) / 1e9,
        itl_s=[((b - a) - (d - c)) / 1e9 for (a, b), (c, d) in gaps],
        tokens_per_s=rate,
        coalesced=len(sent) - len(sample.arrivals_ns),
    )


def summarize_errors(signed: Sequence[float]) -> Errors:
    """Summarize signed errors; all zero, with n 0, if there are none."""
    if not signed:
        return Errors(n=0, median=0.0, p50=0.0, p95=0.0, p99=0.0, max=0.0)
    ordered = sorted(abs(value) for value in signed)
    return Errors(
        n=len(ordered),
        median=percentile(sorted(signed), 0.5),
        p50=percentile(ordered, 0.5),
        p95=percentile(ordered, 0.95),
        p99=percentile(ordered, 0.99),
        max=ordered[-1],
    )


def summarize_level(
    load: LoadLevel, monitor: bool, pairs: Sequence[Pair], failed: int, *, loop: Loop = "load", cpu: float | None = None
) -> Level:
    """Summarize the answers of one level, given the logs of their requests. `cpu` is the share of a core that the
    measuring process used."""
    deviations = [deviation(sample, truth) for sample, truth in pairs]
    tokens = sum(len(truth.sent_ns) for _, truth in pairs)
    late = [(sent - due) / 1e9 for _, truth in pairs for sent, due in zip(truth.sent_ns, truth.due_ns, strict=False)]
    return Level(
        streams=load.streams,
        monitor=monitor,
        requests=len(deviations),
        failed=failed,
        tokens=tokens,
        coalesced=sum(d.coalesced for d in deviations) / tokens if tokens else 0.0,
        ttft_s=summarize_errors([d.ttft_s for d in deviations]),
        itl_s=summarize_errors([gap for d in deviations for gap in d.itl_s]),
        latency_s=summarize_errors([d.latency_s for d in deviations]),
        tokens_per_s_share=summarize_errors([d.tokens_per_s for d in deviations if d.tokens_per_s is not None]),
        stamp="kernel" if all(sample.stamp == "kernel" for sample, _ in pairs) else "user",
        written_stamp="kernel" if all(sample.written_stamp == "kernel" for sample, _ in pairs) else "user",
        loop=loop,
        rate=load.rate,
        worker_cpu=cpu,
        server_late_s=summarize_errors(late) if late else None,
        **(_schedule([sample for sample, _ in pairs]) if load.open else {}),
    )


def _schedule(samples: Sequence[Iteration]) -> dict[str, Any]:
    """How late the requests of an open loop were written, and their rate as a share of the one of their schedule."""
    times = sorted(
        (sample.due_s, sample.written_s)
        for sample in samples
        if sample.due_s is not None and sample.written_s is not None
    )
    late = summarize_errors([written - due for due, written in times])
    share = None
    if len(times) > 1 and times[-1][1] > times[0][1]:
        share = (times[-1][0] - times[0][0]) / (times[-1][1] - times[0][1])
    return {"late_s": late, "delivered_share": share}
