"""The finish reasons of servers, and what they mean."""

from __future__ import annotations

from typing import Literal

Ending = Literal["stop", "length", "tool_calls"]

#: The model ended its answer, the token limit was reached, or a tool is called. OpenAI's words, and those that the
#: documents of TGI, Ollama, vLLM, Mistral, Together, Anthropic, Gemini, Cohere, watsonx and LiteLLM have for the same.
_WORDS: dict[Ending, tuple[str, ...]] = {
    "stop": (
        *("stop", "stop_sequence", "stop_token", "stop_string", "eos", "eos_token", "eos_token_id", "end_of_text"),
        *("endoftext", "end_of_sequence", "end_of_turn", "end_turn", "complete", "completed", "done", "finished"),
        *("load", "unload"),
    ),
    "length": (
        *("length", "max_tokens", "max_length", "max_new_tokens", "max_output_tokens", "token_limit", "limit"),
        *("model_length", "context_length", "model_context_window_exceeded"),
    ),
    "tool_calls": ("tool_calls", "tool_call", "tool_use", "function_call", "function_calls"),
}
_ENDINGS = {word: ending for ending, words in _WORDS.items() for word in words}


def plain_word(reason: str) -> str:
    """Return a finish reason as most servers write it: `FINISH_REASON_MAX_TOKENS` is `max_tokens`."""
    word = reason.strip().lower().replace("-", "_").replace(" ", "_")
    return word.removeprefix("finish_reason_")


def ended_by(reason: str | None) -> Ending | None:
    """Return how a complete answer ended. None for every other finish reason, and without one."""
    return _ENDINGS.get(plain_word(reason)) if reason is not None else None
