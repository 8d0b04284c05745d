"""Every check fires, stays silent on a fair race, and stays silent just below its threshold."""

from __future__ import annotations

from typing import Any

import pytest

from llmtui.model import RunConfig
from llmtui.stats.checks import CODES, LEVELS, checks
from tests.stats.build import MACHINE, NOISE, chunks, entry, every, judged, unlike
from tests.stats.provoked_checks import (
    IN_ONE_PIECE,
    PROVOKED,
    UNSEEN,
    answers,
    by_arrivals,
    one_a_little_off,
    one_far_out,
    read_as_one,
    rounds_of,
    words,
)
from tests.stats.provoked_load_checks import PROVOKED as OF_LOADS

#: The checks that make a metric incomparable on levels other than void.
SPOILING = ("token-counts-guessed", "hidden-tokens", "not-streamed", "cache-unknown")


@pytest.mark.parametrize(
    ("code", "level", "a", "b", "config", "text"), PROVOKED, ids=lambda v: v if type(v) is str else ""
)
def test_check_fires(
    code: str, level: str, a: dict[str, Any], b: dict[str, Any], config: dict[str, Any], text: str
) -> None:
    (check,) = [c for c in judged(dict(a), dict(b), **config) if c.code == code]
    assert check.level == level
    assert text in check.text
    assert check.todo
    assert (level == "void") == bool(check.spoils) or code in SPOILING


def test_fair_race_has_no_findings() -> None:
    assert judged({}, {}) == []
    assert judged({}, {}, fresh_prompt=False, machine={"governor": "", "load_1m": None}) != []  # one answer a prompt
    assert judged(answers("Same"), answers("Same"), fresh_prompt=False) == []


def test_every_code_has_a_case() -> None:
    provoked = {case[0] for case in (*PROVOKED, *OF_LOADS)}
    elsewhere = {"own-error", "one-launch", "launches-unknown", "imported"}  # each has tests of its own
    assert provoked | elsewhere == set(CODES)


#: Just below the threshold: code, fields of a, of b, of run and machine.
SILENT: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("outliers", {}, {"fields": one_a_little_off}, {}),
    ("outliers", {"n": 7}, {"fields": one_far_out, "n": 7}, {}),
    ("output-tokens", every(2, output_tokens=32), every(2, output_tokens=32), {}),
    ("output-tokens", {"fields": unlike}, {"fields": unlike}, {}),
    ("output-tokens", rounds_of(), by_arrivals(150, text="w" * 17), {}),
    ("output-tokens", words(160), words(150), {}),
    ("output-tokens", every(1, text="w" * 160), every(1, text="w" * 60), {}),
    ("output-tokens", words(160, ttft_s=None), every(1, text="", output_tokens=None), {}),
    ("tokens-per-arrival", chunks(64, 32), chunks(64, 32), {}),
    ("tokens-per-arrival", chunks(64, 64), chunks(64, 60), {}),
    ("tokens-per-arrival", chunks(64, 64), chunks(64, 1), {}),
    ("tokens-per-arrival", chunks(8, 8), chunks(8, 7), {}),
    ("tokens-per-arrival", read_as_one(64, 64, 50), read_as_one(64, 50, 50), {}),
    ("tokens-per-arrival", chunks(64, 64), chunks(32, 32, token_source="arrivals"), {}),
    ("tokens-per-arrival", chunks(5, 4, finish_reason="stop"), chunks(4, 4, finish_reason="stop"), {}),
    ("stop-reason", every(1, finish_reason="length"), every(1, finish_reason="max_tokens"), {}),
    ("stop-reason", every(1, finish_reason=None), {}, {}),
    ("model", {"model": "SmolLM2-135M-Instruct"}, {"model": "models/smollm2-135m-instruct.Q8_0.gguf"}, {}),
    ("model", {"model": "llama3.2:1b"}, {"model": "meta/Llama-3.2-1B-Instruct"}, {}),
    ("model", {"model": "one", "model_digest": "sha256:aa"}, {"model": "two", "model_digest": "sha256:aa"}, {}),
    ("model", {"model": ""}, {"model": "default"}, {}),
    ("thinking", every(1, ttfo_s=0.9), every(1, ttfo_s=0.5), {}),
    ("thinking", every(1, ttft_s=None, ttfo_s=None), {}, {}),
    ("prefix-cache", every(1, cached_tokens=None), every(1, cached_tokens=None), {}),
    ("prefix-cache", {}, {"fields": lambda k: {"server_prefill_s": 0.1 if k > 1 else 8.4}}, {"fresh_prompt": False}),
    ("host", {"url": "http://0.0.0.0:1"}, {"url": "http://127.0.0.1:2"}, {}),
    ("reruns", {}, {}, {}),
    ("thinking", {}, every(12, ttft_s=0.1, ttfo_s=0.4), {}),
    ("temperature-ignored", answers(""), answers(""), {"fresh_prompt": False}),
    ("options", {}, {"backend": {"options": {"num_ctx": 2048, "ignore_eos": True}}}, {}),
    ("weights", {"weights": "Q4_K - Medium"}, {"weights": "q4_k_m"}, {}),
    ("weights-unknown", {"weights": ""}, {"weights": ""}, {}),
    ("weights-unknown", {"weights": "", "backend": {"weights": "Q8_0"}}, {}, {}),
    ("context-length", {"context_tokens": 2048}, {}, {}),
    ("answers-differ", {}, {"fields": lambda k: {"text": f"Answer {k} is"}}, {}),
    ("answers-differ", {}, answers("Else"), {"temperature": 0.7}),
    ("answers-differ", {"backend": {"url": "http://h:1"}}, {"backend": {"url": "http://h:1"}, **answers("Else")}, {}),
    ("answers-differ", {}, {"fields": lambda k: {"text": "Else", "part": 2}}, {}),
    ("temperature-ignored", answers("One", "Two"), answers("One", "Two"), {}),
    ("temperature-ignored", answers("One and", "One and two"), answers("One"), {"fresh_prompt": False}),
    ("device", {"device": ""}, {"device": "cpu"}, {}),
    ("device", {"device": ""}, {"device": "gpu"}, {"machine": {"os": "Linux 6", "gpu": "Some GPU"}}),
    # A server in WSL2 or in a container may use a GPU that this system does not name.
    ("device", {"device": ""}, {"device": "gpu"}, {"machine": {"os": "Linux 6"}}),
    ("host", {"url": "http://localhost:1"}, {"url": "http://127.0.0.1:2"}, {}),
    ("threads", {"threads": None}, {}, {}),
    ("cores-used", {}, every(1, server_cpu=1.4), {}),
    ("cores-used", every(1, latency_s=0.1), every(1, latency_s=0.1, server_cpu=4.0), {}),
    ("not-interleaved", {}, {"turn": 200, "n": 1}, {}),
    ("resumed", {}, every(1, part=2), {}),
    ("too-few", {}, {"n": 5, "state": "running"}, {}),
    ("too-few", {}, {"n": 4, "turn": 200}, {}),
    ("too-few", {"n": 5}, {"n": 5, "turn": 200}, {"order": "sequential", "iterations": 5}),
    ("cold-start", {}, {"fields": lambda k: {"latency_s": 1.15 if k == 1 else 1.0}}, {}),
    ("cold-start", {}, {"fields": lambda k: {"latency_s": 1.6 if k == 2 else 1.0}}, {}),
    ("drift", {}, {"fields": lambda k: {"latency_s": 1.0 + 0.003 * k}}, {}),
    ("drift", {}, {"fields": lambda k: {"latency_s": 1.0 + 10 * NOISE[k]}}, {}),
    ("token-counts-guessed", {}, every(1, hidden_tokens=300, token_source="arrivals"), {}),
    ("thinking", every(1, ttfo_s=0.9), every(1, hidden_tokens=300), {}),
    ("thinking", every(1, ttfo_s=0.9), every(1, **IN_ONE_PIECE), {}),
    ("not-streamed", {}, chunks(64, 9), {}),
    ("busy-machine", UNSEEN, UNSEEN, {"machine": {"load_1m": 5.0}}),
    ("busy-machine", {}, {}, {"machine": {"load_1m": 70.0}}),
    # The load average remembers an earlier run.
    ("busy-machine", UNSEEN, UNSEEN, {"machine": {"load_1m": 8.0, "foreign_cpu": 0.2}}),
    ("disturbed", {}, every(1, foreign_cpu=0.09), {}),
    ("disturbed", {}, every(2, foreign_cpu=3.0), {}),
    ("disturbed", {}, every(1, foreign_cpu=3.0), {}),
    ("disturbed", {}, every(12, foreign_cpu=7.5, latency_s=1.2) | {"n": 40}, {}),
    ("disturbed", every(2, foreign_cpu=0.7, latency_s=1.05), every(2, foreign_cpu=0.7, latency_s=1.05), {}),
    ("disturbed", {}, every(2, foreign_cpu=0.5, disturbed_from=0.6, latency_s=1.2), {}),
    ("steal", {}, every(1, steal=0.05), {}),
    ("cpu-limit", {}, every(1, cpu_limited=0.04), {}),
    ("swap", {}, every(6, swapped=9), {}),
    ("steal", {}, every(2, steal=0.5), {}),
]


@pytest.mark.parametrize(("code", "a", "b", "config"), SILENT, ids=[case[0] for case in SILENT])
def test_check_stays_silent_below_its_threshold(
    code: str, a: dict[str, Any], b: dict[str, Any], config: dict[str, Any]
) -> None:
    assert code not in {c.code for c in judged(dict(a), dict(b), **config)}


def test_checks_are_ordered_by_severity_then_code() -> None:
    findings = judged({}, {"fields": {"output_tokens": 9, "finish_reason": "stop"}, "weights": "", "threads": 2})
    assert [(c.level, c.code) for c in findings] == [
        ("void", "output-tokens"),
        ("void", "stop-reason"),
        ("warning", "threads"),
        ("note", "weights-unknown"),
    ]
    assert [LEVELS.index(c.level) for c in findings] == sorted(LEVELS.index(c.level) for c in findings)


def test_names_from_servers_are_sanitized() -> None:
    findings = judged({"model": "good"}, {"model": "evil\x1b[31m\u202e" + "x" * 500})
    assert all(c.text.isprintable() and len(c.text) < 300 for c in findings)
    assert findings[0].code == "model"


def test_no_checks_for_fewer_than_two_backends() -> None:
    assert checks([], RunConfig(), MACHINE) == []
    assert checks([entry("a", n=0)], RunConfig(), MACHINE) == []
    assert checks([entry("a")], RunConfig(iterations=12, order="sequential"), MACHINE) == []
