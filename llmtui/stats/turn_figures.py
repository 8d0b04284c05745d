"""The figures of a turn, from its samples and its window. `llmtui explain loads` has the definitions."""

from __future__ import annotations

import statistics
from array import array
from collections import Counter
from collections.abc import Iterable
from typing import Any

from llmtui.model import Iteration, TokenSource

#: Figures of a turn that are medians over the good answers of its window.
MEDIANS = ("latency_s", "ttft_s", "ttfo_s", "itl_s", "tpot_s", "tokens_per_s")
_COUNTS = ("output_tokens", "prompt_tokens", "cached_tokens")


class TurnFigures:
    """Collects the samples of one turn in columns; `figures` computes what `llmtui.model.Turn` has of them."""

    def __init__(self) -> None:
        self._values: dict[str, array[float]] = {name: array("d") for name in (*MEDIANS, *_COUNTS, "waited_s")}
        self._late = array("d")
        self._sources: Counter[TokenSource] = Counter()
        self._reasons: Counter[str] = Counter()
        self._spans: list[tuple[float, float]] = []
        self._tokens: list[tuple[float, float, int]] = []
        self._edges: list[Iteration] = []
        self.outcomes: Counter[str] = Counter()
        self.settled = 0
        self.error: Any = None
        self.text = ""
        self.stamps: Counter[Any] = Counter()

    def add(self, samples: Iterable[Iteration]) -> None:
        """Add samples."""
        for sample in samples:
            self._add(sample)

    def _add(self, sample: Iteration) -> None:
        self.settled += sample.share == "settling"
        start = sample.written_s or 0.0
        if sample.latency_s is not None:
            self._spans.append((start, start + sample.latency_s))
        if sample.ok:
            self._edges.append(sample)
        if sample.share != "window":
            return
        self.outcomes[_outcome(sample)] += 1
        if not sample.ok:
            self.error = sample.error
            return
        for name, values in self._values.items():
            value = getattr(sample, name)
            if value is not None:
                values.append(value)
        if sample.due_s is not None:
            self._late.append(max(0.0, start - sample.due_s - (sample.waited_s or 0.0)))
        if sample.token_source is not None:
            self._sources[sample.token_source] += 1
        if sample.finish_reason is not None:
            self._reasons[sample.finish_reason] += 1
        if sample.stamp is not None:
            self.stamps[sample.stamp] += 1
        self.text = self.text or sample.text

    def figures(self, window_from_s: float | None, window_to_s: float | None) -> dict[str, Any]:
        """Return the fields of a turn with this window (s since the turn began), None without one."""
        of: dict[str, Any] = {name: self.outcomes[name] for name in OUTCOMES}
        of |= {
            "settled": self.settled,
            "requests": sum(self.outcomes.values()),
            "token_source": _most(self._sources),
            "finish_reason": _most(self._reasons),
            "stamp": _most(self.stamps),
            "text": self.text,
        }
        for name in MEDIANS:
            of[name] = statistics.median(self._values[name]) if self._values[name] else None
        for name in _COUNTS:
            of[name] = round(statistics.median(self._values[name])) if self._values[name] else None
        of["waiting_s"] = statistics.median(self._values["waited_s"]) if self._values["waited_s"] else None
        of["late_s"] = statistics.median(self._late) if self._late else None
        if not self.outcomes["finished"]:
            of["error"] = self.error
        if window_from_s is None or window_to_s is None or window_to_s <= window_from_s:
            return of
        length = window_to_s - window_from_s
        ends = sum(window_from_s <= end < window_to_s for _, end in self._spans)
        starts = sum(window_from_s <= start < window_to_s for start, _ in self._spans)
        busy = sum(max(0.0, min(end, window_to_s) - max(start, window_from_s)) for start, end in self._spans)
        return of | {
            "window_s": length,
            "requests_per_s": ends / length,
            "delivered_rate": starts / length,
            "in_flight": busy / length,
            "output_tokens_per_s": sum(_within(s, window_from_s, window_to_s) for s in self._edges) / length,
        }


#: What became of a request.
OUTCOMES = ("finished", "failed", "refused", "timed_out", "unfinished")


def _outcome(sample: Iteration) -> str:
    if sample.ok:
        return "finished"
    if sample.refused:
        return "refused"
    kind = sample.error.kind if sample.error is not None else ""
    return {"timeout": "timed_out", "stopped": "unfinished"}.get(kind, "failed")


def _within(sample: Iteration, window_from_s: float, window_to_s: float) -> float:
    """The output tokens of a sample that arrived in the window."""
    start = sample.written_s or 0.0
    total = sum(sample.arrival_tokens)
    tokens = sample.output_tokens if sample.output_tokens is not None else total
    if not total:
        return 0.0
    low, high = (window_from_s - start) * 1e9, (window_to_s - start) * 1e9
    inside = sum(n for at, n in zip(sample.arrivals_ns, sample.arrival_tokens, strict=True) if low <= at < high)
    return tokens * inside / total


def _most(counts: Counter[Any]) -> Any:
    return counts.most_common(1)[0][0] if counts else None
