"""Reads one chunk of OpenAI's chat completions: of a stream, or the only one of an answer without streaming.

Invalid UTF-8 or JSON is an error; nothing is replaced.
"""

from __future__ import annotations

from typing import Any

import msgspec

from llmtui.model import TokenSource
from llmtui.wire import common
from llmtui.wire.base import Delta
from llmtui.wire.errors import server_error
from llmtui.wire.parsers import ABSENT, check_error, decode, decode_or_none


class _Part(msgspec.Struct):
    """One part of content that is a list (Mistral's servers): text, or a list of thinking parts."""

    text: str | None = None
    thinking: Any = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    tool_calls: list[common.ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    model: Any = None
    usage: msgspec.Raw = ABSENT
    timings: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    object: Any = None
    message: Any = None
    detail: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


def usage_figures(usage: Any) -> dict[str, Any]:
    """Return the fields of `Delta` in a `usage` object: OpenAI's token counts, mistral.rs' durations in seconds."""
    if not isinstance(usage, dict):
        return {}
    details = usage.get("prompt_tokens_details")
    output = common.count(usage.get("completion_tokens"))
    source: TokenSource | None = "usage" if output is not None else None
    figures = {
        "output_tokens": output,
        "token_source": source,
        "prompt_tokens": common.count(usage.get("prompt_tokens")),
        "cached_tokens": common.count(details.get("cached_tokens")) if isinstance(details, dict) else None,
        "prefill_s": common.seconds(usage.get("total_prompt_time_sec")),
        "decode_s": common.seconds(usage.get("total_completion_time_sec")),
    }
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


class ChunkReader:
    """Turns chunks (of a stream, or the only one of an answer without streaming) into deltas."""

    __slots__ = ("_counted", "_model")

    def __init__(self) -> None:
        self._model: str | None = None
        self._counted = False

    def __call__(self, data: bytes, torn: bool = False) -> Delta | None:
        """Return the delta of one chunk, None if it has nothing new. Raises WireError."""
        chunk = decode(_decode, data, torn)
        check_error(chunk.error)
        if chunk.choices is None and (chunk.object == "error" or chunk.message or chunk.detail):
            raise server_error(data)
        text = reasoning = tool = ""
        finish: str | None = None
        for choice in chunk.choices or ():
            message = choice.delta or choice.message
            if message is not None:
                content = message.content
                if type(content) is str:
                    text += content
                elif content:
                    for part in content:
                        text += part if isinstance(part, str) else part.text or ""
                        reasoning += _thinking(part)
                thought = message.reasoning_content or message.reasoning
                if thought and type(thought) is str:
                    reasoning += thought
                if message.tool_calls:
                    tool += _tool_text(message.tool_calls)
            if choice.text:
                text += choice.text
            if choice.finish_reason:
                finish = choice.finish_reason
        figures: dict[str, Any] = {}
        if chunk.timings is not ABSENT:
            figures = timings_figures(decode_or_none(chunk.timings))
            if self._counted:
                figures = {n: v for n, v in figures.items() if n not in ("output_tokens", "token_source")}
        if chunk.usage is not ABSENT and (usage := usage_figures(decode_or_none(chunk.usage))):
            figures |= usage
            self._counted = self._counted or "output_tokens" in usage
        model = chunk.model
        if model != self._model and model and isinstance(model, str):
            self._model = figures["model"] = model
        if figures:
            return Delta(text=text, reasoning=reasoning, tool=tool, finish_reason=finish, **figures)
        if text or reasoning or tool or finish:
            return Delta(text=text, reasoning=reasoning, tool=tool, finish_reason=finish)
        return None


def _thinking(part: Any) -> str:
    thinking = getattr(part, "thinking", None)
    if isinstance(thinking, str):
        return thinking
    if isinstance(thinking, list):
        return "".join(common.string(p.get("text")) for p in thinking if isinstance(p, dict))
    return ""


def _tool_text(calls: list[common.ToolCall]) -> str:
    text = ""
    for call in calls:
        if call.function is not None:
            text += (call.function.name or "") + common.string(call.function.arguments)
    return text
