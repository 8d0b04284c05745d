"""The requests of a turn in memory: the same figures as were read, few answers, and no texts."""

from __future__ import annotations

import random

import msgspec
import pytest

from llmtui.model import Failure, RequestBatch, Slo
from llmtui.runview import turn_requests
from llmtui.runview.turn_requests import KEPT_WHOLE, TurnRequests
from tests import loads
from tests.store.turns import requests, turn


def batch(**fields: object) -> RequestBatch:
    return RequestBatch(backend="a", turn=1, **fields)  # type: ignore[arg-type]


def test_figures_are_those_that_were_read() -> None:
    samples = requests(random.Random(1), 300, 8)
    light = [msgspec.structs.replace(s, text="", arrivals_ns=[], arrival_tokens=[]) for s in samples]
    kept = TurnRequests(turn())
    assert kept.add(batch(samples=light[:200], figures=True, total=300))
    assert (len(kept), kept.total, kept.complete) == (200, 300, False)
    kept.add(batch(samples=light[200:], figures=True, total=300))
    kept.add(batch(last=True, figures=True, total=300))
    assert kept.complete and not kept.problem
    for at, sample in enumerate(light):
        shown = kept[at]
        for name in ("request", "share", "written_s", "due_s", "in_flight", "latency_s", "ttft_s", "tpot_s", "error"):
            assert getattr(shown, name) == getattr(sample, name), name
        assert (shown.turn, shown.level, shown.ok) == (sample.turn, sample.level, sample.ok)
    assert list(kept.failed) == [at for at, s in enumerate(light) if s.error is not None]
    slowest = max((at for at, s in enumerate(light) if s.ok), key=lambda at: light[at].latency_s or 0.0)
    assert kept.slowest(iter(range(300))) == slowest


def test_batches_of_other_turns_are_left_out() -> None:
    kept = TurnRequests(turn())
    assert not kept.add(RequestBatch(backend="b", turn=1, last=True, figures=True))
    assert not kept.add(RequestBatch(backend="a", turn=2, last=True, figures=True))
    assert not kept.add(batch(last=True)), "that was asked for by another"
    assert not kept.complete


def test_the_newest_answers_stay() -> None:
    samples = requests(random.Random(1), KEPT_WHOLE + 1, 8)
    kept = TurnRequests(turn())
    for at, sample in enumerate(samples):
        kept.add(batch(samples=[sample], place=at))
        kept.add(batch(last=True, place=at))
    assert kept.whole(0) is None and not kept.unread(0)
    assert [kept.whole(at) for at in range(1, len(samples))] == samples[1:]
    kept.add(batch(last=True, place=99, problem="the history is locked"))
    assert kept.unread(99) == "the history is locked"


def test_each_request_is_judged_by_the_objectives() -> None:
    slo = Slo(ttft_s=0.5)
    of = loads.turn()
    kept = TurnRequests(of, slo)
    samples = [
        loads.turn().as_sample,
        msgspec.structs.replace(of.as_sample, ttft_s=0.7),
        msgspec.structs.replace(of.as_sample, latency_s=0.1, ttft_s=None, error=Failure(kind="stopped", message="")),
    ]
    kept.add(RequestBatch(backend=of.backend, turn=of.seq, samples=samples, figures=True))
    assert [kept.judgement(at) for at in range(3)] == ["kept", "missed", "undetermined"]
    assert TurnRequests(of, Slo()).slo is None


def test_texts_that_all_differ_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_requests, "MOST_TEXTS", 3)
    kept = TurnRequests(turn())
    failures = [Failure(kind="http", message=f"HTTP 500: {n}") for n in range(6)]
    read = zip(requests(random.Random(1), 6, 1), failures, strict=True)
    kept.add(batch(samples=[msgspec.structs.replace(sample, error=error) for sample, error in read], figures=True))
    assert [kept[at].error for at in range(3)] == failures[:3]
    assert [kept[at].error for at in (3, 4, 5)] == [Failure(kind="http", message="see its answer")] * 3
