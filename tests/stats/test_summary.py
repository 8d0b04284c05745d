"""Summaries: numbers by hand, and iterations that are never samples."""

from __future__ import annotations

import pytest

from llmtui.model import Failure
from llmtui.stats.summary import percentile, ratios_to, spread
from tests.build import iteration
from tests.stats.batch_summary import batch_summary


def test_spread_by_hand() -> None:
    s = spread([4.0, 1.0, 2.0, 3.0])
    assert s is not None
    assert (s.n, s.mean, s.median, s.min, s.max) == (4, 2.5, 2.5, 1.0, 4.0)
    assert s.stddev == pytest.approx((5 / 3) ** 0.5)
    assert s.p95 is None


def test_p95_needs_20_values() -> None:
    few, enough = spread(range(19)), spread(range(20))
    assert few is not None and few.p95 is None
    assert enough is not None and enough.p95 == pytest.approx(18.05)


def test_stddev_needs_two_values_and_spread_one() -> None:
    one = spread([2.0])
    assert one is not None and one.stddev is None and one.p95 is None
    assert spread([]) is None
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 0.5)


def test_warmups_and_failures_are_never_samples() -> None:
    failed = Failure(kind="timeout", message="late")
    s = batch_summary(
        [
            iteration("a", 1, 100.0, phase="warmup"),
            iteration("a", 1, 1.0, output_tokens=64, foreign_cpu=0.5),
            iteration("a", 2, None, error=failed),
            iteration("a", 3, 3.0, output_tokens=62),
        ]
    )
    assert (s.n, s.errors, s.disturbed) == (2, 1, 1)
    assert s.latency is not None and s.latency.mean == 2.0
    assert s.output_tokens_median == 63
    assert s.ttft is None


def test_ratios_follow_the_direction_of_the_metric() -> None:
    assert ratios_to(1.0, [2.0, None, 1.0]) == [2.0, None, 1.0]
    assert ratios_to(100.0, [50.0, 100.0], "tokens_per_s") == [2.0, 1.0]
    assert ratios_to(1.0, [None, 0.0]) == [None, None]
    assert ratios_to(None, [1.0]) == ratios_to(0.0, [1.0]) == [None]


def test_server_time_and_transport_time() -> None:
    timed = iteration("a", 1, 1.0, server_prefill_s=0.3, server_decode_s=0.6, server_load_s=0.05)
    assert timed.server_s == pytest.approx(0.95)
    assert timed.transport_and_client_s == pytest.approx(0.05)
    assert iteration("a", 1, 1.0, server_prefill_s=0.3).transport_and_client_s is None
