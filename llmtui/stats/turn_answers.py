"""What the answers of a turn were: whether two backends did the same work shows in these figures."""

from __future__ import annotations

from collections import Counter
from typing import Any

from llmtui.model import Iteration, pieces
from llmtui.model.finish_words import ended_by


def tokens_per_arrival(iteration: Iteration) -> float | None:
    """The reported output tokens per arrival, None for fewer than two arrivals or without a count."""
    arrivals, tokens = len(iteration.arrivals_ns), iteration.output_tokens
    if arrivals < 2 or tokens is None or iteration.token_source == "arrivals" or iteration.hidden_tokens:
        return None
    if ended_by(iteration.finish_reason) == "stop" and tokens == sum(iteration.arrival_tokens) + 1:
        tokens -= 1  # the end-of-sequence token never arrives
    return tokens / arrivals


def events_per_piece(iteration: Iteration) -> float | None:
    """The events with text in a piece of the answer, None for an answer in one piece or without arrivals."""
    if iteration.in_one_piece or not iteration.arrivals_ns:
        return None
    return sum(iteration.arrival_tokens) / len(pieces(iteration.arrivals_ns))


class Answers:
    """Takes the good answers of a window as they end; `figures` are the fields of `llmtui.model.Turn`."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()
        self._early = 0
        self._output = _Mean()
        self._cached = _Mean()
        self._per_arrival = _Mean()
        self._per_piece = _Mean()
        self._text = ""
        self._text_of = 0

    def add(self, sample: Iteration) -> None:
        """Add a good answer."""
        if sample.finish_reason is not None:
            self._reasons[sample.finish_reason] += 1
            self._early += ended_by(sample.finish_reason) != "length"
        self._output.add(sample.output_tokens)
        self._cached.add(sample.cached_tokens)
        self._per_arrival.add(tokens_per_arrival(sample))
        self._per_piece.add(events_per_piece(sample))
        # Answers end in another order at each backend, and are compared with one another.
        if sample.text and (not self._text_of or sample.request < self._text_of):
            self._text, self._text_of = sample.text, sample.request

    def figures(self) -> dict[str, Any]:
        """Return the fields of a turn."""
        return {
            "finish_reason": self._reasons.most_common(1)[0][0] if self._reasons else None,
            "ended_early": self._early,
            "output_tokens_mean": self._output.value,
            "cached_tokens_mean": self._cached.value,
            "tokens_per_arrival": self._per_arrival.value,
            "events_per_piece": self._per_piece.value,
            "text": self._text,
            "text_of": self._text_of,
        }


class _Mean:
    """The mean of the known values."""

    def __init__(self) -> None:
        self._n = 0
        self._sum = 0.0

    def add(self, value: float | None) -> None:
        if value is not None:
            self._n += 1
            self._sum += value

    @property
    def value(self) -> float | None:
        return self._sum / self._n if self._n else None
