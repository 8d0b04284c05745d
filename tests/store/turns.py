"""Turns and requests of a load for tests of the history."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from llmtui.model import Iteration, Load, Plan, Turn
from llmtui.store.history import Store
from llmtui.store.turn_rows import chunks_of
from llmtui.store.turns import Chunk
from tests.store.runs import plan

RUN = "ab12cd34"
#: The fields that the requests of the turn of `turn()` have in common.
BASE: dict[str, Any] = {
    "run": RUN,
    "backend": "a",
    "attempt": 1,
    "iteration": 1,
    "phase": "measured",
    "started_utc": "2026-11-22T15:00:00.250Z",
    "level": 1,
    "turn": 1,
    "part": 1,
    "launch": 1,
}
_WORDS = ("a human eye can eat no helicopters in one sitting because they are " * 3).split()


def load_plan(*levels: int, run: str = RUN) -> Plan:
    """A plan with a closed load at these levels, and the backends "a" and "b"."""
    begun = plan(run)
    config = msgspec.structs.replace(begun.config, metric="output_tokens_per_s")
    return msgspec.structs.replace(begun, config=config, load=Load(concurrency=list(levels or (1, 8)), requests=4))


def turn(seq: int = 1, **more: Any) -> Turn:
    """A whole turn."""
    usual: dict[str, Any] = {
        "run": RUN,
        "backend": "a",
        "attempt": 1,
        "phase": "measured",
        "round": 1,
        "level": 1,
        "seq": seq,
        "started_utc": "2026-11-22T15:00:00.250Z",
        "state": "whole",
        "requests": 4,
        "finished": 4,
        "latency_s": 0.5,
        "requests_per_s": 12.5,
        "output_tokens_per_s": 800.0,
        "text": "Hello",
    }
    return Turn(**(usual | more))


def requests(chance: random.Random, count: int, tokens: int, **more: Any) -> list[Iteration]:
    """Requests of the turn of `turn()` as a real server answers them: gaps of 12.5 ms with a noise of 0.4 ms."""
    made = []
    for number in range(1, count + 1):
        at = [chance.randint(90_000_000, 150_000_000)]
        for _ in range(tokens - 1):
            at.append(at[-1] + max(1_000, int(chance.gauss(12_500_000, 400_000))))
        rate = max(1, tokens - 1) / ((at[-1] - at[0]) / 1e9) if tokens > 1 else None
        values: dict[str, Any] = {
            "request": number,
            "share": "window" if number > 2 else "settling",
            "written_s": number * 10_000_123 / 1e9,
            "in_flight": 8,
            "latency_s": at[-1] / 1e9,
            "ttft_s": at[0] / 1e9,
            "ttfo_s": at[0] / 1e9,
            "itl_s": 0.0125,
            "tpot_s": 1 / rate if rate else None,
            "tokens_per_s": rate,
            "output_tokens": tokens,
            "prompt_tokens": 46,
            "token_source": "usage",
            "finish_reason": "length",
            "stamp": "kernel",
            "text": " ".join(chance.choices(_WORDS, k=tokens)),
            "arrivals_ns": at,
            "arrival_tokens": [1] * tokens,
        }
        made.append(Iteration(**(BASE | values | more)))
    return made


def save_requests(store: Store, samples: list[Iteration]) -> None:
    """Save requests of one turn."""
    one = samples[0]
    store.save_turns(one.run, [], [Chunk(one.run, one.turn, count, packed) for count, packed in chunks_of(samples)])
