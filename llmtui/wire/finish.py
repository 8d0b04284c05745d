"""Which finish reasons of servers say that an answer is complete."""

from __future__ import annotations

from typing import Any

from llmtui.text import sanitize
from llmtui.wire.base import WireError
from llmtui.wire.common import string

#: The model ended its answer, the token limit was reached, or a tool is called. OpenAI's words, and those that the
#: documents of TGI, Ollama, vLLM, Mistral, Together, Anthropic, Gemini, Cohere, watsonx and LiteLLM have for the same.
_COMPLETE = frozenset(
    {
        *("stop", "stop_sequence", "stop_token", "stop_string", "eos", "eos_token", "eos_token_id", "end_of_text"),
        *("endoftext", "end_of_sequence", "end_of_turn", "end_turn", "complete", "completed", "done", "finished"),
        *("length", "max_tokens", "max_length", "max_new_tokens", "max_output_tokens", "token_limit", "limit"),
        *("model_length", "context_length", "model_context_window_exceeded"),
        *("tool_calls", "tool_call", "tool_use", "function_call", "function_calls"),
        *("load", "unload"),
    }
)
#: The answer goes on.
_GOES_ON = frozenset(
    {"", "null", "none", "nil", "undefined", "not_finished", "in_progress", "finish_reason_unspecified"}
)


def finish_word(reason: Any) -> str | None:
    """Return the finish reason in the server's own word, None if the answer goes on.

    Raises WireError for a word that does not say that the answer is complete, such as abort, error, cancelled or
    content_filter, and for an unknown one: such an answer was cut off, and its figures are not those of a whole one.
    """
    message = ""
    if isinstance(reason, dict):  # SGLang's own API
        message = string(reason.get("message"))
        reason = reason.get("type")
    if not isinstance(reason, str):
        return None
    word = reason.strip().lower().replace("-", "_").replace(" ", "_")
    if word in _COMPLETE or word.removeprefix("finish_reason_") in _COMPLETE:
        return reason
    if word in _GOES_ON:
        return None
    words = f"the server ended the answer with {sanitize(reason, 40)!r}"
    raise WireError(f"{words}: {sanitize(message)}" if message else words, "server")
