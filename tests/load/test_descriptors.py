"""Whether a level fits into the limit of open files."""

from __future__ import annotations

import resource

import pytest

from llmtui.load import descriptors
from llmtui.model import Level


def limits(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))


@pytest.mark.parametrize(
    ("soft", "hard", "fits"),
    [
        (256, 1064, 1000),
        (1064, 1064, 1000),
        (256, resource.RLIM_INFINITY, 10_176),
        (20_064, resource.RLIM_INFINITY, 20_000),
    ],
)
def test_the_hard_limit_counts_since_a_worker_raises_the_soft_one(
    soft: int, hard: int, fits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(monkeypatch, soft, hard)
    assert descriptors.does_not_fit(Level(number=1, streams=fits)) is None
    assert descriptors.does_not_fit(Level(number=1, rate=5.0, cap=fits)) is None
    assert descriptors.does_not_fit(Level(number=1, rate=5.0)) is None
    failure = descriptors.does_not_fit(Level(number=1, streams=fits + 1))
    assert failure is not None
    assert str(failure) == (
        f"{fits + 1} streams: the limit of open files leaves room for {fits} connections: "
        "raise the limit (ulimit -n), or lower the load"
    )
    capped = descriptors.does_not_fit(Level(number=1, rate=5.0, cap=fits + 1))
    assert capped is not None and capped.message.startswith(f"max_concurrency = {fits + 1}: ")


def test_requests_under_way_are_bounded_by_the_soft_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limits(monkeypatch, 1064, 4096)
    assert descriptors.connections() == 1000
    limits(monkeypatch, 10, 10)
    assert descriptors.connections() == 1
