"""The fields that requests have by default, by protocol: those that a server may do without."""

from __future__ import annotations

from llmtui.model.base import Protocol

#: `omit` may name these. The custom protocol has the fields of its `body`.
OPTIONAL_FIELDS: dict[Protocol, tuple[str, ...]] = {
    "openai": (
        "max_tokens",
        "temperature",
        "seed",
        "stream_options",
        "ignore_eos",
        "cache_prompt",
        "logit_bias",
        "generation_config",
    ),
    "ollama": ("temperature", "seed", "num_predict"),
    "tgi": ("max_new_tokens", "temperature", "do_sample", "seed"),
    "custom": (),
}
#: Nothing can be measured without these.
REQUIRED_FIELDS = frozenset({"model", "messages", "stream", "prompt", "inputs", "options", "parameters", "details"})
#: Fields that limit the length of an answer.
LIMITS = frozenset({"max_tokens", "max_completion_tokens", "num_predict", "max_new_tokens"})
