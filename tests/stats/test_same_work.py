"""Checks on whether all servers did the same work: length by the limit, one model file, threads, fresh lines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stats.build import every, judged

#: A server that reports its clock and not its cache, and answers each prompt alike.
IGNORES_SYSTEM: dict[str, Any] = {
    "fresh_role": "system",
    "fields": lambda k: {
        "cached_tokens": None,
        "prompt_tokens": 25,
        "text": "Same",
        "server_prefill_s": 0.02 if k > 1 else 0.2,
    },
}
FILE = {"model_digest": "sha256:aa"}


@pytest.mark.parametrize(
    ("code", "level", "a", "b", "text"),
    [
        ("prefix-cache", "warning", {}, IGNORES_SYSTEM, "seems to be ignored"),
        ("threads", "warning", {}, {"threads": None, "backend": {"options": {"num_thread": 8}}}, "a 4, b 8"),
        ("threads", "warning", {}, {"threads": None, "backend": {"launch": ["x", "-t", "8"]}}, "a 4, b 8"),
        ("threads", "warning", {}, {"threads": None, "backend": {"launch": ["x", "--threads=8"]}}, "a 4, b 8"),
        ("threads", "warning", {}, {"threads": None, "backend": {"env": {"RAYON_NUM_THREADS": "8"}}}, "a 4, b 8"),
        (
            "threads-unknown",
            "note",
            {},
            {"threads": None, "fields": {"server_cpu": None}},
            "b are unknown; others:",
        ),
        ("model", "void", {"model": "gemma", **FILE}, {"model": "/cache/tiny.gguf"}, "a gemma, b tiny.gguf"),
        ("output-tokens", "void", {}, every(1, output_tokens=50), "a 64, b 50"),
        ("output-tokens", "warning", {}, every(1, output_tokens=62, finish_reason="stop"), "a 64, b 62"),
    ],
)
def test_other_work_is_found(code: str, level: str, a: dict[str, Any], b: dict[str, Any], text: str) -> None:
    (check,) = [c for c in judged(dict(a), dict(b)) if c.code == code]
    assert check.level == level or (code, check.level) == ("output-tokens", "void")
    assert text in check.text and check.todo


@pytest.mark.parametrize(
    ("code", "a", "b"),
    [
        # The limit ended all answers, though one server counts a token more or less.
        ("output-tokens", {}, every(1, output_tokens=62)),
        ("output-tokens", {}, every(2, output_tokens=65)),
        ("output-tokens", {}, every(1, token_source="limit", text="w" * 400)),
        ("token-counts-guessed", {}, every(1, token_source="limit")),
        ("model", {"model": "Tiny", **FILE}, {"model": "/cache/x.gguf", **FILE}),
        ("prefix-cache", {}, {**IGNORES_SYSTEM, "fresh_role": "user"}),
        ("fresh-line", {}, {"fresh_role": "system"}),
        ("answers-differ", {}, {"fresh_set": 1, "fields": {"text": "Else"}}),
        ("threads", {"threads": 2}, {"threads": None, "backend": {"options": {"num_thread": 2}}}),
        ("threads-unknown", {"threads": 2}, {"threads": None}),  # its busy cores are known
        ("threads-unknown", {"threads": None}, every(1, server_cpu=None) | {"threads": None}),
        ("threads-unknown", {}, {"threads": None, "url": "http://10.0.0.7:1", "fields": {"server_cpu": None}}),
    ],
)
def test_the_same_work_is_no_finding(code: str, a: dict[str, Any], b: dict[str, Any]) -> None:
    assert [c.text for c in judged(dict(a), dict(b)) if c.code == code] == []
