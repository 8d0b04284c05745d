"""What provokes each check on a load, and what is just below its limit: turns of "a" at the level that counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from llmtui.model import Failure, Load, WorkerFigures
from llmtui.stats.buckets import Buckets
from tests.loads import CLOSED, OPEN, Fields

STEADY = Load(request_rate=[2.0], arrival="constant", requests=40)
CAPPED = msgspec.structs.replace(STEADY, max_concurrency=4)


def lost(**counts: int) -> dict[str, Any]:
    return {**counts, "finished": 40 - sum(counts.values())}


def late(seconds: float, stalled: int = 0) -> dict[str, Any]:
    """40 requests that are sent so late, the first `stalled` of them by half a second."""
    buckets = Buckets()
    buckets.add([0.5] * stalled + [seconds] * (40 - stalled))
    return {"buckets": {"late": buckets.encoded()}}


def drifts(turns: int) -> Callable[[int, int], dict[str, Any]]:
    """In this many of the turns TPOT rises by 8%."""
    return lambda k, _: {"drift": 0.08, "drift_p": 0.01} if k <= turns else {"drift": 0.01, "drift_p": 0.3}


def workers(*others: int) -> list[WorkerFigures]:
    """Workers on whose machines this many other runs measured."""
    return [WorkerFigures(worker=n, name=f"node{n}", others=each) for n, each in enumerate(others, 1)]


def one_more(rounds: int) -> Callable[[int, int], dict[str, Any]]:
    """In this many rounds one more worker sends the requests."""
    return lambda k, _: {"workers": 2} if k <= rounds else {}


def spoiled(number: int) -> Callable[[int, int], dict[str, Any]]:
    """A worker dies in this round, after the server has failed two requests."""
    counts = {"requests": 20, "finished": 10, "failed": 2, "unfinished": 8}
    error = Failure(kind="stopped", message="worker w is lost")
    return lambda k, _: counts | {"state": "partial", "error": error} if k == number else {}


BEYOND = {"backlog": [14, 27, 40], "beyond_capacity": True}

#: Code, level, fields of turns of "a", of its state, load, part of the text.
PROVOKED: list[tuple[str, str, Fields, dict[str, Any], Load, str]] = [
    ("open-loop", "note", {}, {}, OPEN, "output tokens/s and requests/s are not compared"),
    ("client-bound", "void", late(0.0031), {}, STEADY, "too slow for 2 requests/s: a 3.10 ms late (p99)"),
    ("client-bound", "void", late(0.5) | {"late_from_s": 3.2}, {}, STEADY, "in the last one from 3.20 s on"),
    ("client-bound", "void", {"worker_cpu": 0.93}, {}, CLOSED, "too slow for 8 streams: a 93% of a core in 10 of 10"),
    ("little", "void", {"little_residual": 0.07}, {}, CLOSED, "a 7%"),
    ("delivered-load", "warning", {"in_flight": 7.7}, {}, CLOSED, "the load was not 8 streams: a 7.7 were under way"),
    ("delivered-load", "void", {"in_flight": 5.0}, {}, CLOSED, "a 5 were under way"),
    ("delivered-load", "warning", {"delivered_rate": 1.9}, {}, STEADY, "not 2 requests/s: a 1.9 requests/s were sent"),
    ("delivered-load", "void", {"delivered_rate": 1.0}, {}, OPEN, "a 1 requests/s"),
    ("short-window", "void", {"window_s": 0.02, "latency_s": 0.9}, {}, CLOSED, "have no rates: a 10 of 10 turns"),
    ("survivors", "warning", lost(failed=1), {}, CLOSED, "a 2.5% (10 failed of 400)"),
    ("survivors", "void", lost(refused=6, timed_out=1), {}, CLOSED, "(60 refused and 10 timed out of 400)"),
    ("drift-in-turns", "void", drifts(4), {}, CLOSED, "no steady state: a 4 of 10 turns, up to +8%"),
    ("beyond-capacity", "void", BEYOND, {}, OPEN, "2 requests/s are more than"),
    ("beyond-capacity", "void", BEYOND, {}, OPEN, "a 10 of 10 turns, up to 40 requests"),
    ("queue-grows", "warning", {"backlog": [5, 6, 8]}, {}, OPEN, "a 10 of 10 turns"),
    ("unsettled", "warning", {"unsettled": True}, {}, CLOSED, "a 10 of 10 turns"),
    ("workers-differ", "warning", one_more(1), {}, CLOSED, "in 1 of 10 rounds, as in round 1: a 2, b 1"),
    ("workers-differ", "void", one_more(2), {}, CLOSED, "in 2 of 10 rounds, as in round 1: a 2, b 1"),
    ("spoiled-turns", "warning", spoiled(3), {}, CLOSED, "a 1 of 10 turns (worker w is lost); no other turn took their "
     "place: a 1 round"),
    ("spoiled-turns", "warning", spoiled(3), {"state": "running"}, CLOSED, "; each is taken again"),
    ("spoiled-turns", "warning", spoiled(3), {}, CLOSED, "that the server failed: a 2 of 20 requests"),
    ("slots", "warning", {}, {"slots": 4}, CLOSED, "8 requests at a time on servers with fewer slots: a 4"),
    ("slots", "warning", {"in_flight_most": 9}, {"slots": 4}, OPEN, "9 requests at a time"),
    ("context-length", "warning", {}, {"context_tokens": 100}, CLOSED, "(tokens of each slot): a 100 of 110"),
    ("prefix-cache", "void", {"cached_tokens": 20}, {}, CLOSED, "not equally for all: a 43%, b 0%"),
    ("output-tokens", "void", {"output_tokens": 32}, {}, CLOSED, "a 32, b 64"),
    # The medians of the turns are equal.
    ("output-tokens", "void", {"output_tokens_mean": 50.2}, {}, CLOSED, "a 50, b 64"),
    ("prefix-cache", "void", {"cached_tokens_mean": 9.0}, {}, CLOSED, "a 20%, b 0%"),
    ("stop-reason", "warning", {"ended_early": 4}, {}, CLOSED, "before max_tokens"),
    ("tokens-per-arrival", "void", {"tokens_per_arrival": 4.0}, {}, CLOSED, "a 4, b 1"),
    ("not-streamed", "warning", {"events_per_piece": 16.0}, {}, CLOSED, "a 16"),
    ("answers-differ", "note", {"text": "the same as never"}, {}, CLOSED, "in 10 of 10 rounds"),
    ("prompt-tokens", "void", {"prompt_tokens": 92}, {}, CLOSED, "a 92, b 46"),
    ("other-run", "warning", {"by_worker": workers(0, 1)}, {}, CLOSED, "the same machine as node2: a 10 of 10 turns;"),
]  # fmt: skip
SILENT: list[tuple[str, Fields, dict[str, Any], Load]] = [
    ("open-loop", {}, {}, CLOSED),
    ("client-bound", late(0.0019) | {"worker_cpu": 0.79}, {}, STEADY),
    # 1% of the TTFT is more.
    ("client-bound", late(0.0049) | {"ttft_s": 0.5}, {}, STEADY),
    # One request of 400.
    ("client-bound", lambda k, _: late(0.0001, 1 if k == 3 else 0), {}, STEADY),
    ("little", {"little_residual": 0.04}, {}, CLOSED),
    ("delivered-load", {"in_flight": 7.9}, {}, CLOSED),
    ("delivered-load", {"delivered_rate": 1.97}, {}, STEADY),
    ("short-window", {"window_s": 0.5, "latency_s": 0.9}, {}, CLOSED),
    ("short-window", {"window_s": 0.02, "latency_s": 0.9}, {}, STEADY),
    # Of 400 random arrivals, as many more or fewer are chance.
    ("delivered-load", {"delivered_rate": 1.7}, {}, OPEN),
    ("survivors", {}, {}, CLOSED),
    ("drift-in-turns", drifts(3), {}, CLOSED),
    ("drift-in-turns", {"drift": 0.04, "drift_p": 0.01}, {}, CLOSED),
    ("drift-in-turns", {"drift": 0.08, "drift_p": 0.06}, {}, CLOSED),
    ("beyond-capacity", {"backlog": [14, 17, 20]}, {}, OPEN),
    ("queue-grows", {"backlog": [5, 8, 8]}, {}, OPEN),
    ("queue-grows", BEYOND, {}, OPEN),
    # An empty server fills in the first seconds.
    ("queue-grows", {"backlog": [5, 6, 8], "latency_s": 1.2}, {}, OPEN),
    ("queue-grows", {"backlog": [5, 6, 8]}, {}, CLOSED),
    ("failed-iterations", spoiled(3), {}, CLOSED),
    ("workers-differ", {"workers": 1}, {}, CLOSED),
    ("slots", {}, {"slots": 8}, CLOSED),
    ("slots", {}, {"slots": None}, CLOSED),
    ("context-length", {}, {"context_tokens": 110}, CLOSED),
    ("prefix-cache", {}, {}, CLOSED),
    ("output-tokens", {"output_tokens_mean": 63.8}, {}, CLOSED),
    # They are answers to different requests.
    ("answers-differ", {"text": "another one", "text_of": 18}, {}, CLOSED),
    ("other-run", {"by_worker": workers(0, 0)}, {}, CLOSED),
]
