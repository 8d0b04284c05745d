"""Every check is provoked, stays silent on a fair race, and stays silent just short of what provokes it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from llmtui.accuracy_record import Errors, Level, Record
from llmtui.model import Backend, BackendState, Failure, Iteration, Machine, RunConfig
from llmtui.stats.checks import CODES, LEVELS, Check, Entry, Evidence, checks, leading_metric, spoiled
from llmtui.stats.checks.evidence import RECENT
from llmtui.stats.checks.samples import trend_p
from llmtui.stats.compare import compare

#: Fields of an iteration, or what makes them of its number (from 1).
Fields = dict[str, Any] | Callable[[int], dict[str, Any]]
MACHINE = Machine(cpu="Some CPU", cores=8, governor="performance", load_1m=0.3)
NOISE = [random.Random(7).gauss(0, 0.01) for _ in range(400)]


def iterations(name: str, n: int, fields: Fields, turn: int) -> list[Iteration]:
    """So many good iterations, in turns with the other backends."""
    made = []
    for k in range(1, n + 1):
        more = fields(k) if callable(fields) else fields
        minute, second = divmod(4 * k + turn, 60)
        usual: dict[str, Any] = {
            "started_utc": f"2026-11-22T15:{minute:02}:{second:02}.000Z",
            "latency_s": 1.0 + NOISE[2 * k + turn],
            "ttft_s": 0.1,
            "ttfo_s": 0.1,
            "itl_s": 0.014,
            "tokens_per_s": 70.0,
            "output_tokens": 64,
            "prompt_tokens": 46,
            "cached_tokens": 0,
            "token_source": "usage",
            "finish_reason": "length",
            "foreign_cpu": 0.02,
            "server_cpu": 1.0,
            "text": f"Answer {k} is this",
        }
        made.append(Iteration(run="r", backend=name, attempt=1, iteration=k, phase="measured", **(usual | more)))
    return made


def entry(name: str, fields: Fields | None = None, *, n: int = 12, turn: int = 0, **more: Any) -> Entry:
    """A backend that is done; `more` are fields of its state, or of the backend as `backend`."""
    state: dict[str, Any] = {"state": "done", "model": "smollm2", "weights": "Q8_0", "threads": 4, "device": "cpu"}
    backend = Backend(name=name, **more.pop("backend", {}))
    return Entry(backend, BackendState(name=name, **(state | more)), Evidence(iterations(name, n, fields or {}, turn)))


def judged(a: dict[str, Any], b: dict[str, Any], **config: Any) -> list[Check]:
    """The checks of a race between `a` and `b`, each given as what `entry` takes."""
    machine = msgspec.structs.replace(MACHINE, **config.pop("machine", {}))
    entries = [entry("a", **a), entry("b", **({"turn": 1} | b))]
    return checks(entries, RunConfig(iterations=12, **config), machine)


def slope(k: int) -> dict[str, Any]:
    return {"latency_s": 1.0 + 0.01 * k + NOISE[k] / 10}


def first_slow(k: int) -> dict[str, Any]:
    return {"latency_s": (1.6 if k == 1 else 1.0) + NOISE[k]}


def one_fails(k: int) -> dict[str, Any]:
    return {"error": Failure(kind="timeout", message="no token within 120 s")} if k == 3 else {}


def says(*texts: str) -> dict[str, Any]:
    return {"fields": lambda k: {"text": texts[k % len(texts)]}}


def every(step: int, **fields: Any) -> dict[str, Any]:
    return {"fields": lambda k: fields if k % step == 0 else {}}


#: An older Ollama whose cache held the whole prompt.
no_count = every(1, cached_tokens=None, prompt_tokens=None) | {"backend": {"protocol": "ollama"}}

Case = tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any], str]
#: code, level, of a, of b, of run and machine, what the text must have.
PROVOKED: list[Case] = [
    ("output-tokens", "void", {}, {"fields": {"output_tokens": 32}}, {}, "a 64"),
    ("output-tokens", "warning", {}, {"fields": {"output_tokens": 60}}, {}, "b 60"),
    ("output-tokens", "note", {}, {"fields": {"output_tokens": 63}}, {}, "b 63"),
    ("output-tokens", "warning", {}, {"fields": lambda k: {"output_tokens": 40 if k < 6 else 64}}, {}, "(mean)"),
    ("stop-reason", "void", {}, {"fields": {"finish_reason": "stop"}}, {}, "b stop 12x"),
    ("stop-reason", "void", {}, every(3, finish_reason="eos"), {}, "b length 8x/stop 4x"),
    ("stop-reason", "void", every(1, finish_reason="stop"), every(1, finish_reason="refusal"), {}, "b refusal 12x"),
    ("stop-reason", "warning", every(1, finish_reason="stop"), every(1, finish_reason="stop"), {}, "before max_tokens"),
    ("model", "void", {}, {"model": "qwen2.5:0.5b"}, {}, "b qwen2.5:0.5b"),
    ("model", "warning", {"model": "qwen2.5:0.5b"}, {"model": "Qwen2.5-0.5B-Coder"}, {}, "perhaps"),
    ("model", "void", {"model_digest": "sha256:aa"}, {"model_digest": "sha256:bb"}, {}, "sha256:aa"),
    ("thinking", "void", {}, every(1, ttfo_s=0.9), {}, "b reasoned"),
    ("thinking", "void", {}, {"fields": {"ttfo_s": None}}, {}, "a did not"),
    ("thinking", "void", {}, {"fields": {"text": "\n<think>\nWell, "}}, {}, "b reasoned"),
    ("prefix-cache", "void", {}, {"fields": {"cached_tokens": 45}}, {}, "b 98%"),
    ("prefix-cache", "void", {}, no_count, {}, "b 100%"),
    ("prefix-cache", "void", every(1, cached_tokens=None), every(1, cached_tokens=45), {}, "a did not tell"),
    ("prefix-cache", "warning", every(1, cached_tokens=45), every(1, cached_tokens=45), {}, "a 98%, b 98%"),
    ("prefix-cache", "warning", {}, {"fields": {"cached_tokens": None}}, {"fresh_prompt": False}, "b did not tell"),
    ("prefix-cache", "note", {}, {"fields": {"cached_tokens": 2}}, {}, "b 4%"),
    ("prompt-tokens", "warning", {}, {"fields": {"prompt_tokens": 60}}, {}, "a 46, b 60"),
    ("prompt-tokens", "note", every(1, prompt_tokens=100), every(1, prompt_tokens=101), {}, "b 101"),
    ("weights", "warning", {}, {"weights": "BF16"}, {}, "a Q8_0, b BF16"),
    ("weights-unknown", "note", {}, {"weights": ""}, {}, "b did not tell"),
    ("context-length", "note", {"context_tokens": 2048}, {"context_tokens": 4096}, {}, "b 4096"),
    ("context-length", "warning", {"context_tokens": 2048}, {"context_tokens": 100}, {}, "b 100 of 110"),
    ("answers-differ", "warning", {}, says("Otherwise said"), {}, "12 of 12 rounds, most of them from"),
    ("answers-differ", "note", {}, {"fields": lambda k: {"text": f"Answer {k} is that"}}, {}, "in 12 of 12 rounds"),
    ("temperature-ignored", "warning", {}, says("One", "Two", "Three"), {"fresh_prompt": False}, "b 3 in 12"),
    (
        "seed-ignored",
        "note",
        says("Same"),
        says("One", "Two"),
        {"fresh_prompt": False, "temperature": 0.7},
        "b 2 in 12",
    ),
    ("device", "warning", {}, {"device": "gpu"}, {}, "a CPU, b GPU"),
    ("device", "warning", {"device": ""}, {"device": "gpu"}, {"machine": {"os": "Linux 6"}}, "a CPU, b GPU"),
    ("host", "warning", {"url": "http://localhost:1"}, {"url": "http://10.0.0.7:8000/v1"}, {}, "a here, b 10.0.0.7"),
    ("threads", "warning", {}, {"threads": 8}, {}, "a 4, b 8"),
    ("cores-used", "warning", {}, {"fields": {"server_cpu": 2.0}}, {}, "a 1.0, b 2.0"),
    ("bridge", "warning", {}, {"note": "via a Python bridge"}, {}, "in front of b"),
    ("bridge", "note", {"note": "a bridge"}, {"note": "a bridge"}, {}, "a and b"),
    ("sequential-order", "warning", {}, {}, {"order": "sequential"}, "a and b ran one after the other"),
    ("not-interleaved", "warning", {}, {"turn": 200, "attempt": 2}, {}, "b attempt 2"),
    ("resumed", "note", {}, {"fields": lambda k: {"part": 1 + k // 6}}, {}, "b in 3 parts"),
    ("too-few", "warning", {}, {"n": 5}, {}, "b n = 5"),
    ("failed-iterations", "warning", {}, {"fields": one_fails}, {}, "b 1 of 12 iterations; no token within 120 s"),
    ("refused", "warning", {}, every(4, refused=2), {}, "b 6x"),
    ("cold-start", "warning", {}, {"fields": first_slow}, {}, "b 1.6"),
    ("drift", "warning", {}, {"fields": slope}, {}, "b +1"),
    ("token-counts-guessed", "warning", {}, {"fields": {"token_source": "arrivals"}}, {}, "by arrivals for b"),
    ("token-counts-guessed", "warning", {}, {"fields": {"output_tokens": None}}, {}, "unknown for b"),
    ("busy-machine", "warning", {}, {}, {"machine": {"load_1m": 7.0}}, "load 7 on 8 cores"),
    ("busy-machine", "note", {}, {}, {"machine": {"load_1m": 3.0}}, "load 3"),
    ("governor", "note", {}, {}, {"machine": {"governor": "performance, powersave"}}, "(governor powersave)"),
    ("disturbed", "warning", {}, every(2, foreign_cpu=0.7), {}, "b 6 of 12 iterations, 0.7 cores"),
    ("disturbed", "note", {}, every(12, foreign_cpu=0.7), {}, "b 1 of 12"),
    ("steal", "warning", {}, every(2, steal=0.5), {}, "b 6 of 12 iterations, 0.5 cores"),
    ("steal", "note", {}, every(12, steal=0.5), {}, "b 1 of 12"),
    ("swap", "warning", {}, every(6, swapped=30), {}, "b 60 pages in 2 of 12 iterations"),
    ("throttled", "warning", {}, every(6, throttled=1), {}, "b 2 of 12"),
]


@pytest.mark.parametrize(
    ("code", "level", "a", "b", "config", "says"), PROVOKED, ids=lambda v: v if type(v) is str else ""
)
def test_it_is_provoked(
    code: str, level: str, a: dict[str, Any], b: dict[str, Any], config: dict[str, Any], says: str
) -> None:
    (found,) = [c for c in judged(dict(a), dict(b), **config) if c.code == code]
    assert found.level == level
    assert says in found.text
    assert found.todo
    assert (level == "void") == bool(found.spoils) or code == "token-counts-guessed"


def test_a_fair_race_is_called_fair() -> None:
    assert judged({}, {}) == []
    assert judged({}, {}, fresh_prompt=False, machine={"governor": "", "load_1m": None}) != []  # one answer a prompt
    assert judged(says("Same"), says("Same"), fresh_prompt=False) == []


def test_every_code_is_provoked_here() -> None:
    assert {case[0] for case in PROVOKED} | {"own-error"} == set(CODES)


#: Just short of what provokes it: code, of a, of b, of run and machine.
SILENT: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("output-tokens", every(2, output_tokens=32), every(2, output_tokens=32), {}),
    ("stop-reason", every(1, finish_reason="length"), every(1, finish_reason="max_tokens"), {}),
    ("stop-reason", every(1, finish_reason=None), {}, {}),
    ("model", {"model": "SmolLM2-135M-Instruct"}, {"model": "models/smollm2-135m-instruct.Q8_0.gguf"}, {}),
    ("model", {"model": "llama3.2:1b"}, {"model": "meta/Llama-3.2-1B-Instruct"}, {}),
    ("model", {"model": "one", "model_digest": "sha256:aa"}, {"model": "two", "model_digest": "sha256:aa"}, {}),
    ("model", {"model": ""}, {"model": "default"}, {}),
    ("thinking", every(1, ttfo_s=0.9), every(1, ttfo_s=0.5), {}),
    ("thinking", every(1, ttft_s=None, ttfo_s=None), {}, {}),
    ("prefix-cache", every(1, cached_tokens=None), every(1, cached_tokens=None), {}),
    ("weights", {"weights": "Q4_K - Medium"}, {"weights": "q4_k_m"}, {}),
    ("weights-unknown", {"weights": ""}, {"weights": ""}, {}),
    ("weights-unknown", {"weights": "", "backend": {"weights": "Q8_0"}}, {}, {}),
    ("context-length", {"context_tokens": 2048}, {}, {}),
    ("answers-differ", {}, {"fields": lambda k: {"text": f"Answer {k} is"}}, {}),
    ("answers-differ", {}, says("Else"), {"temperature": 0.7}),
    ("answers-differ", {"backend": {"url": "http://h:1"}}, {"backend": {"url": "http://h:1"}, **says("Else")}, {}),
    ("answers-differ", {}, {"fields": lambda k: {"text": "Else", "part": 2}}, {}),
    ("temperature-ignored", says("One", "Two"), says("One", "Two"), {}),
    ("temperature-ignored", says("One and", "One and two"), says("One"), {"fresh_prompt": False}),
    ("device", {"device": ""}, {"device": "cpu"}, {}),
    ("device", {"device": ""}, {"device": "gpu"}, {"machine": {"os": "Linux 6", "gpu": "Some GPU"}}),
    ("device", {"device": ""}, {"device": "gpu"}, {"machine": {"os": "Darwin 25"}}),
    ("host", {"url": "http://localhost:1"}, {"url": "http://127.0.0.1:2"}, {}),
    ("threads", {"threads": None}, {}, {}),
    ("cores-used", {}, every(1, server_cpu=1.4), {}),
    ("cores-used", every(1, latency_s=0.1), every(1, latency_s=0.1, server_cpu=4.0), {}),
    ("not-interleaved", {}, {"turn": 200, "n": 1}, {}),
    ("resumed", {}, every(1, part=2), {}),
    ("too-few", {}, {"n": 5, "state": "running"}, {}),
    ("cold-start", {}, {"fields": lambda k: {"latency_s": 1.15 if k == 1 else 1.0}}, {}),
    ("cold-start", {}, {"fields": lambda k: {"latency_s": 1.6 if k == 2 else 1.0}}, {}),
    ("drift", {}, {"fields": lambda k: {"latency_s": 1.0 + 0.003 * k}}, {}),
    ("drift", {}, {"fields": lambda k: {"latency_s": 1.0 + 10 * NOISE[k]}}, {}),
    ("busy-machine", {}, {}, {"machine": {"load_1m": 2.0}}),
    ("disturbed", {}, every(1, foreign_cpu=0.09), {}),
    ("steal", {}, every(1, steal=0.05), {}),
]


@pytest.mark.parametrize(("code", "a", "b", "config"), SILENT, ids=[case[0] for case in SILENT])
def test_it_stays_silent(code: str, a: dict[str, Any], b: dict[str, Any], config: dict[str, Any]) -> None:
    assert code not in {c.code for c in judged(dict(a), dict(b), **config)}


def record(error_s: float) -> Record:
    """An accuracy record with this error of everything."""
    errors = Errors(n=100, median=0.0, p50=error_s, p95=error_s, p99=error_s, max=error_s)
    level = Level(
        streams=1,
        monitor=True,
        requests=100,
        tokens=64,
        coalesced=0.0,
        ttft_s=errors,
        itl_s=errors,
        latency_s=errors,
        tokens_per_s_share=errors,
    )
    return Record(
        measured_utc="",
        machine=MACHINE,
        stamp="kernel",
        truth_stamp="kernel",
        tokens=64,
        ttft_ms=50,
        itl_ms=10,
        levels=[level],
    )


@pytest.mark.parametrize(("error_s", "codes"), [(0.0004, ["own-error"]), (0.0002, [])])
@pytest.mark.parametrize("metric", ["latency", "ttft", "tokens_per_s"])
def test_a_difference_as_small_as_our_own_error(metric: Any, error_s: float, codes: list[str]) -> None:
    def apart(by: float) -> Callable[[int], dict[str, Any]]:
        noise = NOISE[:100:5]
        return lambda k: {
            "latency_s": 1.0 + by + noise[k] / 1e3,
            "ttft_s": 1.0 + by + noise[k] / 1e3,
            "tokens_per_s": 1 - by + noise[k] / 1e3,
        }

    entries = [entry("a", apart(0.0)), entry("b", apart(0.0006), turn=1)]
    pairs = compare({e.name: list(e.evidence.recent) for e in entries}, metric)
    assert [c.decided for c in pairs] == [True]
    found = checks(entries, RunConfig(iterations=12), MACHINE, comparisons=pairs, record=record(error_s))
    assert [c.code for c in found] == codes
    assert checks(entries, RunConfig(iterations=12), MACHINE, comparisons=pairs) == []
    assert checks(entries, RunConfig(iterations=12), MACHINE, record=record(error_s)) == []


def test_the_gravest_come_first_and_the_order_is_that_of_the_codes() -> None:
    found = judged({}, {"fields": {"output_tokens": 9, "finish_reason": "stop"}, "weights": "", "threads": 2})
    assert [(c.level, c.code) for c in found] == [
        ("void", "output-tokens"),
        ("void", "stop-reason"),
        ("warning", "threads"),
        ("note", "weights-unknown"),
    ]
    assert [LEVELS.index(c.level) for c in found] == sorted(LEVELS.index(c.level) for c in found)


def test_names_of_servers_are_made_plain() -> None:
    found = judged({"model": "good"}, {"model": "evil\x1b[31m\u202e" + "x" * 500})
    assert all(c.text.isprintable() and len(c.text) < 300 for c in found)
    assert found[0].code == "model"


def test_nothing_and_one_backend_are_no_race() -> None:
    assert checks([], RunConfig(), MACHINE) == []
    assert checks([entry("a", n=0)], RunConfig(), MACHINE) == []
    assert checks([entry("a")], RunConfig(iterations=12, order="sequential"), MACHINE) == []


def trio(**fields: Sequence[Any]) -> list[Check]:
    """Three backends that differ in these fields."""
    entries = [entry(name, {f: v[n] for f, v in fields.items()}, turn=n) for n, name in enumerate("abc")]
    return checks(entries, RunConfig(iterations=12), MACHINE)


def test_two_of_three_may_still_be_compared() -> None:
    found = trio(output_tokens=[64, 20, 63])
    assert spoiled(found, "latency") is spoiled(found, "latency", "a", "b") is found[0]
    assert spoiled(found, "latency", "a", "c") is spoiled(found, "tokens_per_s") is None
    assert leading_metric(found, "latency", "a", "c").metric == "latency"
    led = leading_metric(found, "latency", "a", "b")
    assert (led.metric, led.instead_of, led.reason) == ("tokens_per_s", "latency", found[0].text)


def test_what_leads_where_the_work_differed() -> None:
    assert leading_metric(trio(output_tokens=[64, 20, 64], token_source=["usage", "arrivals", "usage"])).metric == "itl"
    assert leading_metric(trio(cached_tokens=[0, 40, 0]), "ttft").metric == "tokens_per_s"
    assert leading_metric(trio(finish_reason=["length", "stop", "length"]), "ttft").metric == "ttft"
    nothing = judged({"model": "one"}, {"model": "two"})
    assert leading_metric(nothing).metric is None
    assert leading_metric([]).metric == "latency"


def test_trends_by_hand() -> None:
    # All 28 pairs rise; the variance is 8 * 7 * 21 / 18. With a tie among five, 8 pairs rise and 1 falls.
    assert trend_p([1, 2, 3, 4, 5, 6, 7, 8]) == pytest.approx(math.erfc(27 / math.sqrt(8 * 7 * 21 / 18) / math.sqrt(2)))
    tied = (5 * 4 * 15 - 2 * 1 * 9) / 18
    assert trend_p([1, 3, 2, 3, 9]) == pytest.approx(math.erfc((7 - 1) / math.sqrt(tied) / math.sqrt(2)))
    assert trend_p([5.0] * 20) == 1.0
    assert trend_p([3, 1, 4, 1, 5, 9, 2, 6]) == trend_p([-3, -1, -4, -1, -5, -9, -2, -6])


def test_drift_is_rarely_seen_where_there_is_none() -> None:
    rng = random.Random(3)
    seen = sum(trend_p([rng.gauss(0, 1) for _ in range(20)]) < 0.01 for _ in range(2000))
    assert seen < 40


def test_evidence_stays_small_and_a_long_drift_is_seen() -> None:
    one = iterations("a", 1, {}, 0)[0]
    evidence = Evidence()
    for k in range(3000):
        evidence.add(msgspec.structs.replace(one, iteration=k + 1, latency_s=1 + k / 2e4 + NOISE[k % 400]))
    assert len(evidence.recent) == RECENT
    assert max(len(evidence.metrics["latency"].values), len(evidence.server_cpu.values)) <= 241
    found = checks([Entry(Backend(name="a"), BackendState(name="a"), evidence)], RunConfig(), MACHINE)
    assert [c.code for c in found] == ["drift"]


def test_warm_ups_are_no_evidence() -> None:
    cold = [msgspec.structs.replace(i, phase="warmup", output_tokens=1) for i in iterations("b", 3, {}, 1)]
    evidence = Evidence([*cold, *iterations("b", 12, {}, 1)])
    other = Entry(Backend(name="b"), BackendState(name="b", model="smollm2", weights="Q8_0"), evidence)
    assert checks([entry("a"), other], RunConfig(iterations=12), MACHINE) == []
