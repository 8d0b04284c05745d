"""--fail-if on what a search finds: it is a range, all of which, a part, or none is beyond the limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from llmtui.model import Load, Plan, Slo
from llmtui.model.errors import UsageError
from llmtui.runview.limits import judge_limits, parse_limits
from llmtui.runview.run import RunView
from tests import build, loads
from tests.runview.searched import KNEE, SLO, keeping, searched, throughput

OBJECTIVE = Slo(ttft_s=0.2, share=0.9)


def judged(view: RunView, text: str) -> tuple[list[str], list[str]]:
    return tuple(judge_limits(view, parse_limits([text], view.plan)))  # type: ignore[return-value]


def test_a_knee() -> None:
    probed = {"four": [1, 2, 3, 4, 8], "six": [1, 2, 4, 5, 6, 8, 16], "grows": [1, 2, 4, 8, 16]}
    slots = {"four": 4, "six": 6, "grows": 1000}
    view = searched(KNEE, probed, {name: throughput(count, KNEE) for name, count in slots.items()})
    assert judged(view, "knee<4") == ([], [])
    assert judged(view, "knee<=4") == (["four: knee is 4 streams, at most 4 (--fail-if 'knee<=4')"], [])
    broken, left_open = judged(view, "knee<12")
    assert [text.partition(":")[0] for text in broken] == ["four", "six"]
    assert left_open == [
        "grows: knee is 9 or more streams, so it cannot be told whether that is less than 12 (--fail-if 'knee<12')"
    ]
    assert judged(view, "knee>8") == (["grows: knee is 9 or more streams, more than 8 (--fail-if 'knee>8')"], [])


def test_a_knee_that_was_not_found_passes_no_limit() -> None:
    view = searched(KNEE, {"a": [1]}, {"a": throughput(4, KNEE)})
    assert judged(view, "knee<4") == (
        [],
        ["a: knee is unknown, as fewer than two levels could be measured (--fail-if 'knee<4')"],
    )


def test_the_most_streams() -> None:
    def few(_: int, level: int) -> Mapping[str, Any]:
        return {"kept": 10 if level <= 4 else 0, "missed": 0 if level <= 4 else 10}

    view = searched(SLO, {"a": [1, 2, 4, 8, 6, 7]}, {"a": keeping(6)}, OBJECTIVE)
    assert judged(view, "most_streams<6") == ([], [])
    assert judged(view, "most_streams<7")[0] == [
        "a: most_streams is 6 streams, less than 7 (--fail-if 'most_streams<7')"
    ]
    undecided = searched(SLO, {"a": [1, 2, 4, 5]}, {"a": few}, Slo(ttft_s=0.2))
    assert judged(undecided, "most_streams<3") == (
        [],
        [
            "a: most_streams is 0 to 4 streams, so it cannot be told whether that is less than 3 "
            "(--fail-if 'most_streams<3')"
        ],
    )
    assert len(judged(undecided, "most_streams<5")[0]) == 1


def test_other_metrics_of_a_search_are_judged_where_a_backend_was_measured() -> None:
    probed = {"four": [1, 2, 3, 4, 8], "six": [1, 2, 4, 5, 6, 8, 16]}
    view = searched(KNEE, probed, {"four": throughput(4, KNEE), "six": throughput(6, KNEE)})
    assert judged(view, "output_tokens_per_s<50") == ([], [])
    broken, left_open = judged(view, "output_tokens_per_s@16<1000")
    assert [text.partition(":")[0] for text in broken] == ["six at 16 streams"]
    assert left_open == ["four at 16 streams: not measured (--fail-if 'output_tokens_per_s@16<1000')"]


@pytest.mark.parametrize(
    ("text", "plan", "expected"),
    [
        ("knee<4", build.plan("a"), "this run has no knee; add --search knee, or four levels of a closed loop"),
        ("knee<4", loads.plan("a"), "this run has no knee; add --search knee"),
        ("knee@8<4", loads.plan("a", load=KNEE), "knee is one number of a backend; write knee<8"),
        ("knee_p95<4", loads.plan("a", load=KNEE), "knee is one number of a backend; write knee<8"),
        ("knee<4ms", loads.plan("a", load=KNEE), "knee is a number of streams, without a unit"),
        ("knee<17", loads.plan("a", load=KNEE), "the levels end at 16 streams, so the answer is known before the run"),
        ("most_streams<4", loads.plan("a", load=KNEE), "most_streams is what --search slo finds"),
    ],
)
def test_limits_that_cannot_be_checked(text: str, plan: Plan, expected: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_limits([text], plan)
    assert str(error.value).startswith(f"--fail-if {text!r}: ") and expected in str(error.value)


def test_four_levels_of_a_closed_loop_have_a_knee() -> None:
    plan = loads.plan("a", load=Load(concurrency=[1, 2, 4, 8], requests=40))
    assert parse_limits(["knee<4"], plan)[0].value == 4
    searching = msgspec.structs.replace(loads.plan("a", load=SLO), slo=OBJECTIVE)
    assert parse_limits(["most_streams<4"], searching)[0].found
