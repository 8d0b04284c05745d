"""How many requests settle the server in a turn of a load."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from llmtui.engine.schedule import Job
from llmtui.engine.turns import settle_for
from llmtui.model import Level, Load, Turn

LEVEL = Level(number=2, streams=4)
LOAD = Load(concurrency=[1, 4], requests=120)
BARE = Turn(run="r", backend="a", attempt=1, phase="warmup", round=1, level=2, seq=1, started_utc="", state="whole")
ROUND_3 = Job("measured", 3, 2)


def warm(**fields: Any) -> Turn:
    return replace(BARE, **fields)


def test_warm_up_turn_takes_the_least() -> None:
    assert settle_for([warm(settle_needed=30)], LOAD, LEVEL, Job("warmup", 1, 2), 1) == 8
    rate = Load(request_rate=[2.0], duration_s=35.0)
    assert settle_for([], rate, rate.levels[0], Job("warmup", 1, 1), 1) == 10


def test_config_may_say_how_many() -> None:
    assert settle_for([warm(settle_needed=30)], replace(LOAD, settle=3), LEVEL, ROUND_3, 1) == 3


def test_largest_of_all_backends_at_this_level() -> None:
    turns = [
        warm(settle_needed=10),
        warm(backend="b", settle_needed=20),
        warm(backend="c", settle_needed=35, state="partial"),
        warm(backend="d", settle_needed=30, level=1),
    ]
    assert settle_for(turns, LOAD, LEVEL, ROUND_3, 1) == 20
    assert settle_for([*turns, warm(backend="c", unsettled=True)], LOAD, LEVEL, ROUND_3, 1) == 40


def test_same_for_all_backends_of_a_round() -> None:
    """A backend that warms up later must not change the round for those that come after it."""
    first = warm(phase="measured", round=3, settled=20)
    late = warm(backend="b", settle_needed=30)
    assert settle_for([first, late], LOAD, LEVEL, ROUND_3, 1) == 20
    assert settle_for([first, late], LOAD, LEVEL, Job("measured", 4, 2), 1) == 30
    assert settle_for([first, late], LOAD, LEVEL, ROUND_3, 2) == 30
