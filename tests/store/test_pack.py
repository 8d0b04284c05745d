"""Arrivals and tokens survive packing, and a damaged pack is told, never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtui.store.pack import pack_deltas, pack_runs, unpack_deltas, unpack_runs

NUMBERS = st.lists(st.integers(-(2**100), 2**100) | st.integers(0, 2**34), max_size=50)


@given(NUMBERS)
def test_deltas_round_trip(numbers: list[int]) -> None:
    assert unpack_deltas(pack_deltas(numbers)) == numbers


@given(st.lists(st.integers(-(2**100), 2**100) | st.integers(0, 3), max_size=50))
def test_runs_round_trip(numbers: list[int]) -> None:
    assert unpack_runs(pack_runs(numbers)) == numbers


def test_the_form_on_disk_is_fixed() -> None:
    """A history written today is read by every later version: these bytes never change."""
    assert pack_deltas([125_000_000, 137_500_000, 137_499_999]).hex() == "80e59a77c0f0f50b01"
    assert pack_runs([1, 1, 1, 4]).hex() == "02060802"
    assert pack_deltas([]) == pack_runs([]) == b""


def test_a_usual_answer_is_small() -> None:
    arrivals = [150_000_000 + 12_345_678 * n for n in range(1000)]
    assert len(pack_deltas(arrivals)) <= 4 * 1000 + 1
    assert len(pack_runs([1] * 1000)) <= 4


@pytest.mark.parametrize("data", [b"\x80", b"\x02\xff", b"\xff" * 1000])
def test_a_cut_number_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match="number"):
        unpack_deltas(data)


@pytest.mark.parametrize("data", [b"\x02", b"\x02\x00", b"\x02\x01", b"\x02" + b"\xff" * 8 + b"\x7e"])
def test_an_impossible_run_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match="a run has"):
        unpack_runs(data)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for unpack in (unpack_deltas, unpack_runs):
        try:
            unpack(data[:3] if unpack is unpack_runs else data)
        except ValueError:
            continue
