"""Every fuzz target passes on its seeds and on truncated seeds."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS, seeds


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("target", TARGETS)
def test_targets_accept_their_seeds(target: str, every: int) -> None:
    inputs = seeds(target)
    assert len(inputs) >= 5
    inputs = inputs[::every]
    for end in (0, 1):
        TARGETS[target](inputs[0][:end])
    for data in inputs:
        for end in (len(data) // 2, len(data)):
            TARGETS[target](data[:end])
