"""Token counts and durations that servers report beside an answer."""

from __future__ import annotations

from typing import Any

from llmtui.model import TokenSource
from llmtui.wire import common

#: Fields of a usage object with the cached prompt tokens: DeepSeek's, Anthropic's and Moonshot's, SGLang's and vLLM's.
_CACHED = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens", "num_cached_tokens")


def usage_figures(usage: Any) -> dict[str, Any]:
    """Return the fields of `Delta` in a `usage` object: OpenAI's token counts in both of its APIs, those of gateways to
    other servers, and mistral.rs' durations in seconds.
    """
    if not isinstance(usage, dict):
        return {}
    output = _first(usage, "completion_tokens", "output_tokens")
    cached = _cached(usage)
    source: TokenSource | None = "usage" if output is not None else None
    figures = {
        "output_tokens": output,
        "reasoning_tokens": _first(_details(usage, "completion", "output"), "reasoning_tokens", "thinking_tokens"),
        "token_source": source,
        "prompt_tokens": _prompt(usage, cached),
        "cached_tokens": cached,
        "prefill_s": common.seconds(usage.get("total_prompt_time_sec")),
        "decode_s": common.seconds(usage.get("total_completion_time_sec")),
    }
    if figures["reasoning_tokens"] is None:
        figures["reasoning_tokens"] = common.count(usage.get("reasoning_tokens"))
    return {name: value for name, value in figures.items() if value is not None}


def timings_figures(timings: Any) -> dict[str, Any]:
    """Return the fields of `Delta` in llama.cpp's `timings`. `prompt_n` excludes cached tokens (`cache_n`)."""
    if not isinstance(timings, dict):
        return {}
    fresh, cached = common.count(timings.get("prompt_n")), common.count(timings.get("cache_n"))
    output = common.count(timings.get("predicted_n"))
    source: TokenSource | None = "server" if output is not None else None
    figures = {
        "output_tokens": output,
        "token_source": source,
        "prompt_tokens": fresh + cached if fresh is not None and cached is not None else None,
        "cached_tokens": cached,
        "prefill_s": common.seconds(timings.get("prompt_ms"), 1e-3),
        "decode_s": common.seconds(timings.get("predicted_ms"), 1e-3),
    }
    return {name: value for name, value in figures.items() if value is not None}


def _prompt(usage: dict[str, Any], cached: int | None) -> int | None:
    """Return the prompt tokens, cached ones included. Anthropic's `input_tokens` do not include them."""
    prompt = common.count(usage.get("prompt_tokens"))
    read, written = common.count(usage.get("cache_read_input_tokens")), _first(usage, "cache_creation_input_tokens")
    if prompt is None:
        prompt = common.count(usage.get("input_tokens"))
        beside = prompt is not None and not isinstance(usage.get("input_tokens_details"), dict)
    else:
        beside = read is not None and read > prompt
    return prompt + (read or 0) + (written or 0) if prompt is not None and beside else prompt


def _cached(usage: dict[str, Any]) -> int | None:
    counts = [common.count(_details(usage, "prompt", "input").get("cached_tokens"))]
    counts += [common.count(usage.get(name)) for name in _CACHED]
    return max((count for count in counts if count is not None), default=None)


def _details(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the first object `<name>_tokens_details`."""
    for name in names:
        if isinstance(details := usage.get(f"{name}_tokens_details"), dict):
            return details
    return {}


def _first(usage: dict[str, Any], *names: str) -> int | None:
    """Return the first valid count."""
    return next((count for name in names if (count := common.count(usage.get(name))) is not None), None)
