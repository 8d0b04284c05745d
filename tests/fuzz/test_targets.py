"""Every target holds on what it begins with, so that the fuzzer starts from inputs that are good."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS, seeds


@pytest.mark.parametrize("target", TARGETS)
def test_holds_on_its_seeds_and_on_their_beginnings(target: str) -> None:
    inputs = seeds(target)
    assert len(inputs) >= 5
    for data in inputs:
        for end in (0, 1, len(data) // 2, len(data)):
            TARGETS[target](data[:end])
