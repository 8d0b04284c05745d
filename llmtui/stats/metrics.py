"""The registry of metrics: one record each, with its title, its unit, its getter, and what it depends on.

Tables, exports, charts, checks and the command line iterate over `METRICS`. To add a metric that can be derived from
an iteration, add its key and its record here and a field to `llmtui.stats.summary.Summary`.

Backends of a race are compared by those. `ENERGY` is not among them: it decides no race. It has a trend, limits, and
a comparison of its own (llmtui.stats.run_energy).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Literal

import msgspec

from llmtui.model import Iteration
from llmtui.model.accuracy import Level
from llmtui.text.format import Kind, Unit

MetricKey = Literal[
    "latency",
    "ttft",
    "itl",
    "tokens_per_s",
    "tpot",
    "prefill_tokens_per_s",
    "output_tokens_per_s",
    "requests_per_s",
    "goodput",
    "attainment",
    "energy_per_token",
]

#: What must be equal between two backends for a metric to be comparable: the length of the answers, the time before
#: the first token (prompt, reasoning), the share of the prompt that a cache answered, whether both stream, the tokens
#: of one arrival, and reliable counts of output, prompt and cached tokens.
Condition = Literal["length", "start", "cache", "stream", "arrivals", "token counts", "prompt counts", "cached counts"]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. `of` returns its value for an iteration in seconds or per second, None if unknown; `value` checks it,
    and `counted` is the one that statistics use.

    `unit` is the unit on screen, but durations in s are in ms below 0.1 s (llmtui.text.format). `per` says what the
    value is divided by: a metric per token stays comparable when answers differ in length, and its error is a share of
    it, not a duration. `needs` are the conditions without which it is not comparable. `own_error` returns the 99th
    percentile of llmtui's own error from an accuracy level and the median TTFT in s: seconds, or a share where `per` is
    set. `column` is the title of its column of medians in the summary table, "" without one. `charted`: the monitor
    draws it. `estimated`: exports have the intervals of its median and mean, and its bad end.
    `zero`: it can be 0, such as the gap between tokens that arrived together. `of_turn`: it is of a whole turn of a
    load, and a race does not have it. `of_objectives`: so has a load without objectives. A `share` is at most 1, and
    backends are compared by its differences (llmtui.stats.attainment), not by ratios.
    """

    key: MetricKey
    title: str
    unit: Kind
    of: Callable[[Iteration], float | None]
    direction: Literal["lower", "higher"]
    needs: frozenset[Condition]
    own_error: Callable[[Level, float | None], float]
    doc: str
    per: Literal["", "token", "prompt token", "request"] = ""
    column: str = ""
    charted: bool = False
    estimated: bool = False
    zero: bool = False
    of_turn: bool = False
    of_objectives: bool = False
    share: bool = False

    def value(self, iteration: Iteration) -> float | None:
        """The value of an iteration in seconds or tokens/s, None if it is unknown or not `possible`.

        A history or a server of others may contain any number.
        """
        value = self.of(iteration)
        return value if value is not None and self.possible(value) else None

    def counted(self, iteration: Iteration) -> float | None:
        """The same, but None if the server loaded its model meanwhile. Statistics and charts have these values only.

        A load is not the speed of an answer, so to leave it out favours no backend.
        """
        return None if iteration.loaded else self.value(iteration)

    def possible(self, value: float) -> bool:
        """Whether this can be true: not NaN, not infinite, not negative, and 0 only if the metric can be `zero`."""
        return 0 < value < math.inf or (self.zero and value == 0)

    @property
    def rate(self) -> bool:
        """Whether this counts tokens or requests per second."""
        return self.unit in ("tokens/s", "requests/s")

    @property
    def higher_is_better(self) -> bool:
        """Whether the larger of two values is the better one."""
        return self.direction == "higher"

    @property
    def bad_end(self) -> float:
        """The share of the values below the worst twentieth: 0.95, of a rate 0.05."""
        return 0.05 if self.higher_is_better else 0.95

    @property
    def bad_end_title(self) -> str:
        """ "p95", of a rate "p5"."""
        return f"p{100 * self.bad_end:.0f}"

    def change_word(self, *, better: bool) -> str:
        """The word for a change of this metric: "faster" or "slower" of times and rates, else "better" or "worse"."""
        if self.of_objectives or self.key == "energy_per_token":
            return "better" if better else "worse"
        return "faster" if better else "slower"

    def titled(self, unit: Unit | None = None) -> str:
        """The title with the unit (that of a column, if it is not the usual one), as an axis or a heading shows it."""
        return self.title if self.rate else f"{self.title} in {unit or self.unit}"

    @property
    def by(self) -> str:
        """ " by TTFT" for a sentence; "" for the latency, which a sentence is about unless it says otherwise."""
        return "" if self.key == "latency" else f" by {self.title}"


def _prefill_rate(iteration: Iteration) -> float | None:
    if iteration.prompt_tokens is None or not iteration.ttft_s or iteration.hidden_tokens:
        return None
    computed = iteration.prompt_tokens - (iteration.cached_tokens or 0)
    return computed / iteration.ttft_s if computed > 0 else None


_REGISTERED = (
    Metric(
        key="latency",
        title="latency",
        unit="s",
        of=attrgetter("latency_s"),
        direction="lower",
        needs=frozenset({"length", "start", "cache"}),
        own_error=lambda level, _: level.latency_s.p99,
        doc=("From the request being written to the arrival of the last token. For a JSON document: to its last byte."),
        charted=True,
        estimated=True,
    ),
    Metric(
        key="ttft",
        title="TTFT",
        unit="s",
        of=attrgetter("ttft_s"),
        direction="lower",
        needs=frozenset({"start", "cache", "stream"}),
        own_error=lambda level, _: level.ttft_s.p99,
        doc=(
            "Time to first token: from the request being written to the arrival of the first token. Content, "
            "reasoning and tool calls count; an empty or role-only chunk does not."
        ),
        column="TTFT",
        charted=True,
        estimated=True,
    ),
    Metric(
        key="itl",
        title="ITL",
        unit="ms",
        of=attrgetter("itl_s"),
        direction="lower",
        needs=frozenset({"arrivals", "stream"}),
        own_error=lambda level, _: level.itl_s.p99,
        doc=(
            "Inter-token latency: the gap between two arrivals that carried tokens. An iteration reports its median "
            "gap, of at least four arrivals."
        ),
        charted=True,
        zero=True,
    ),
    Metric(
        key="tokens_per_s",
        title="tokens/s",
        unit="tokens/s",
        of=attrgetter("tokens_per_s"),
        direction="higher",
        needs=frozenset({"token counts"}),
        own_error=lambda level, _: level.tokens_per_s_share.p99,
        doc=(
            "(output tokens - tokens in the first arrival) / (latency - TTFT): the decode speed of one stream, of at "
            "least four arrivals."
        ),
        per="token",
        column="tok/s",
        charted=True,
        estimated=True,
    ),
    Metric(
        key="tpot",
        title="TPOT",
        unit="ms",
        of=attrgetter("tpot_s"),
        direction="lower",
        needs=frozenset({"token counts"}),
        own_error=lambda level, _: level.tokens_per_s_share.p99,
        doc="Time per output token: (latency - TTFT) / (output tokens - tokens in the first arrival).",
        per="token",
    ),
    Metric(
        key="prefill_tokens_per_s",
        title="prefill tokens/s",
        unit="tokens/s",
        of=_prefill_rate,
        direction="higher",
        needs=frozenset({"cache", "stream", "prompt counts", "cached counts"}),
        own_error=lambda level, ttft_s: level.ttft_s.p99 / ttft_s if ttft_s else 0.0,
        doc="(prompt tokens - cached tokens) / TTFT.",
        per="prompt token",
    ),
    Metric(
        key="output_tokens_per_s",
        title="output tokens/s",
        unit="tokens/s",
        of=attrgetter("output_tokens_per_s"),
        direction="higher",
        needs=frozenset({"token counts"}),
        own_error=lambda level, _: level.tokens_per_s_share.p99,
        doc="Of all streams of a load together: tokens that arrived in the window of a turn / its length.",
        per="token",
        of_turn=True,
    ),
    Metric(
        key="requests_per_s",
        title="requests/s",
        unit="requests/s",
        of=attrgetter("requests_per_s"),
        direction="higher",
        needs=frozenset({"length", "start", "cache"}),
        own_error=lambda level, _: level.tokens_per_s_share.p99,
        doc="Of all streams of a load together: good answers that ended in the window of a turn / its length.",
        per="request",
        of_turn=True,
    ),
    Metric(
        key="goodput",
        title="good requests/s",
        unit="requests/s",
        of=attrgetter("goodput_per_s"),
        direction="higher",
        needs=frozenset({"length", "start", "cache"}),
        own_error=lambda level, _: level.tokens_per_s_share.p99,
        doc="Goodput: requests of the window of a turn that kept all objectives / its length.",
        per="request",
        zero=True,
        of_turn=True,
        of_objectives=True,
    ),
    Metric(
        key="attainment",
        title="attainment",
        unit="share",
        of=attrgetter("attainment"),
        direction="higher",
        needs=frozenset({"length", "start", "cache"}),
        own_error=lambda level, _: level.tokens_per_s_share.p99,
        doc="Share of the requests of the window of a turn that kept all objectives; those that failed did not.",
        per="request",
        zero=True,
        of_turn=True,
        of_objectives=True,
        share=True,
    ),
)

METRICS: dict[MetricKey, Metric] = {metric.key: metric for metric in _REGISTERED}
#: Energy per output token, where the hardware tells it.
ENERGY = Metric(
    key="energy_per_token",
    title="energy per token",
    unit="J/token",
    of=lambda iteration: iteration.power.joules_per_token if iteration.power is not None else None,
    direction="lower",
    needs=frozenset({"length", "start", "cache", "token counts"}),
    own_error=lambda _, __: 0.0,
    doc="Energy of the meters during an answer, or the window of a turn / its output tokens.",
    column="J/token",
)
#: All metrics, also the one by which no backends are compared in a race.
ALL_METRICS: dict[MetricKey, Metric] = METRICS | {ENERGY.key: ENERGY}
#: The metrics that the monitor draws, in the order of its `m` key.
CHARTED: tuple[MetricKey, ...] = tuple(metric.key for metric in _REGISTERED if metric.charted)
#: Those of a load, and of one with objectives.
CHARTED_OF_LOAD: tuple[MetricKey, ...] = ("output_tokens_per_s", *CHARTED)
CHARTED_OF_OBJECTIVES: tuple[MetricKey, ...] = ("output_tokens_per_s", "goodput", *CHARTED)
#: Those by which backends are compared as ratios.
RATIOS: tuple[MetricKey, ...] = tuple(metric.key for metric in _REGISTERED if not metric.share)


def needing(*conditions: Condition) -> list[MetricKey]:
    """The metrics that are not comparable when one of these conditions differs between two backends."""
    return [metric.key for metric in _REGISTERED if not metric.needs.isdisjoint(conditions)]
