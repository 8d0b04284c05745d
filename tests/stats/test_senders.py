"""Who sent the requests of a load: the workers of a cluster have own errors and a network of their own."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from llmtui.model import WorkerFigures, Workers
from llmtui.runview.against import side_of
from llmtui.runview.run import RunView
from llmtui.stats.compare_runs import across
from llmtui.stats.run_differences import Side
from tests import build, loads

HEAD = "tls://head:8786"


def sent(scheduler: str = "", workers: int = 1, connect_s: float = 0.0, own_error_s: float | None = None,
         speed: float = 1.0) -> RunView:  # fmt: skip
    """A run of two backends, b being slower, whose turns had these workers: of a cluster if there is a scheduler."""
    by_worker = [
        WorkerFigures(worker=n, name=f"node{n}", connect_s=connect_s, own_error_s=own_error_s if n == 1 else 0.0001)
        for n in range(1, workers + 1)
    ]
    fields = {"workers": workers, "by_worker": by_worker if scheduler else []}
    view = loads.raced({"a": speed, "b": 0.99 * speed}, noise=0.0001, fields=dict.fromkeys("ab", fields), metric="ttft")
    view.plan = msgspec.structs.replace(view.plan, workers=Workers(scheduler=scheduler))
    return view


def worker_warnings(one: RunView, two: RunView) -> list[str]:
    a, b = side_of(one), dataclasses.replace(side_of(two), run="s")
    result = across(a, b, [("a", "a"), ("b", "b")], "ttft")
    return [d.text for d in result.differences if d.code == "workers" and d.level == "warning"]


def test_other_senders_in_one_of_two_runs_are_named() -> None:
    local, near, far = sent(), sent(HEAD, 2, 0.0002), sent(HEAD, 2, 0.02)
    (text,) = worker_warnings(local, far)
    assert text == (
        f"different senders of the requests: A 1 process of one machine, B 2 workers of {HEAD}, from which a "
        "connection takes 20.0 ms: their way to the server is part of TTFT and latency"
    )
    first, _ = worker_warnings(near, far)
    assert "not equally far from the server: a connection took A 0.200 ms, B 20.0 ms" in first
    assert len(worker_warnings(near, sent(HEAD, 3, 0.0002))) == 1
    assert len(worker_warnings(near, sent("tls://other:8786", 2, 0.0002))) == 1
    assert len(worker_warnings(local, sent(workers=2))) == 1
    assert worker_warnings(local, sent()) == [] and worker_warnings(near, sent(HEAD, 2, 0.00025)) == []


def test_a_race_has_no_senders_to_compare() -> None:
    def side(scheduler: str) -> Side:
        return dataclasses.replace(side_of(build.run_view(build.plan("a"))), workers=Workers(scheduler=scheduler))

    assert not [d for d in across(side(""), dataclasses.replace(side(HEAD), run="s"), []).differences
                if d.code == "workers"]  # fmt: skip


@pytest.mark.parametrize(
    ("run", "says"),
    [
        # b is 1 ms slower. The record of this machine says nothing of the workers, of which one is worse.
        (sent(HEAD, 2, own_error_s=0.0009), "the own error of the workers is up to 0.90 ms (p95 of a TTFT)"),
        (sent(HEAD, 2, own_error_s=0.0004), ""),
        (sent(HEAD, 2, own_error_s=0.002), "llmtui itself was too slow for 8 streams: a own error 2.00 ms (p95)"),
        (sent(HEAD, 2, own_error_s=None), "the own error of the workers at 8 streams is not known, and a and b differ"),
        # That of this machine is bad at the whole level, and good at the share of one of two processes.
        (sent(workers=1), "llmtui's own error on this machine is up to 2.00 ms (p99)"),
        (sent(workers=2), ""),
    ],
)
def test_the_own_error_is_that_of_those_who_sent(run: RunView, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good = build.record_of(run.machine, ttft_p95_s=0.0001, p99_s=0.0001, streams=4)
    bad = build.record_of(run.machine, ttft_p95_s=0.0001, p99_s=0.002, streams=8)
    record = msgspec.structs.replace(good, levels=[*good.levels, *bad.levels])
    monkeypatch.setattr("llmtui.store.accuracy_record.newest", lambda machine: record)
    assert (run.own_error() is None) is bool(run.plan.workers.scheduler)
    found = [check.text for check in run.verdict("ttft").checks if check.code in ("own-error", "client-bound")]
    assert [says in text for text in found] == ([True] if says else []), found
