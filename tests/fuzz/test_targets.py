"""Every fuzz target passes on its seeds and on truncated seeds."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS, seeds


@pytest.mark.parametrize("target", TARGETS)
def test_targets_accept_their_seeds(target: str) -> None:
    inputs = seeds(target)
    assert len(inputs) >= 5
    for data in inputs:
        for end in (0, 1, len(data) // 2, len(data)):
            TARGETS[target](data[:end])
