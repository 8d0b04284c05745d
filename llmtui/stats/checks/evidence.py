"""Evidence for the checks, from one attempt of one backend: updated by each iteration, in constant memory."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable

import msgspec

from llmtui.model import Iteration, Turn
from llmtui.model.finish_words import ended_by
from llmtui.stats.metrics import METRICS, MetricKey
from llmtui.stats.running import Counts
from llmtui.stats.summary import first_latency, percentile
from llmtui.stats.turn_answers import events_per_piece, tokens_per_arrival
from llmtui.text import sanitize

#: The number of newest iterations that are compared one by one with those of other backends.
RECENT = 128
#: The part of an answer that is compared. Ends are not, as a server may stop a token earlier or later.
ANSWER_CHARS = 160
#: Swapping counts if its pages may take this share of the latency, at this time for a page (s; a disk takes ten times
#: as long, an SSD a tenth): every machine with a swap file moves a page now and then.
SWAP_S = 0.001
SWAP_SHARE = 0.01
#: A CPU limit counts from this many cores on that it took: less is the end of one period.
LIMITED_FROM = 0.05
_THINKING = ("<think>", "<thinking>", "<|channel|>analysis")
#: The most stop reasons to count.
_MOST_REASONS = 16


class Thinned:
    """Values with their places: all up to `limit`, then every second, every fourth..."""

    def __init__(self, limit: int = 240) -> None:
        self._limit = limit
        self._step = 1
        self._count = 0
        self.places: list[int] = []
        self.values: list[float] = []

    def add(self, place: int, value: float) -> None:
        """Add the finite value of the iteration at `place`, which increases from call to call."""
        if self._count % self._step == 0:
            self.places.append(place)
            self.values.append(value)
            if len(self.values) > self._limit:
                self._step *= 2
                self.places, self.values = self.places[::2], self.values[::2]
        self._count += 1

    @property
    def median(self) -> float | None:
        """The median of the thinned values, None without values."""
        return self.at(0.5) if self.values else None

    def at(self, share: float) -> float:
        """The percentile of the thinned values, `share` in 0 to 1. Raises ValueError without values."""
        return percentile(sorted(self.values), share)


class Evidence:
    """One attempt of one backend. Counts are of its measured iterations, `good` of its samples.

    `outputs` are the output tokens that the server reported, `guessed` counts answers whose tokens were counted by
    arrivals, `characters` are the lengths of the answers. `hidden` are the tokens that the server counted and did not
    send, of the answers with such. `whole` counts the answers that came in one piece, and `per_piece` has the events
    per piece of the others. `warm_up_s` is the latency of the last warm-up before the first measured iteration, None
    without one or if it failed. `first_prefill_s` is the server's time per token of its
    first prompt (of a warm-up, if there is one), and `prefill` its time per token since then, by the server's clock.
    `per_arrival` has reported tokens per arrival. `recent` are the newest samples, for comparison with other backends:
    without arrivals, and with the beginning of the answer as `text`, its white space normalized. Samples during which
    the server loaded its model are in none of `recent`, `server_cpu` and `metrics`.

    Under a load an iteration is a turn (`Turn.as_sample`), and `turns` are the measured ones that are whole.
    """

    def __init__(self, iterations: Iterable[Iteration] = ()) -> None:
        self.measured = 0
        self.good = 0
        #: The samples during which the server loaded its model, whether the first one did, and the longest load (s).
        self.loaded = 0
        self.loaded_first = False
        self.load_most_s = 0.0
        self.last_failed: Iteration | None = None
        self.refused = 0
        self.repeated = 0
        self.parts: Counter[int] = Counter()
        #: The launches of its server with samples.
        self.launches: set[int] = set()
        self.disturbed = 0
        self.foreign_most = 0.0
        self.stolen = 0
        self.steal_most = 0.0
        #: Latencies of iterations while other programs or the hypervisor were busy, and of the others.
        self.busy = Thinned()
        self.quiet = Thinned()
        #: The cores that others took during the busy ones.
        self.taken = Thinned()
        self.disturbed_or_stolen = 0
        #: Whether the work of other programs was measured.
        self.foreign_known = False
        self.swapping = 0
        self.swapped = 0
        self.throttling = 0
        #: Samples in which the CPU limit of a container held something back, and the most cores that it took.
        self.limited = 0
        self.limited_most = 0.0
        self.outputs = Counts()
        self.guessed = 0
        self.hidden = Counts()
        self.whole = 0
        self.per_piece = Thinned()
        self.characters = Counts()
        self.per_arrival = Thinned()
        self.prompts = Counts()
        self.no_prompt_count = 0
        self.cache_reported = 0
        self._cached = 0
        self._cached_of = 0
        self.thinking = 0
        self.reasons: Counter[str] = Counter()
        self.uncounted = 0
        self.metrics: dict[MetricKey, Thinned] = {metric: Thinned() for metric in METRICS}
        self.server_cpu = Thinned()
        self.warm_up_s: float | None = None
        self.first_prefill_s: float | None = None
        self.prefill = Thinned()
        self.recent: deque[Iteration] = deque(maxlen=RECENT)
        self.turns: list[Turn] = []
        #: The measured turns that were spoiled (`Turn.spoiled`), which are in no count, and the rounds of the others.
        self.spoiled: list[Turn] = []
        self.rounds_measured: set[int] = set()
        for iteration in iterations:
            self.add(iteration)

    def add(self, iteration: Iteration) -> None:
        """Add the next iteration of this attempt, warm-up or measured, good or failed, with its text."""
        self.refused += iteration.refused
        self.repeated += iteration.repeated
        prefill_s = iteration.server_prefill_s or 0.0
        if iteration.ok and 0 < prefill_s < math.inf and iteration.prompt_tokens:
            each_s = prefill_s / iteration.prompt_tokens
            self.first_prefill_s = each_s if self.first_prefill_s is None else self.first_prefill_s
            if iteration.phase == "measured":
                self.prefill.add(self.measured, each_s)
        if iteration.phase != "measured":
            if not self.measured:
                self.warm_up_s = first_latency(iteration)
            return
        self.measured += 1
        if not iteration.ok:
            self.last_failed = iteration
            return
        self.good += 1
        self.parts[iteration.part] += 1
        self.launches.add(iteration.launch)
        self._machine(iteration)
        self._work(iteration)
        for metric, thinned in self.metrics.items():
            if (value := METRICS[metric].counted(iteration)) is not None:
                thinned.add(self.measured - 1, value)
        if iteration.loaded:
            self.loaded += 1
            self.loaded_first |= self.measured == 1
            self.load_most_s = max(self.load_most_s, iteration.server_load_s or 0.0)
            return
        if iteration.server_cpu is not None:
            self.server_cpu.add(self.measured - 1, iteration.server_cpu)
        answer = " ".join(iteration.text[: ANSWER_CHARS * 2].split())[:ANSWER_CHARS]
        self.recent.append(msgspec.structs.replace(iteration, text=answer, arrivals_ns=[], arrival_tokens=[]))

    def add_turn(self, turn: Turn) -> None:
        """Add the next turn of this attempt at one level, as `add` does."""
        if turn.spoiled:
            if turn.phase == "measured":
                self.spoiled.append(turn)
            return
        self.add(turn.as_sample)
        if turn.phase != "measured":
            return
        self.rounds_measured.add(turn.round)
        if turn.state != "whole":
            return
        self.turns.append(turn)
        if turn.tokens_per_arrival is not None:
            self.per_arrival.add(self.measured - 1, turn.tokens_per_arrival)
        if turn.events_per_piece is not None:
            self.per_piece.add(self.measured - 1, turn.events_per_piece)

    def _machine(self, iteration: Iteration) -> None:
        self.disturbed += iteration.disturbed
        self.foreign_most = max(self.foreign_most, iteration.foreign_cpu or 0.0)
        self.stolen += iteration.steal >= iteration.disturbed_from
        self.steal_most = max(self.steal_most, iteration.steal)
        self.foreign_known = self.foreign_known or iteration.foreign_cpu is not None
        taken = max(iteration.foreign_cpu or 0.0, iteration.steal)
        busy = taken >= iteration.disturbed_from
        self.disturbed_or_stolen += busy
        if busy:
            self.taken.add(self.measured - 1, taken)
        if (latency_s := METRICS["latency"].counted(iteration)) is not None:
            (self.busy if busy else self.quiet).add(self.measured - 1, latency_s)
            if iteration.swapped * SWAP_S >= SWAP_SHARE * latency_s:
                self.swapping += iteration.swapped > 0
                self.swapped += iteration.swapped
        self.throttling += iteration.throttled > 0
        self.limited += iteration.cpu_limited >= LIMITED_FROM
        self.limited_most = max(self.limited_most, iteration.cpu_limited)

    def _work(self, iteration: Iteration) -> None:
        if iteration.in_one_piece:
            self.whole += 1
        elif (events := events_per_piece(iteration)) is not None:
            self.per_piece.add(self.measured - 1, events)
        if iteration.hidden_tokens:
            self.hidden.add(iteration.hidden_tokens)
        elif iteration.output_tokens is None:
            self.uncounted += 1
        elif iteration.token_source == "arrivals":
            self.guessed += 1
        else:
            self.outputs.add(iteration.output_tokens)
            if (ratio := tokens_per_arrival(iteration)) is not None:
                self.per_arrival.add(self.measured - 1, ratio)
        # A client that connects late gets older iterations without their text.
        if iteration.text:
            self.characters.add(len(iteration.text))
        if iteration.prompt_tokens is None:
            self.no_prompt_count += 1
        else:
            self.prompts.add(iteration.prompt_tokens)
        if iteration.cached_tokens is not None:
            self.cache_reported += 1
            self._cached += iteration.cached_tokens
            self._cached_of += max(iteration.prompt_tokens or 0, iteration.cached_tokens)
        reasoned = iteration.ttft_s is not None and (iteration.ttfo_s is None or iteration.ttfo_s > iteration.ttft_s)
        self.thinking += reasoned or iteration.text.lstrip().startswith(_THINKING)
        if iteration.finish_reason:
            reason = ended_by(iteration.finish_reason) or sanitize(iteration.finish_reason, 30).lower()
            if reason in self.reasons or len(self.reasons) < _MOST_REASONS:
                self.reasons[reason] += 1

    @property
    def counted(self) -> int:
        """The number of samples that are in the figures."""
        return self.good - self.loaded

    @property
    def cached_share(self) -> float | None:
        """The share of the prompts (0 to 1) that came from a prefix cache, None if the server does not report it."""
        return self._cached / self._cached_of if self._cached_of else 0.0 if self.cache_reported else None

    @property
    def counts_reported(self) -> bool:
        """Whether the server reported the output tokens of most answers."""
        return 2 * len(self.outputs) > self.good

    @property
    def mostly_hidden(self) -> bool:
        """Whether the server counted tokens that it did not send in most answers."""
        return 2 * len(self.hidden) > self.good

    @property
    def ended_early(self) -> float | None:
        """The share of the answers (0 to 1) that ended before their token budget, None without stop reasons."""
        total = self.reasons.total()
        if total and self.turns:
            finished = sum(turn.finished for turn in self.turns)
            return sum(turn.ended_early for turn in self.turns) / finished if finished else None
        return 1 - self.reasons["length"] / total if total else None
