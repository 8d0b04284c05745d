"""Iterations with any values that the history stores, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from llmtui.model import Failure, Iteration, Power

_SECONDS = st.none() | st.floats(0, 1e9)
_COUNT = st.none() | st.integers(0, 2**53)
# Any text that UTF-8 can encode: NULs, controls, and all planes.
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_FAILURE = st.builds(
    Failure,
    kind=st.sampled_from(["connect", "timeout", "http", "protocol", "server", "missing", "stopped"]),
    message=_TEXT,
    hint=_TEXT,
)
_POWER = st.builds(
    Power,
    meters=st.lists(_TEXT, max_size=3),
    by_process=st.booleans(),
    joules=_SECONDS,
    gpu_memory_bytes=_COUNT,
    joules_above_idle=st.none() | st.floats(-1e18, 1e18),
)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "attempt": st.integers(1, 9),
    "iteration": st.integers(1, 10**7),
    "phase": st.sampled_from(["warmup", "measured"]),
    "token_source": st.sampled_from([None, "usage", "server", "arrivals"]),
    "finish_reason": st.none() | _TEXT,
    "stamp": st.sampled_from([None, "kernel", "user"]),
    "written_stamp": st.sampled_from([None, "kernel", "user"]),
    "error": st.none() | _FAILURE,
    "text": _TEXT,
    "prompt": _TEXT,
    "arrivals_ns": st.lists(st.integers(0, 2**62 - 1), min_size=8, max_size=8).map(sorted),
    "arrival_tokens": st.lists(st.integers(0, 2**31), min_size=8, max_size=8),
    "started_utc": st.datetimes().map(lambda at: f"{at.isoformat(timespec='milliseconds')}Z"),
    "backend": st.sampled_from(["a", "b"]),
    "run": st.just("ab12cd34"),
    "refused": st.integers(0, 10**6),
    "repeated": st.integers(0, 10**6),
    "foreign_cpu": st.none() | st.floats(0, 1e6),
    "server_cpu": st.none() | st.floats(0, 1e6),
    "steal": st.floats(0, 1e6),
    "cpu_limited": st.floats(0, 1e6),
    "swapped": st.integers(0, 2**62),
    "throttled": st.integers(0, 10**6),
    "part": st.integers(1, 99),
    "launch": st.integers(1, 99),
    "seq": st.integers(0, 2**53),
    "disturbed_from": st.floats(0, 1e6),
    "hidden_tokens": st.integers(0, 2**53),
    "level": st.integers(0, 10**4),
    "turn": st.integers(0, 2**53),
    "request": st.integers(0, 10**9),
    "share": st.sampled_from(["", "settling", "window", "tail", "probe"]),
    "worker": st.integers(0, 10**4),
    "talk": st.integers(0, 10**9),
    "talk_turn": st.integers(0, 10**3),
    "attainment": st.none() | st.floats(0, 1),
    "in_flight": st.none() | st.integers(0, 10**9),
    "power": st.none() | _POWER,
}


def _strategy(name: str) -> st.SearchStrategy[Any]:
    if name in _FIELDS:
        return _FIELDS[name]
    return _COUNT if name.endswith("_tokens") else _SECONDS


def iterations_of(fixed: dict[str, Any]) -> st.SearchStrategy[Iteration]:
    """Any iteration with the fields in `fixed`."""
    fields = {name: _strategy(name) for name in Iteration.__struct_fields__ if name not in fixed}
    return st.fixed_dictionaries(fields).map(lambda others: Iteration(**fixed, **others))
