"""A clock that runs too fast is known by how it is set back; other changes of the wall clock say nothing."""

from __future__ import annotations

import pytest

from llmtui.engine.watch.clock_drift import ClockDrift, Clocks


def said(*steps_s: float, every_s: float = 45.0, slew: float = 0.0) -> list[str]:
    """What is said of a run with looks each second, in which the wall clock is set by `steps_s`, `every_s` apart."""
    drift = ClockDrift(Clocks(1000.0, 5e8))
    texts: list[str] = []
    ahead_s = 0.0
    for second in range(1, round(every_s * (len(steps_s) + 1))):
        ahead_s += slew
        if second % every_s == 0:
            ahead_s += steps_s[round(second / every_s) - 1]
        texts.append(drift.look(Clocks(1000.0 + second, 5e8 + second + ahead_s)))
    return [text for text in texts if text]


def test_a_clock_that_is_set_back_again_and_again_is_too_fast() -> None:
    assert said(-0.7, -2.1, -2.1, -2.1) == [
        "the clock of this machine runs about 4.7% too fast: it was set back by 2.1 s in 45 s. All times are too long "
        "by this share, for all backends alike: compare ratios, not seconds"
    ]


@pytest.mark.parametrize(
    "steps_s",
    [
        (),
        (-3600.0,),  # a person, or the first answer of NTP
        (3600.0, -3600.0),
        (-2.0, 2.0, -2.0, 2.0),
        (0.5, 0.5, 0.5),  # a virtual machine that was paused
        (-0.015, -0.015, -0.015),  # noise
        (-0.03, -0.03, -0.03),  # too slow a drift to matter
        (-3600.0, -3600.0),  # no clock is this fast
    ],
)
def test_other_steps_say_nothing(steps_s: tuple[float, ...]) -> None:
    assert said(*steps_s) == []


def test_a_slewed_clock_says_nothing() -> None:
    """On macOS the wall clock is slewed, and the monotonic clock is not."""
    assert said(0.0, 0.0, slew=-0.0005) == []
