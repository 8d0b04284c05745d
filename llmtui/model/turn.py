"""The record of a turn: what one backend gets at a time at one level, from its first request to the end of its last."""

from __future__ import annotations

from typing import Literal

from llmtui.model.base import Outside, Own, Struct
from llmtui.model.sample import DISTURBED_CORES, Failure, Iteration, Phase, Stamp, TokenSource

#: Where in a turn a request was sent: before the window, in it, or after it, while answers of the window still arrive.
Share = Literal["settling", "window", "tail"]

#: "partial": it was stopped before its end. Its requests are stored, but it is not compared.
TurnState = Literal["running", "whole", "partial"]


class Turn(Struct, frozen=True):
    """One turn of a backend at a level. Figures are of the requests that were sent in its window, unless they say so.

    `seq` is its place in the order of the run, which its requests have as `turn`. `round` counts from 1 on within
    attempt and phase. Durations are medians in s; figures without a value are None. `requests` are those of the window:
    `finished`, `failed`, `refused`, `timed_out` and `unfinished` add up to it. `settled` requests came before the
    window. Rates are per second of the window (`window_s`): `requests_per_s` counts the ends in it,
    `output_tokens_per_s` the tokens that arrived in it, and `delivered_rate` the starts. `in_flight` is the time
    average of the requests under way. `waiting_s` and `late_s` are the two parts of the client queue of an open loop.
    `text` is one of the answers.
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
    window_s: float | None = None
    elapsed_s: float | None = None
    requests: int = 0
    finished: int = 0
    failed: int = 0
    refused: int = 0
    timed_out: int = 0
    unfinished: int = 0
    latency_s: float | None = None
    ttft_s: float | None = None
    ttfo_s: float | None = None
    itl_s: float | None = None
    tpot_s: float | None = None
    tokens_per_s: float | None = None
    requests_per_s: float | None = None
    output_tokens_per_s: float | None = None
    delivered_rate: float | None = None
    in_flight: float | None = None
    in_flight_most: int | None = None
    little_residual: float | None = None
    waiting_s: float | None = None
    late_s: float | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: TokenSource | None = None
    finish_reason: Outside | None = None
    stamp: Stamp | None = None
    foreign_cpu: float | None = None
    server_cpu: float | None = None
    worker_cpu: float | None = None
    steal: float = 0.0
    swapped: int = 0
    throttled: int = 0
    disturbed_from: float = DISTURBED_CORES
    error: Failure | None = None
    text: Outside = ""

    @property
    def as_sample(self) -> Iteration:
        """The turn as one sample of its level, for everything that compares backends round by round.

        A turn that is partial, or in which no request succeeded, is a failure.
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
            **{name: getattr(self, name) for name in _SAME},
        )


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
    "output_tokens",
    "prompt_tokens",
    "cached_tokens",
    "token_source",
    "finish_reason",
    "foreign_cpu",
    "server_cpu",
    "steal",
    "swapped",
    "throttled",
    "stamp",
    "part",
    "launch",
    "seq",
    "level",
    "disturbed_from",
    "text",
)
