"""The record of a turn: what one backend gets at a time at one level, from its first request to the end of its last."""

from __future__ import annotations

from typing import Any, Literal

from llmtui.model.base import Outside, Own, Struct
from llmtui.model.objectives import Objective
from llmtui.model.power import Power
from llmtui.model.sample import DISTURBED_CORES, Failure, Iteration, Phase, Stamp, TokenSource
from llmtui.model.workers import WorkerFigures

#: Where in a turn a request was sent: before the window, in it, or after it, while answers of the window still arrive.
Share = Literal["settling", "window", "tail"]

#: "partial": it was stopped before its end. Its requests are stored, but it is not compared.
TurnState = Literal["running", "whole", "partial"]


#: A quantity of which a turn has percentiles and buckets, all in s.
Quantity = Literal[
    "latency", "ttft", "ttfo", "tpot", "itl", "waiting", "late", "scheduled_latency", "scheduled_ttft", "probe"
]

#: A rise of the TPOT within a turn counts from this share on, ...
DRIFT_FROM = 0.05
#: ... if no more than this share of steady turns would show a trend as clear.
DRIFT_P = 0.05
#: A closed loop has no rates over a window that is shorter than this share of an answer: its few requests are sent at
#: one moment, and what ends or arrives in such a window depends on where it lies.
SHORT_WINDOW = 0.5
#: As many requests for each stream are enough for one.
REQUESTS_A_STREAM = 4


class Percentiles(Struct, frozen=True):
    """Percentiles of `n` values in s. A high one is None if `n` is too small for it (29, 59, 299)."""

    n: int
    p50: float
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


class TalkTurn(Struct, frozen=True):
    """The `n` good answers to the same question of their conversations, the first, second and so on: `turn`.

    `ttft_s` is a median; `prompt_tokens` is a mean, and `cached_share` the part of them that came from the server's
    cache, None if it does not report it.
    """

    turn: int
    n: int
    ttft_s: float | None = None
    prompt_tokens: float | None = None
    cached_share: float | None = None


def too_short(window_s: float | None, latency_s: float | None) -> bool:
    """Whether a window says nothing of the rates of a closed loop whose answers take `latency_s` (median)."""
    return window_s is not None and latency_s is not None and window_s < SHORT_WINDOW * latency_s


class Turn(Struct, frozen=True):
    """One turn of a backend at a level. Figures are of the requests that were sent in its window, unless they say so.

    `seq` is its place in the order of the run, which its requests have as `turn`. `round` counts from 1 on within
    attempt and phase. Durations are medians in s; figures without a value are None. `requests` are those of the window:
    `finished`, `failed`, `refused`, `timed_out` and `unfinished` add up to it. `loaded` of them are in no duration, as
    the server loaded its model meanwhile. `settled` requests came before the window. Rates are per second of the window
    (`window_s`, from `window_from_s` on, in s since the turn began): `requests_per_s` counts the good answers that
    ended in it, `output_tokens_per_s` their tokens that arrived in it, `stream_tokens_per_s` is the same for each
    stream of a closed loop, and `delivered_rate` counts the starts. `in_flight` is the time average of the requests
    under way, and `in_flight_most` their largest number; of several workers it is never too small, and may be a little
    too large (the largest of each within 1/64 s, or 1/2000 of a longer turn, added up). `little_residual` is
    |L - X W| / L: L is `in_flight` as the worker counted it, and X W the same from the starts and durations of the
    samples.

    `waiting_s` and `late_s` are the two parts of the client queue of an open loop, whose scheduled figures are from
    when a request was due. `late_p99_s` is the largest of fewer than 299, and since `late_from_s` (s since the turn
    began) llmtui was late with all of them: None if it kept up. `percentiles` has those of the durations, and
    `buckets` their counts, for those of several turns (llmtui.stats.buckets). `itl_s` is the median of all gaps.

    `settle_needed` is how many requests had to come before the TPOT was steady, None if it was not or too few came
    (`unsettled` says which). `drift` is the change of the TPOT from the first part of the window to the last, as a
    share, and `drift_p` how often a steady turn shows a trend as clear. `backlog` has the largest number of requests
    that were due and had not ended, up to one, two and three thirds of the time; `beyond_capacity`: it went on growing.
    `text` is the answer to request `text_of`, the first one of the window with an answer. `ended_early` counts the
    answers that ended before their token budget. The two means of tokens show different work that medians hide;
    `tokens_per_arrival` and `events_per_piece` are means too.

    With objectives (`Plan.slo`), `kept`, `missed` and `undetermined` add up to `requests`: a request that did not
    succeed missed them, and one that was cut off too early to tell is undetermined. `objectives` has the same three
    counts for each objective alone. `goodput_per_s` counts the requests that kept all of them, per second.

    `probes` requests of one token were sent beside the load within the window, `probes_failed` of them without an
    answer; `probe_s` is their median TTFT, or the latency of one whose token had no text. They are in no other figure.

    Of conversations, `thinking` is the time average of the users who think, `talk_turns` has figures by question, and
    `talks_failed` ended in the window because a request failed. `talks_full` ended in the whole turn because the
    history would not have fitted into the context. `power` is of the window.

    `workers` processes sent the requests. `worker_cpu` is the share of a core that one of them used, the busiest of
    several. `by_worker` has figures of each worker of a cluster; of processes of one machine it has none.
    """

    run: Own
    backend: Own
    attempt: int
    phase: Phase
    round: int
    level: int
    seq: int
    started_utc: Own
    state: TurnState = "running"
    launch: int = 1
    part: int = 1
    settled: int = 0
    window_from_s: float | None = None
    window_s: float | None = None
    elapsed_s: float | None = None
    requests: int = 0
    finished: int = 0
    failed: int = 0
    refused: int = 0
    timed_out: int = 0
    unfinished: int = 0
    loaded: int = 0
    latency_s: float | None = None
    ttft_s: float | None = None
    ttfo_s: float | None = None
    itl_s: float | None = None
    tpot_s: float | None = None
    tokens_per_s: float | None = None
    requests_per_s: float | None = None
    output_tokens_per_s: float | None = None
    stream_tokens_per_s: float | None = None
    delivered_rate: float | None = None
    in_flight: float | None = None
    in_flight_most: int | None = None
    little_residual: float | None = None
    waiting_s: float | None = None
    late_s: float | None = None
    late_p99_s: float | None = None
    late_from_s: float | None = None
    scheduled_latency_s: float | None = None
    scheduled_ttft_s: float | None = None
    settle_needed: int | None = None
    unsettled: bool = False
    drift: float | None = None
    drift_p: float | None = None
    backlog: list[int] = []
    beyond_capacity: bool = False
    output_tokens: int | None = None
    hidden_tokens: int = 0
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: TokenSource | None = None
    finish_reason: Outside | None = None
    server_prefill_s: float | None = None
    server_decode_s: float | None = None
    stamp: Stamp | None = None
    foreign_cpu: float | None = None
    server_cpu: float | None = None
    worker_cpu: float | None = None
    steal: float = 0.0
    swapped: int = 0
    throttled: int = 0
    disturbed_from: float = DISTURBED_CORES
    error: Failure | None = None
    percentiles: dict[Quantity, Percentiles] = {}
    buckets: dict[Quantity, list[int]] = {}
    ended_early: int = 0
    output_tokens_mean: float | None = None
    cached_tokens_mean: float | None = None
    tokens_per_arrival: float | None = None
    events_per_piece: float | None = None
    text: Outside = ""
    text_of: int = 0
    kept: int = 0
    missed: int = 0
    undetermined: int = 0
    objectives: dict[Objective, list[int]] = {}
    goodput_per_s: float | None = None
    probe_s: float | None = None
    probes: int = 0
    probes_failed: int = 0
    thinking: float | None = None
    talks_failed: int = 0
    talks_full: int = 0
    talk_turns: list[TalkTurn] = []
    power: Power | None = None
    workers: int = 1
    cpu_limited: float = 0.0
    by_worker: list[WorkerFigures] = []

    @property
    def short(self) -> bool:
        """Whether the window is too short for rates, in a closed loop."""
        return too_short(self.window_s, self.latency_s)

    @property
    def drifts(self) -> bool:
        """Whether the server became slower within the turn, by more than chance does."""
        return self.drift is not None and self.drift > DRIFT_FROM and (self.drift_p or 0.0) <= DRIFT_P

    @property
    def attainment(self) -> float | None:
        """The share of the requests that kept all objectives, None without objectives or requests."""
        judged = self.kept + self.missed
        return self.kept / judged if judged else None

    @property
    def spoiled(self) -> bool:
        """Whether it ended early, and not by a failure of the server: llmtui, a worker or the user ended it.

        Such a turn counts nowhere, neither as a sample nor as a failure: `resume` or the run itself takes it again.
        """
        return self.state == "partial" and (self.error is None or self.error.kind == "stopped")

    @property
    def failure_share(self) -> float:
        """The share of the requests of the window that did not succeed, 0 without any."""
        return 1 - self.finished / self.requests if self.requests else 0.0

    def request(self, **fields: Any) -> Iteration:
        """Return a request of the turn with these `fields`, and those that all its requests have in common."""
        return Iteration(
            run=self.run,
            backend=self.backend,
            attempt=self.attempt,
            iteration=self.round,
            phase=self.phase,
            started_utc=self.started_utc,
            level=self.level,
            turn=self.seq,
            part=self.part,
            launch=self.launch,
            **fields,
        )

    @property
    def as_sample(self) -> Iteration:
        """The turn as one sample of its level, for everything that compares backends round by round.

        Its tokens are means: they are the work of the turn. A turn that is partial, or in which no request succeeded,
        is a failure.
        """
        error = self.error
        if error is None and self.state != "whole":
            error = Failure(kind="stopped", message="the turn was stopped before its end")
        return Iteration(
            run=self.run,
            backend=self.backend,
            attempt=self.attempt,
            iteration=self.round,
            phase=self.phase,
            started_utc=self.started_utc,
            error=error,
            output_tokens=_whole(self.output_tokens_mean, self.output_tokens),
            cached_tokens=_whole(self.cached_tokens_mean, self.cached_tokens),
            request=self.text_of,
            **{name: getattr(self, name) for name in _SAME},
        )


def _whole(mean: float | None, median: int | None) -> int | None:
    return round(mean) if mean is not None else median


#: Fields that a turn and a sample have in common.
_SAME = (
    "latency_s",
    "ttft_s",
    "ttfo_s",
    "itl_s",
    "tpot_s",
    "tokens_per_s",
    "requests_per_s",
    "output_tokens_per_s",
    "goodput_per_s",
    "attainment",
    "hidden_tokens",
    "prompt_tokens",
    "token_source",
    "finish_reason",
    "server_prefill_s",
    "server_decode_s",
    "foreign_cpu",
    "server_cpu",
    "steal",
    "swapped",
    "throttled",
    "cpu_limited",
    "stamp",
    "part",
    "launch",
    "seq",
    "level",
    "disturbed_from",
    "text",
    "power",
)
