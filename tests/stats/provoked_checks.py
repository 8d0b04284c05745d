"""What provokes each check: the two backends of a race and its config, with what the check says then."""

from __future__ import annotations

from typing import Any

from llmtui.model import Failure
from tests.stats.build import NOISE, alike_on_average, chunks, every, unlike


def slope(k: int) -> dict[str, Any]:
    return {"latency_s": 1.0 + 0.01 * k + NOISE[k] / 10}


def first_slow(k: int) -> dict[str, Any]:
    return {"latency_s": (1.6 if k == 1 else 1.0) + NOISE[k]}


def one_far_out(k: int) -> dict[str, Any]:
    return {"latency_s": (3.2 if k == 7 else 1.0) + NOISE[k]}


def one_a_little_off(k: int) -> dict[str, Any]:
    return {"latency_s": (1.08 if k == 7 else 1.0) + NOISE[k] / 1e3}


def one_fails(k: int) -> dict[str, Any]:
    return {"error": Failure(kind="timeout", message="no token within 120 s")} if k == 3 else {}


def answers(*texts: str) -> dict[str, Any]:
    return {"fields": lambda k: {"text": texts[k % len(texts)]}}


def rounds_of(**counts: int) -> dict[str, Any]:
    """Output tokens of some rounds (`round_3=11`); 300, the budget, in all others."""
    return {"fields": lambda k: {"output_tokens": counts.get(f"round_{k}", 300)}}


def read_as_one(*arrivals: int) -> dict[str, Any]:
    """Answers of 64 tokens in these numbers of arrivals, in turns: a busy machine sometimes reads two as one."""
    of = [chunks(64, count)["fields"] for count in arrivals]
    return {"fields": lambda k: of[k % len(of)](k)}


def words(count: int, **more: Any) -> dict[str, Any]:
    """Answers of this number of characters, without token counts."""
    return every(1, text="word " * (count // 5), output_tokens=None, token_source=None, finish_reason=None, **more)


def by_arrivals(count: int, **more: Any) -> dict[str, Any]:
    return every(1, output_tokens=count, token_source="arrivals", **more)


IN_ONE_PIECE: dict[str, Any] = {"ttft_s": None, "ttfo_s": None, "itl_s": None, "tokens_per_s": None, "tpot_s": None}
#: 64 tokens in four pieces, each of which was read at once or in two parts.
HELD_BACK: dict[str, Any] = {
    "arrivals_ns": [n * 10**9 for n in (1, 2, 3, 4)] + [4 * 10**9 + 9_000],
    "arrival_tokens": [16, 16, 16, 9, 7],
}

#: A server that reports its clock and not its cache, as Ollama does.
CLOCKED: dict[str, Any] = {"cached_tokens": None, "prompt_tokens": 1034, "text": "Same"}


#: An older Ollama whose cache held the whole prompt.
no_count = every(1, cached_tokens=None, prompt_tokens=None) | {"backend": {"protocol": "ollama"}}


#: The work of other programs is not measured.
UNSEEN = every(1, foreign_cpu=None)
FULL = every(1, foreign_cpu=7.5)


Case = tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any], str]


#: Code, level, fields of a, of b, of run and machine, part of the text.
PROVOKED: list[Case] = [
    ("output-tokens", "void", {}, {"fields": {"output_tokens": 32}}, {}, "a 64"),
    ("output-tokens", "void", {}, {"fields": {"output_tokens": 60, "finish_reason": "stop"}}, {}, "a 64, b 60"),
    ("output-tokens", "note", {}, {"fields": {"output_tokens": 63, "finish_reason": "stop"}}, {}, "b 63"),
    ("output-tokens", "void", {}, {"fields": lambda k: {"output_tokens": 40 if k < 6 else 64}}, {}, "(mean): a 64, b"),
    (
        "output-tokens",
        "void",
        rounds_of(round_3=11),
        rounds_of(round_3=96, round_9=260),
        {},
        "in 2 of 12 rounds: a 11, b 96 tokens in round 3",
    ),
    (
        "output-tokens",
        "void",
        rounds_of(round_3=11, round_5=11) | {"n": 6},
        rounds_of(round_3=96, round_5=22) | {"n": 6},
        {},
        "answers differ in length in 2 of 6 rounds: a 11, b 96 tokens in round 3",
    ),
    ("output-tokens", "void", {"fields": unlike}, {"fields": alike_on_average}, {}, "in 12 of 12 rounds: a 300, b 100"),
    ("output-tokens", "void", rounds_of(round_3=22) | {"n": 6}, rounds_of() | {"n": 6}, {}, "(mean): a 253.7, b 300"),
    ("output-tokens", "warning", rounds_of(round_3=260), rounds_of(), {}, "in 1 of 12 rounds: a 260, b 300 tokens in"),
    ("output-tokens", "void", words(160), words(60), {}, "answers differ in length: a 160, b 60 characters"),
    ("output-tokens", "void", every(1, text="w" * 160), words(60), {}, "a 160, b 60 characters"),
    ("output-tokens", "void", every(1, text="w" * 160), by_arrivals(64, text="w" * 60), {}, "b 60 characters"),
    (
        "output-tokens",
        "void",
        words(60),
        {"fields": lambda k: {"text": "w" * (300 if k < 4 else 60), "output_tokens": None, "token_source": None}},
        {},
        "a 60, b 120 characters",
    ),
    ("stop-reason", "void", {}, {"fields": {"finish_reason": "stop", "output_tokens": 60}}, {}, "b stop 12x"),
    ("stop-reason", "void", {}, every(3, finish_reason="eos", output_tokens=62), {}, "b length 8x/stop 4x"),
    (
        "stop-reason",
        "warning",  # one round of six may be of different work, as for output-tokens
        {"n": 6},
        {**every(6, finish_reason="stop", output_tokens=59), "n": 6},
        {},
        "b length 5x/stop 1x",
    ),
    (
        "stop-reason",
        "void",
        {"n": 6},
        {**every(3, finish_reason="stop", output_tokens=59), "n": 6},
        {},
        "b length 4x/stop 2x",
    ),
    ("stop-reason", "void", {}, every(1, finish_reason="stop", output_tokens=None), {}, "b stop 12x"),
    (
        "stop-reason",
        "void",
        every(1, finish_reason="stop"),
        every(1, finish_reason="refusal", output_tokens=9),
        {},
        "b refusal 12x",
    ),
    ("stop-reason", "note", {}, {"fields": {"finish_reason": "stop"}}, {}, "after the same number of tokens: a length"),
    (
        "stop-reason",
        "note",
        {"fields": unlike},
        {"fields": lambda k: unlike(k) | {"finish_reason": "stop"}},
        {},
        "b stop",
    ),
    ("stop-reason", "warning", every(1, finish_reason="stop"), every(1, finish_reason="stop"), {}, "before max_tokens"),
    ("model", "void", {}, {"model": "qwen2.5:0.5b"}, {}, "b qwen2.5:0.5b"),
    ("model", "warning", {"model": "qwen2.5:0.5b"}, {"model": "Qwen2.5-0.5B-Coder"}, {}, "possibly different"),
    # A name is within another only by whole words.
    ("model", "void", {"model": "phi-2:7b"}, {"model": "phi-2:17b"}, {}, "different models: a phi-2:7b, b phi-2:17b"),
    ("model", "void", {"model": "eta"}, {"model": "theta"}, {}, "different models: a eta, b theta"),
    ("model", "void", {"model_digest": "sha256:aa"}, {"model_digest": "sha256:bb"}, {}, "sha256:aa"),
    ("thinking", "void", {}, every(1, ttfo_s=0.9), {}, "b reasoned"),
    ("thinking", "void", {}, {"fields": {"ttfo_s": None}}, {}, "a did not"),
    ("thinking", "void", {}, {"fields": {"text": "\n<think>\nWell, "}}, {}, "b reasoned"),
    ("prefix-cache", "void", {}, {"fields": {"cached_tokens": 45}}, {}, "b 98%"),
    ("prefix-cache", "void", {}, no_count, {}, "b 100%"),
    ("prefix-cache", "void", every(1, cached_tokens=None), every(1, cached_tokens=45), {}, "a did not report it"),
    ("prefix-cache", "warning", every(1, cached_tokens=45), every(1, cached_tokens=45), {}, "a 98%, b 98%"),
    (
        "prefix-cache",
        "warning",
        {},
        {"fields": {"cached_tokens": None}},
        {"fresh_prompt": False},
        "b did not report how",
    ),
    ("prefix-cache", "note", {}, {"fields": {"cached_tokens": 2}}, {}, "b 4%"),
    ("prompt-tokens", "void", {}, {"fields": {"prompt_tokens": 60}}, {}, "a 46, b 60"),
    ("prompt-tokens", "warning", {}, {"fields": {"prompt_tokens": 50}}, {}, "a 46, b 50"),
    ("prompt-tokens", "warning", every(1, prompt_tokens=12), every(1, prompt_tokens=18), {}, "a 12, b 18"),
    ("prompt-tokens", "note", every(1, prompt_tokens=100), every(1, prompt_tokens=101), {}, "b 101"),
    ("tokens-per-arrival", "void", chunks(64, 64), chunks(64, 32), {}, "a 1, b 2; ITL is the gap between arrivals"),
    ("tokens-per-arrival", "void", chunks(64, 64), chunks(64, 56), {}, "b 1.14;"),
    (
        "options",
        "warning",
        {},
        {"backend": {"options": {"logprobs": True, "tools": []}}},
        {},
        "b logprobs = true, tools",
    ),
    ("weights", "warning", {}, {"weights": "BF16"}, {}, "a Q8_0, b BF16"),
    ("weights-unknown", "note", {}, {"weights": ""}, {}, "b did not report the"),
    ("context-length", "note", {"context_tokens": 2048}, {"context_tokens": 4096}, {}, "b 4096"),
    ("context-length", "warning", {"context_tokens": 2048}, {"context_tokens": 100}, {}, "b 100 of 110"),
    ("answers-differ", "warning", {}, answers("Otherwise said"), {}, "12 of 12 rounds, mostly from"),
    ("answers-differ", "note", {}, {"fields": lambda k: {"text": f"Answer {k} is that"}}, {}, "in 12 of 12 rounds"),
    ("temperature-ignored", "warning", {}, answers("One", "Two", "Three"), {"fresh_prompt": False}, "b 3 in 12"),
    (
        "seed-ignored",
        "note",
        answers("Same"),
        answers("One", "Two"),
        {"fresh_prompt": False, "temperature": 0.7},
        "b 2 in 12",
    ),
    ("device", "warning", {}, {"device": "gpu"}, {}, "a CPU, b GPU"),
    ("host", "warning", {"url": "http://localhost:1"}, {"url": "http://10.0.0.7:8000/v1"}, {}, "a here, b 10.0.0.7"),
    ("threads", "warning", {}, {"threads": 8}, {}, "a 4, b 8"),
    ("fresh-line", "warning", {"fresh_role": "user"}, {"fresh_role": "system"}, {}, "a in the prompt, b in a system"),
    ("threads-unknown", "note", {}, {"threads": None, "fields": {"server_cpu": None}}, {}, "b are unknown; others:"),
    ("cores-used", "warning", {}, {"fields": {"server_cpu": 2.0}}, {}, "a 1.0, b 2.0"),
    ("bridge", "warning", {}, {"backend": {"embedded": "mistral.rs"}}, {}, "in front of b"),
    (
        "bridge",
        "note",
        {"backend": {"embedded": "mistral.rs"}},
        {"backend": {"embedded": "mistral.rs"}},
        {},
        "a and b",
    ),
    ("sequential-order", "warning", {}, {}, {"order": "sequential"}, "a and b ran one after the other"),
    ("not-interleaved", "warning", {}, {"turn": 200, "attempt": 2}, {}, "b attempt 2"),
    ("reruns", "note", {"attempt": 2}, {"attempt": 2}, {}, "a attempt 2, b attempt 2"),
    ("thinking", "warning", {}, every(3, ttft_s=0.1, ttfo_s=0.4), {}, "b 4 of 12 iterations"),
    (
        "prefix-cache",
        "void",
        every(1, **CLOCKED, server_prefill_s=0.58),
        {"fields": lambda k: {**CLOCKED, "server_prefill_s": 0.028 if k > 1 else 8.478}},
        {"fresh_prompt": False},
        "b 1034 tokens in 8.48 s, then in 28.0 ms",
    ),
    (
        "cache-unknown",
        "note",
        {},
        {"fields": {"prompt_tokens": 460, "cached_tokens": None}},
        {},
        "b did not report how many prompt tokens came from a cache",
    ),
    ("resumed", "note", {}, {"fields": lambda k: {"part": 1 + k // 6}}, {}, "b in 3 parts"),
    ("too-few", "warning", {}, {"n": 5}, {}, "b n = 5"),
    ("too-few", "warning", {"n": 5}, {"n": 5}, {}, "a n = 5, b n = 5"),
    ("too-few", "warning", {"n": 12}, {"n": 6, "state": "stopped"}, {}, "b n = 6"),  # 99% for a run that was cut short
    ("too-few", "warning", {"n": 3}, {"n": 3, "turn": 200}, {}, "a n = 3, b n = 3"),
    ("failed-iterations", "warning", {}, {"fields": one_fails}, {}, "b 1 of 12 iterations; no token within 120 s"),
    ("refused", "warning", {}, every(4, refused=2), {}, "b 6x"),
    ("repeated", "note", {}, every(4, repeated=1), {}, "b 3x"),
    ("loaded-inside", "warning", {}, every(4, server_load_s=0.54), {}, "b 3 of 12 iterations"),
    ("cold-start", "warning", {}, {"fields": first_slow}, {}, "b 1.6"),
    ("drift", "warning", {}, {"fields": slope}, {}, "b +1"),
    ("outliers", "note", {}, {"fields": one_far_out}, {}, "b 1 of 12 iterations (3.2"),
    ("token-counts-guessed", "warning", {}, {"fields": {"token_source": "arrivals"}}, {}, "by arrivals, each of which"),
    ("token-counts-guessed", "warning", {}, {"fields": {"output_tokens": None}}, {}, "unknown for b"),
    (
        "hidden-tokens",
        "void",
        {},
        every(1, hidden_tokens=300, tokens_per_s=None),
        {},
        "thinking: b 300 (median); latency and",
    ),
    ("hidden-tokens", "warning", every(1, hidden_tokens=9), every(1, hidden_tokens=300), {}, "a 9, b 300"),
    ("hidden-tokens", "warning", {}, every(3, hidden_tokens=300), {}, "b 300"),
    ("not-streamed", "warning", {}, every(1, **IN_ONE_PIECE), {}, "came in one piece: b 12 of 12 iterations; it has"),
    ("not-streamed", "warning", {}, every(4, **IN_ONE_PIECE), {}, "b 3 of 12 iterations"),
    ("not-streamed", "note", {}, every(1, **IN_ONE_PIECE) | {"backend": {"stream": False}}, {}, "b 12 of 12"),
    ("not-streamed", "warning", {}, every(1, **HELD_BACK), {}, "(events per piece, median): b 16; TTFT and ITL are of"),
    ("busy-machine", "warning", UNSEEN, UNSEEN, {"machine": {"load_1m": 7.0}}, "load 7 on 8 cores"),
    (
        "busy-machine",
        "warning",
        UNSEEN,
        UNSEEN,
        {"machine": {"foreign_cpu": 6.2}},
        "other programs used 6.2 of 8 cores",
    ),
    ("governor", "note", {}, {}, {"machine": {"governor": "performance, powersave"}}, "(governor powersave)"),
    (
        "disturbed",
        "warning",
        {},
        every(2, foreign_cpu=0.7, latency_s=1.2),
        {},
        "b 6 of 12 iterations, 0.7 cores at most; that may change a median by up to 10%",
    ),
    (
        "disturbed",
        "warning",
        {},
        every(1, foreign_cpu=7.5),
        {},
        "b 12 of 12 iterations, 7.5 cores at most; that may change a median by up to 94%, an upper bound by their "
        "share of the cores, as too few iterations were quiet to compare with: the middle half of the latencies spans ",
    ),
    ("disturbed", "warning", FULL, FULL, {}, "a 12 of 12 iterations, b 12 of"),
    ("steal", "warning", {}, every(2, steal=0.5, latency_s=1.2), {}, "b 6 of 12 iterations, 0.5 cores"),
    (
        "cpu-limit",
        "warning",
        {},
        every(2, cpu_limited=1.1),
        {},
        "b 6 of 12 iterations, 1.1 cores at most",
    ),
    ("swap", "warning", {}, every(6, swapped=30), {}, "b 60 pages in 2 of 12 iterations"),
    ("unseen", "note", {}, {}, {"machine": {"unseen": ["heat", "swap"]}}, "on this system: heat; swap"),
    ("throttled", "warning", {}, every(6, throttled=1), {}, "b 2 of 12"),
]
