"""p95 and p99 under load: over the requests of all rounds, with whole rounds drawn again and again."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from llmtui.model import Turn
from llmtui.stats.buckets import ERROR, Buckets
from llmtui.stats.tails import LEAST_ROUNDS, compare_tails, tails_of
from tests import loads


def turns(
    name: str, factor: float, *, rounds: int = 10, requests: int = 40, wander: float = 0.0, seed: int = 1
) -> list[Turn]:
    """Turns of lognormal TTFTs, where each round has a common factor that `wander`s."""
    rng = random.Random(seed)
    made = []
    for number in range(1, rounds + 1):
        common = factor * math.exp(rng.gauss(0, wander))
        buckets = Buckets()
        buckets.add(common * rng.lognormvariate(0, 0.5) for _ in range(requests))
        made.append(loads.turn(name, number, buckets={"ttft": buckets.encoded()}))
    return made


def sides(slower: float, **more: Any) -> dict[str, list[Turn]]:
    return {"a": turns("a", 1.0, **more), "b": turns("b", slower, **more)}


def test_a_longer_tail_is_found_whichever_comes_first() -> None:
    both = sides(1.3)
    first, second = (compare_tails(*names, both, "ttft", 0.95) for names in (("a", "b"), ("b", "a")))
    assert first is not None and second is not None
    for tail in (first, second):
        assert (tail.slower, tail.faster, tail.rounds, tail.n) == ("b", "a", 10, 400)
        # The draws are of the same rounds of both, whose requests differ by this factor alone.
        assert tail.shown and tail.ratio == pytest.approx(1.3, rel=4 * ERROR)
        assert 1.25 < tail.low <= tail.ratio <= tail.high < 1.35
    assert first.sentence.startswith("p95 of TTFT: that of b is 1.3")
    assert first.sentence.endswith("; 10 rounds, 400 requests)") and "(95%: 1." in first.sentence


def test_the_same_rounds_have_the_same_interval() -> None:
    both = {"a": turns("a", 1.0), "b": turns("b", 1.1, seed=2)}
    assert compare_tails("a", "b", both, "ttft", 0.99) == compare_tails("a", "b", both, "ttft", 0.99)


def test_rounds_that_differ_widen_the_interval_and_not_the_number_of_requests() -> None:
    def width(requests: int, wander: float) -> float:
        both = {
            "a": turns("a", 1.0, requests=requests, wander=wander),
            "b": turns("b", 1.0, requests=requests, wander=wander, seed=2),
        }
        tail = compare_tails("a", "b", both, "ttft", 0.95)
        assert tail is not None
        return math.log(tail.high / tail.low)

    assert width(4_000, 0.0) < width(40, 0.0) / 3
    assert width(4_000, 0.2) > 2 * width(4_000, 0.0)


@pytest.mark.parametrize(
    ("rounds", "requests", "share"), [(LEAST_ROUNDS - 1, 400, 0.95), (10, 5, 0.95), (10, 29, 0.99)]
)
def test_too_few_have_no_interval(rounds: int, requests: int, share: float) -> None:
    tail = compare_tails("a", "b", sides(2.0, rounds=rounds, requests=requests), "ttft", share)
    assert tail is not None and not tail.bounded and not tail.shown
    assert f"n too small ({rounds} rounds, {rounds * requests} requests" in tail.sentence


def test_a_percentile_beyond_the_answers_is_unknown() -> None:
    both = sides(1.3)
    both["b"] = [loads.turn("b", turn.round, buckets=turn.buckets, requests=41, finished=40) for turn in both["b"]]
    p95, p99 = tails_of("a", "b", both, "ttft")
    assert p95.shown
    assert not p99.bounded and p99.sentence == "p99 of TTFT: unknown, as 2.4% of the requests got no answer"


def test_rounds_of_one_backend_alone_and_buckets_that_cannot_be_read_are_left_out() -> None:
    both = sides(1.3, rounds=12)
    both["a"][3] = loads.turn("a", 4, buckets={"ttft": [1]})
    tail = compare_tails("a", "b", {"a": both["a"], "b": both["b"][1:]}, "ttft", 0.95)
    assert tail is not None and tail.rounds == 10
    assert compare_tails("a", "b", both, "latency", 0.95) is None
    one = compare_tails("a", "b", sides(1.3, rounds=1), "ttft", 0.95)
    assert one is not None and not one.bounded


def test_a_verdict_has_the_tails_of_what_is_comparable() -> None:
    made = {name: {turn.round: turn.buckets for turn in of} for name, of in sides(1.3).items()}
    fields = {name: lambda k, _, of=of: {"buckets": of.get(k, {})} for name, of in made.items()}
    view = loads.raced({"a": 1.3, "b": 1.0}, fields=fields)
    assert [tail.title for tail in view.verdict().tails] == ["p95 of TTFT", "p99 of TTFT"]
    assert view.verdict(level=1).tails and not view.verdict(level=1).fastest
    longer = {"a": lambda k, _: {"buckets": made["a"].get(k, {}), "prompt_tokens": 460}, "b": fields["b"]}
    assert loads.raced({"a": 1.3, "b": 1.0}, fields=longer).verdict().tails == []
