"""The figures of a turn, from its samples and its window. `llmtui explain loads` has the definitions.

A turn may have a million requests: what is kept does not grow with their number (llmtui.stats.durations, .turn_edges,
.little, .by_place).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from llmtui.model import Iteration, Level, Quantity, Slo, TokenSource, pieces
from llmtui.model.turn import too_short
from llmtui.stats import settling, turn_trend
from llmtui.stats.by_place import Means, Peaks, largest_sum
from llmtui.stats.durations import Durations
from llmtui.stats.little import Little, share_apart
from llmtui.stats.objectives import Kept
from llmtui.stats.running import Counts
from llmtui.stats.talks import Talks
from llmtui.stats.turn_answers import Answers
from llmtui.stats.turn_edges import Edges, rate_of

_COUNTS = ("output_tokens", "prompt_tokens", "cached_tokens", "hidden_tokens")
_SERVER = ("server_prefill_s", "server_decode_s")
#: A server that is empty at first has as many requests under way as it will have after this many latencies of its
#: first answers; later ones are longer in a queue that grows.
_FILLS = 1.5
#: What became of a request.
OUTCOMES = ("finished", "failed", "refused", "timed_out", "unfinished")


class TurnFigures:
    """Takes the samples of one turn as they end; `figures` computes what `llmtui.model.Turn` has of them.

    Percentiles are of the samples of all `workers` together. What is counted by the moment is counted for each of them
    in its own window, and added up.
    """

    def __init__(self, level: Level, slo: Slo | None = None, workers: int = 1) -> None:
        self._level = level
        self._workers = workers
        self._kept = Kept(slo)
        self._durations: dict[Quantity, Durations] = {quantity: Durations() for quantity in get_args(Quantity)}
        self._server = {name: Durations() for name in _SERVER}
        self._counts = {name: Counts() for name in _COUNTS}
        self._output_tokens = self._hidden_tokens = 0
        self._sources: Counter[TokenSource] = Counter()
        self._stamps: Counter[Any] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._edges: dict[int, Edges] = defaultdict(Edges)
        self._little: dict[int, Little] = defaultdict(Little)
        self._sent: Counter[int] = Counter()
        self._tpot = Means()
        self._latency = Means()
        self._backlog: dict[int, Peaks] = defaultdict(Peaks)
        self._in_flight: dict[int, Peaks] = defaultdict(Peaks)
        # When the first and the last request of the window were written.
        self._window_s = (math.inf, 0.0)
        self._settled = 0
        self._loaded = 0
        # The numbers of the first and the last request of the window.
        self._first = self._last = 0
        self._error: Any = None
        self._answers = Answers()
        self._talks = Talks()
        self._probes: Counter[str] = Counter()

    @property
    def hidden_share(self) -> float:
        """The share of the output tokens in the window that the server counted and did not send."""
        return min(1.0, self._hidden_tokens / self._output_tokens) if self._output_tokens else 0.0

    def pulse(self, at_s: float, in_flight: int, worker: int = 0) -> None:
        """Note how many requests a worker counts as under way, `at_s` after the turn began."""
        self._little[worker].pulse(at_s, in_flight)

    def add(self, samples: Iterable[Iteration]) -> None:
        """Add samples."""
        for sample in samples:
            self._add(sample)

    def _add(self, sample: Iteration) -> None:
        if sample.share == "probe":
            self._probe(sample)
            return
        worker = sample.worker
        self._edges[worker].add(sample)
        self._little[worker].add(sample)
        written_s = max(0.0, sample.written_s or 0.0)
        # One of several workers may be before or behind its window while another one is in its own.
        if self._workers > 1 or sample.share == "window":
            self._in_flight[worker].add(written_s, sample.in_flight or 0)
        if sample.share == "tail":
            return
        if sample.due_s is not None:
            waiting = round((sample.waited_s or 0.0) * self._level.rate / self._workers)
            self._backlog[worker].add(written_s, (sample.in_flight or 0) + waiting)
        counts = sample.ok and not sample.loaded
        if counts and self._level.open and sample.latency_s is not None:
            self._latency.add(max(1, sample.request), sample.latency_s)
        if counts and sample.tpot_s is not None:
            self._tpot.add(max(1, sample.request), sample.tpot_s)
        if sample.share != "window":
            self._settled += 1
            return
        self._first = min(self._first or sample.request, sample.request)
        self._last = max(self._last, sample.request)
        self._outcomes[outcome(sample)] += 1
        self._sent[worker] += 1
        self._kept.add(sample)
        self._talks.add(sample)
        self._window_s = min(self._window_s[0], written_s), max(self._window_s[1], written_s)
        for quantity, values in _queue(sample):
            self._durations[quantity].add(values)
        if not sample.ok:
            self._error = sample.error
        elif sample.loaded:
            self._loaded += 1
        else:
            self._count(sample)

    def _probe(self, sample: Iteration) -> None:
        """Add a request that was sent beside the load."""
        if outcome(sample) == "unfinished":
            return  # the turn was stopped: it says nothing of the server
        self._probes["probes"] += 1
        first_s = sample.ttft_s if sample.ttft_s is not None else sample.latency_s
        if not sample.ok or first_s is None:
            self._probes["probes_failed"] += 1
        elif not sample.loaded:
            self._durations["probe"].add((first_s,))

    def _count(self, sample: Iteration) -> None:
        """Add a good sample of the window."""
        for quantity, values in _durations(sample):
            self._durations[quantity].add(values)
        for name, durations in self._server.items():
            if (value := getattr(sample, name)) is not None:
                durations.add((value,))
        for name, counts in self._counts.items():
            if (count := getattr(sample, name)) is not None:
                counts.add(count)
        self._output_tokens += sample.output_tokens or 0
        self._hidden_tokens += sample.hidden_tokens
        if sample.token_source is not None:
            self._sources[sample.token_source] += 1
        if sample.stamp is not None:
            self._stamps[sample.stamp] += 1
        self._answers.add(sample)

    def figures(
        self,
        window_from_s: float | None,
        window_to_s: float | None,
        windows: Mapping[int, tuple[float, float]] | None = None,
    ) -> dict[str, Any]:
        """Return the fields of a turn with this window (s since the turn began), None without one.

        `windows` are those of several workers, by their numbers.
        """
        percentiles = {name: each.percentiles for name, each in self._durations.items() if each.n}
        medians = {f"{name}_s": p.p50 if (p := percentiles.get(name)) is not None else None for name in self._durations}
        tpot_s = medians["tpot_s"]
        of: dict[str, Any] = {
            **{name: self._outcomes[name] for name in OUTCOMES},
            **medians,
            **{name: each.median for name, each in self._server.items()},
            **{name: round(counts.median or 0) if len(counts) else None for name, counts in self._counts.items()},
            "hidden_tokens": round(self._counts["hidden_tokens"].median or 0),
            "tokens_per_s": 1 / tpot_s if tpot_s else None,
            "settled": self._settled,
            "requests": self._outcomes.total(),
            "loaded": self._loaded,
            "in_flight_most": largest_sum(self._in_flight.values(), *self._window_s) or None,
            "late_p99_s": self._durations["late"].p99,
            "percentiles": percentiles,
            "buckets": {name: each.buckets.encoded() for name, each in self._durations.items() if each.n},
            "token_source": _most(self._sources),
            "stamp": _most(self._stamps),
            **self._answers.figures(),
            **self._probes,
            **self._talks.figures({}),
            **self._settling(),
            **self._kept.figures({}),
        }
        if not self._outcomes["finished"]:
            of["error"] = self._error
        if window_from_s is None or window_to_s is None or window_to_s <= window_from_s:
            return of
        closed = not (self._level.open or self._level.trace)
        short = closed and too_short(window_to_s - window_from_s, medians["latency_s"])
        return of | self._rates(window_from_s, window_to_s, windows or {}, short=short)

    def _rates(
        self, from_s: float, to_s: float, windows: Mapping[int, tuple[float, float]], *, short: bool
    ) -> dict[str, Any]:
        """Return the figures over the window; without rates if it is too `short` for them."""
        streams = self._level.streams
        # What a worker counted is divided by the length of its own window, on its own clock.
        own = {worker: windows.get(worker, (from_s, to_s)) for worker in self._edges} or {0: (from_s, to_s)}
        totals = {worker: edges.totals(*own[worker]) for worker, edges in self._edges.items()}
        tokens_per_s = rate_of({worker: of.tokens for worker, of in totals.items()}, own) or 0.0
        in_flight = rate_of({worker: of.busy_s for worker, of in totals.items()}, own) or 0.0
        rates = {
            "requests_per_s": rate_of({worker: of.ended for worker, of in totals.items()}, own),
            "output_tokens_per_s": tokens_per_s,
            "stream_tokens_per_s": tokens_per_s / streams if streams else None,
            "delivered_rate": rate_of(self._sent, own),
        }
        of = {
            "window_from_s": from_s,
            "window_s": to_s - from_s,
            **({} if short else rates),
            "in_flight": in_flight,
            "little_residual": share_apart(self._little[worker].apart(*own[worker]) for worker in totals),
            **self._drift(in_flight),
            **self._kept.figures({} if short else own),
            **self._talks.figures(own),
        }
        if self._level.open:
            of["backlog"] = backlog = [self._backlog_up_to(to_s * third / 3) for third in (1, 2, 3)]
            at_first_s = next(iter(self._latency.batches(settling.BATCH)), None) or 0.0
            full = to_s / 3 >= _FILLS * at_first_s
            # That of a trace grows when the trace has more requests.
            of["beyond_capacity"] = full and turn_trend.grows(backlog) and not self._level.trace
        return of

    def _backlog_up_to(self, time_s: float) -> int:
        return largest_sum(self._backlog.values(), to_s=time_s)

    def _settling(self) -> dict[str, Any]:
        if self._level.trace:
            # Its load changes, and so does the TPOT.
            return {}
        means = [mean for mean in self._tpot.batches(settling.BATCH) if mean is not None]
        if len(means) < settling.LEAST_BATCHES:
            return {}
        cut = settling.settle_needed(means)
        if cut is None:
            return {"unsettled": True}
        return {"settle_needed": cut * settling.BATCH * self._tpot.width}

    def _drift(self, in_flight: float) -> dict[str, Any]:
        if self._level.trace:
            return {}
        parts = turn_trend.parts_for(self._outcomes.total(), in_flight)
        means = self._tpot.parts(self._first, self._last, parts) if parts else []
        if not means or not means[0]:
            return {}
        drift, p = turn_trend.drift(means)
        return {"drift": drift, "drift_p": p}


def outcome(sample: Iteration) -> str:
    """What became of a request: one of `OUTCOMES`."""
    if sample.ok:
        return "finished"
    if sample.refused:
        return "refused"
    kind = sample.error.kind if sample.error is not None else ""
    return {"timeout": "timed_out", "stopped": "unfinished"}.get(kind, "failed")


def late_s(sample: Iteration) -> float | None:
    """The part of the client queue of a request (s) that is not waiting for the cap; None in a closed loop."""
    if sample.due_s is None or sample.written_s is None:
        return None
    return max(0.0, sample.written_s - sample.due_s - (sample.waited_s or 0.0))


def _queue(sample: Iteration) -> Iterator[tuple[Quantity, Iterable[float]]]:
    """The parts of the client queue, whatever became of the request."""
    if (late := late_s(sample)) is not None:
        yield "late", (late,)
        yield "waiting", (sample.waited_s or 0.0,)


def _durations(sample: Iteration) -> Iterator[tuple[Quantity, Iterable[float]]]:
    """The durations of a good answer."""
    named: tuple[tuple[Quantity, float | None], ...] = (
        ("latency", sample.latency_s),
        ("ttft", sample.ttft_s),
        ("ttfo", sample.ttfo_s),
        ("tpot", sample.tpot_s),
    )
    for quantity, value in named:
        if value is not None:
            yield quantity, (value,)
    if sample.itl_s is not None:
        arrivals = sample.arrivals_ns
        starts = pieces(arrivals)
        yield "itl", [(arrivals[b] - arrivals[a]) / 1e9 for a, b in itertools.pairwise(starts)]
    if sample.due_s is not None and sample.written_s is not None and sample.latency_s is not None:
        queue_s = max(0.0, sample.written_s - sample.due_s)
        yield "scheduled_latency", (queue_s + sample.latency_s,)
        if sample.ttft_s is not None:
            yield "scheduled_ttft", (queue_s + sample.ttft_s,)


def _most(counts: Counter[Any]) -> Any:
    return counts.most_common(1)[0][0] if counts else None
