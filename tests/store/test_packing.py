"""Packing and unpacking arrivals and tokens, and refusing damaged data."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.store.packing import MAX_ARRIVALS, MAX_NS, pack_deltas, pack_runs, unpack_deltas, unpack_runs

ARRIVALS = st.lists(st.integers(0, 2**34) | st.integers(0, MAX_NS), max_size=50).map(sorted)


@given(ARRIVALS)
def test_deltas_round_trip(numbers: list[int]) -> None:
    assert unpack_deltas(pack_deltas(numbers)) == numbers


@given(st.lists(st.integers(-(2**100), 2**100) | st.integers(0, 3), max_size=50))
def test_runs_round_trip(numbers: list[int]) -> None:
    assert unpack_runs(pack_runs(numbers), len(numbers)) == numbers


def test_the_format_is_fixed() -> None:
    """Later versions must read a history written today."""
    assert pack_deltas([125_000_000, 137_500_000, 137_500_000]).hex() == "80e59a77c0f0f50b00"
    assert pack_runs([1, 1, 1, 4]).hex() == "02060802"
    assert pack_deltas([]) == pack_runs([]) == b""


def test_a_typical_answer_is_small() -> None:
    arrivals = [150_000_000 + 12_345_678 * n for n in range(1000)]
    assert len(pack_deltas(arrivals)) <= 4 * 1000 + 1
    assert len(pack_runs([1] * 1000)) <= 4


@pytest.mark.parametrize("data", [b"\x80", b"\x02\xff", b"\xff" * 1000])
def test_a_truncated_number_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="number"):
        unpack_deltas(data)


@pytest.mark.parametrize("data", [b"\x02", b"\x02\x00", b"\x02\x01", b"\x02" + b"\xff" * 8 + b"\x7e"])
def test_an_invalid_run_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="a run has"):
        unpack_runs(data, 1)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([-1], "less than the one before"), ([5, 4], "less than the one before"), ([MAX_NS + 1], "too large")],
)
def test_negative_descending_and_huge_arrivals_are_refused(numbers: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        unpack_deltas(pack_deltas(numbers))


def test_too_many_arrivals_are_refused_before_unpacking() -> None:
    with pytest.raises(ValueError, match="more than"):
        unpack_deltas(b"\x00" * (MAX_ARRIVALS + 1))


def test_a_crafted_run_length_allocates_nothing() -> None:
    bomb = pack_runs([1] * 3)[:1] + b"\x80\xe1\xeb\x17"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="impossible length"):
            unpack_runs(bomb, 3)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=40), st.integers(0, 50))
def test_any_bytes_are_unpacked_or_refused(data: bytes, count: int) -> None:
    with contextlib.suppress(ValueError):
        assert len(unpack_deltas(data)) <= len(data)
    with contextlib.suppress(ValueError):
        assert len(unpack_runs(data, count)) == count
