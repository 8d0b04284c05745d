"""What the checks need to know of one attempt of one backend, while it grows: the same memory at ten iterations and at
100,000.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right, insort
from collections import Counter, deque
from collections.abc import Iterable

import msgspec

from llmtui.model import DISTURBED_CORES, Iteration
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.running import Counts
from llmtui.stats.summary import percentile
from llmtui.text import sanitize

#: So many of the newest iterations are compared with those of other backends, one by one.
RECENT = 128
#: So much of an answer is compared. A server may count a token more or less, so the ends of answers are not.
ANSWER_CHARS = 160
_THINKING = ("<think>", "<thinking>", "<|channel|>analysis")
#: More kinds of stop reasons than this are a server's nonsense.
_MOST_REASONS = 16
#: Words for one and the same end: the token budget, or the model's own.
_LENGTH = frozenset({"length", "max_tokens", "max_length", "max_new_tokens", "model_length"})
_STOP = frozenset({"stop", "eos", "eos_token", "end_turn", "stop_sequence", "done"})


class Thinned:
    """Values with their places: all of them up to `limit`, then every second, every fourth..."""

    def __init__(self, limit: int = 240) -> None:
        self._limit = limit
        self._step = 1
        self._came = 0
        self.places: list[int] = []
        self.values: list[float] = []

    def add(self, place: int, value: float) -> None:
        """Take in the finite value of the iteration at `place`, which grows from call to call."""
        if self._came % self._step == 0:
            self.places.append(place)
            self.values.append(value)
            if len(self.values) > self._limit:
                self._step *= 2
                self.places, self.values = self.places[::2], self.values[::2]
        self._came += 1

    @property
    def median(self) -> float | None:
        """The median of the values kept, None when there are none."""
        return self.at(0.5) if self.values else None

    def at(self, share: float) -> float:
        """The percentile of the values kept, `share` in 0 to 1. ValueError when there are none."""
        return percentile(sorted(self.values), share)


class Tails:
    """The least and the greatest of many values: `most` of either, ascending."""

    def __init__(self, most: int = 128) -> None:
        self.most = most
        self.least = array("d")
        self.greatest = array("d")

    def add(self, value: float) -> None:
        """Take in one finite value."""
        if len(self.least) < self.most or value < self.least[-1]:
            insort(self.least, value)
            del self.least[self.most :]
        if len(self.greatest) < self.most or value > self.greatest[0]:
            insort(self.greatest, value)
            del self.greatest[: -self.most]

    def beyond(self, low: float, high: float) -> int:
        """How many values lie below `low` or above `high`, as far as they were kept."""
        return bisect_left(self.least, low) + len(self.greatest) - bisect_right(self.greatest, high)


class Evidence:
    """One attempt of one backend. Counts are of its measured iterations; `good` of those that are samples.

    `outputs` are the output tokens that were told, `guessed` how many answers were counted by arrivals, `characters`
    the lengths of the answers' texts. `first_prefill_s` is what the server took for each token of its very first
    prompt, a warm-up where there are any, and `prefill` what it took for each since, by its own clock. `per_arrival`
    has the told tokens by the arrivals that brought them. `recent` are the newest samples for comparison with other
    backends: without arrivals, and as `text` the beginning of the answer, its white space evened out.
    """

    def __init__(self, iterations: Iterable[Iteration] = ()) -> None:
        self.measured = 0
        self.good = 0
        self.last_failed: Iteration | None = None
        self.refused = 0
        self.parts: Counter[int] = Counter()
        self.disturbed = 0
        self.foreign_most = 0.0
        self.stolen = 0
        self.steal_most = 0.0
        self.swapping = 0
        self.swapped = 0
        self.throttling = 0
        self.outputs = Counts()
        self.guessed = 0
        self.characters = Counts()
        self.per_arrival = Thinned()
        self.prompts = Counts()
        self.no_prompt_count = 0
        self.cache_told = 0
        self.cache_hits = 0
        self._cached = 0
        self._cached_of = 0
        self.thinking = 0
        self.reasons: Counter[str] = Counter()
        self.uncounted = 0
        self.metrics: dict[MetricKey, Thinned] = {metric: Thinned() for metric in METRICS}
        self.latency_tails = Tails()
        self.server_cpu = Thinned()
        self.first_prefill_s: float | None = None
        self.prefill = Thinned()
        self.recent: deque[Iteration] = deque(maxlen=RECENT)
        for iteration in iterations:
            self.add(iteration)

    def add(self, iteration: Iteration) -> None:
        """Take in the next iteration of this attempt, warm-up or measured, good or failed, with its text."""
        self.refused += iteration.refused
        if iteration.ok and iteration.server_prefill_s and iteration.prompt_tokens:
            each_s = iteration.server_prefill_s / iteration.prompt_tokens
            self.first_prefill_s = each_s if self.first_prefill_s is None else self.first_prefill_s
            if iteration.phase == "measured":
                self.prefill.add(self.measured, each_s)
        if iteration.phase != "measured":
            return
        self.measured += 1
        if not iteration.ok:
            self.last_failed = iteration
            return
        self.good += 1
        self.parts[iteration.part] += 1
        self._machine(iteration)
        self._work(iteration)
        for metric, kept in self.metrics.items():
            value = METRICS[metric].of(iteration)
            if value is not None and math.isfinite(value):
                kept.add(self.measured - 1, value)
                if metric == "latency":
                    self.latency_tails.add(value)
        if iteration.server_cpu is not None:
            self.server_cpu.add(self.measured - 1, iteration.server_cpu)
        answer = " ".join(iteration.text[: ANSWER_CHARS * 2].split())[:ANSWER_CHARS]
        self.recent.append(msgspec.structs.replace(iteration, text=answer, arrivals_ns=[], arrival_tokens=[]))

    def _machine(self, iteration: Iteration) -> None:
        self.disturbed += iteration.disturbed
        self.foreign_most = max(self.foreign_most, iteration.foreign_cpu or 0.0)
        self.stolen += iteration.steal >= DISTURBED_CORES
        self.steal_most = max(self.steal_most, iteration.steal)
        self.swapping += iteration.swapped > 0
        self.swapped += iteration.swapped
        self.throttling += iteration.throttled > 0

    def _work(self, iteration: Iteration) -> None:
        if iteration.output_tokens is None:
            self.uncounted += 1
        elif iteration.token_source == "arrivals":
            self.guessed += 1
        else:
            self.outputs.add(iteration.output_tokens)
            if (ratio := _per_arrival(iteration, iteration.output_tokens)) is not None:
                self.per_arrival.add(self.measured - 1, ratio)
        # Of older iterations a client that comes late is not given the text.
        if iteration.text:
            self.characters.add(len(iteration.text))
        if iteration.prompt_tokens is None:
            self.no_prompt_count += 1
        else:
            self.prompts.add(iteration.prompt_tokens)
        if iteration.cached_tokens is not None:
            self.cache_told += 1
            self.cache_hits += iteration.cached_tokens > 0
            self._cached += iteration.cached_tokens
            self._cached_of += max(iteration.prompt_tokens or 0, iteration.cached_tokens)
        reasoned = iteration.ttft_s is not None and (iteration.ttfo_s is None or iteration.ttfo_s > iteration.ttft_s)
        self.thinking += reasoned or iteration.text.lstrip().startswith(_THINKING)
        if iteration.finish_reason:
            reason = sanitize(iteration.finish_reason, 30).lower()
            reason = "length" if reason in _LENGTH else "stop" if reason in _STOP else reason
            if reason in self.reasons or len(self.reasons) < _MOST_REASONS:
                self.reasons[reason] += 1

    @property
    def cached_share(self) -> float | None:
        """The share of the prompts (0 to 1) that came from a prefix cache; None where the server does not tell."""
        return self._cached / self._cached_of if self._cached_of else 0.0 if self.cache_told else None

    @property
    def counts_told(self) -> bool:
        """Whether the output tokens of most answers were told."""
        return 2 * len(self.outputs) > self.good

    @property
    def ended_early(self) -> float | None:
        """The share of the answers (0 to 1) that stopped before the budget did; None where no reason was told."""
        total = self.reasons.total()
        return 1 - self.reasons["length"] / total if total else None


def _per_arrival(iteration: Iteration, tokens: int) -> float | None:
    """Output tokens an arrival, None where there are no two arrivals."""
    arrivals = len(iteration.arrivals_ns)
    if arrivals < 2:
        return None
    if iteration.finish_reason in _STOP and tokens == sum(iteration.arrival_tokens) + 1:
        tokens -= 1  # the end-of-sequence token never arrives
    return tokens / arrivals
