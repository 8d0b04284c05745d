"""Reads one chunk of OpenAI's chat completions: of a stream, or the only one of an answer without streaming."""

from __future__ import annotations

from typing import Any

import msgspec

from llmtui.wire import common
from llmtui.wire.base import Delta
from llmtui.wire.errors import check_error, no_answer, server_error
from llmtui.wire.finish import finish_word
from llmtui.wire.lenient import REFUSED, Other, decode_refused
from llmtui.wire.repeats import SURE_CHARS, TextSoFar
from llmtui.wire.usage import timings_figures, usage_figures

#: Fields with the thinking, the first that has any counts: some servers send the same text in several.
_THINKING = ("reasoning_content", "reasoning", "thinking", "reasoning_text", "thinking_blocks", "reasoning_details")


class _Message(msgspec.Struct):
    """A delta, or a whole message. `content` is text, or a list of parts (Mistral's servers)."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None
    thinking: Any = None
    reasoning_text: Any = None
    thinking_blocks: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    function_call: Any = None
    audio: Any = None
    error: Any = None


class _Choice(msgspec.Struct):
    delta: _Message | Other = None
    message: _Message | Other = None
    text: Any = None
    finish_reason: Any = None
    error: Any = None
    usage: Any = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice | Other] | dict[str, Any] | str | int | float | bool | None = None
    model: Any = None
    usage: Any = None
    timings: Any = None
    x_groq: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class ChunkReader:
    """Turns chunks (of a stream, or the only one of an answer without streaming) into deltas.

    `message` in a stream is the whole answer once more if deltas came before it.
    """

    __slots__ = (
        *("_beside", "_called", "_counted", "_in_deltas", "_in_messages", "_model", "_text", "_thought"),
        "finished",
    )
    ended = False

    def __init__(self) -> None:
        self.finished = False
        self._model: str | None = None
        self._counted = False
        self._called = False
        #: Whether the text is in `text`, beside deltas without any.
        self._beside = False
        self._text = TextSoFar()
        self._thought = TextSoFar()
        #: Events with output in a delta, and in a whole message.
        self._in_deltas = self._in_messages = 0

    @property
    def whole(self) -> bool:
        """Whether the answer was one whole message."""
        return self._in_messages == 1 and not self._in_deltas

    @property
    def answered(self) -> bool:
        return self.finished

    def __call__(self, data: bytes, torn: bool = False, named: bool = False) -> Delta | tuple[Delta, ...] | None:
        """Return the delta of one chunk, None if it has nothing new. Raises WireError."""
        try:
            chunk = _decode(data)
        except REFUSED as error:
            chunk = decode_refused(_decode, data, torn, error)
        choices = chunk.choices
        if type(choices) is list and len(choices) == 1:
            choice = choices[0]
            if type(choice) is _Choice and not choice.finish_reason and type(choice.delta) is _Message:
                # The usual chunk: a short text, or a short thought, and nothing else.
                text = choice.delta.content
                thought = choice.delta.reasoning_content
                so_far, piece = (self._text, text) if text else (self._thought, thought)
                if (
                    so_far.settled
                    and type(piece) is str
                    and 0 < len(piece) < SURE_CHARS
                    and choice.delta == _Message(text, thought if piece is thought else None)
                    and chunk == _Chunk(choices, self._model)
                    and choice == _Choice(choice.delta)
                ):
                    so_far.chars += len(piece)
                    return Delta(piece) if so_far is self._text else Delta(reasoning=piece)
        return self._read(chunk, data, named)

    def _read(self, chunk: _Chunk, data: bytes, named: bool) -> Delta | tuple[Delta, ...] | None:
        if chunk.error:
            check_error(chunk.error)
        text = reasoning = tool = ""
        finish: str | None = None
        figures: dict[str, Any] = {}
        choices = chunk.choices
        if type(choices) is list:
            for choice in choices:
                if type(choice) is _Choice:
                    if choice.error:
                        check_error(choice.error)
                    ending = finish_word(choice.finish_reason) if choice.finish_reason else None
                    piece, thought, call = self._output(choice, ending is not None)
                    text += piece
                    reasoning += thought
                    tool += call
                    finish = ending or finish
                    if choice.usage:
                        figures |= self._usage(choice.usage)
        if chunk.timings:
            figures |= self._timings(chunk.timings)
        if chunk.x_groq:
            figures |= self._groq(chunk.x_groq)
        if chunk.usage:
            figures |= self._usage(chunk.usage)
        if choices is None and not figures:
            no_answer(data, named, "choices")
        model = chunk.model
        if model != self._model and model and isinstance(model, str):
            self._model = figures["model"] = model
        if finish is not None:
            self.finished = True
        if not (text or reasoning or tool or finish or figures):
            return None
        delta = Delta(text=text, reasoning=reasoning, tool=tool, finish_reason=finish, **figures)
        if self._text.correction is not None:
            correction, self._text.correction = self._text.correction, None
            return Delta(text=correction, replaces=True), delta
        return delta

    def _output(self, choice: _Choice, last: bool) -> tuple[str, str, str]:
        """Return the new text, thinking and tool call of a choice."""
        text = reasoning = tool = ""
        delta, message = choice.delta, choice.message
        if type(delta) is _Message:
            text, reasoning, tool = _parts(delta)
            if text:
                text = self._text.new(text, last)
            elif choice.text and (self._beside or not self._text.chars):
                text = self._text.new(_words(choice.text), last)
                self._beside = True
            if reasoning:
                reasoning = self._thought.new(reasoning, last)
            if text or reasoning or tool:
                self._in_deltas += 1
                self._called = self._called or bool(tool)
        elif choice.text and type(message) is not _Message:
            text = self._text.new(_words(choice.text), last)
            self._in_deltas += 1
        if type(message) is _Message:
            whole, thought, call = _parts(message)
            if whole and not (self._in_deltas and self._text.chars):
                text += self._text.new(whole, last)
            if thought and not (self._in_deltas and self._thought.chars):
                reasoning += self._thought.new(thought, last)
            if not self._called:
                tool += call
            if not self._in_deltas and (whole or thought or call):
                self._in_messages += 1
        return text, reasoning, tool

    def _usage(self, usage: Any) -> dict[str, Any]:
        figures = usage_figures(usage)
        if "output_tokens" in figures:
            self._counted = True
        return figures

    def _timings(self, timings: Any) -> dict[str, Any]:
        figures = timings_figures(timings)
        if self._counted:
            figures = {n: v for n, v in figures.items() if n not in ("output_tokens", "token_source")}
        return figures

    def _groq(self, extra: Any) -> dict[str, Any]:
        """Groq's own field: the usage, or why the stream stopped early."""
        if not isinstance(extra, dict):
            return {}
        if isinstance(error := extra.get("error"), str) and error:
            raise server_error(msgspec.json.encode({"error": error}))
        return self._usage(extra.get("usage"))


def _parts(message: _Message) -> tuple[str, str, str]:
    """Return text, thinking and tool call of a message."""
    if message.error:
        check_error(message.error)
    text = reasoning = tool = ""
    content = message.content
    if type(content) is str:
        text = content
    elif content is not None:
        text, reasoning = _content(content)
    if not text and (message.refusal or message.audio):
        text = _words(message.refusal) or (
            common.string(message.audio.get("transcript")) if isinstance(message.audio, dict) else ""
        )
    for name in _THINKING:
        if (thought := getattr(message, name)) and (words := _words(thought)):
            reasoning += words
            break
    if message.tool_calls:
        tool = _calls(message.tool_calls)
    if message.function_call and not tool:
        tool = _call(message.function_call)
    return text, reasoning, tool


def _content(content: Any) -> tuple[str, str]:
    """Return the text and the thinking in content that is not one string: parts, a number."""
    if not isinstance(content, list):
        return _words(content), ""
    text = reasoning = ""
    for part in content:
        if isinstance(part, dict) and (thinking := part.get("thinking") or part.get("reasoning")):
            reasoning += _words(thinking)
        else:
            text += _words(part)
    return text, reasoning


def _words(value: Any, depth: int = 4) -> str:
    """Return the text in a string, a number, or objects and lists of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and depth:
        return "".join(_words(item, depth - 1) for item in value)
    if isinstance(value, dict) and depth:
        fields = ("text", "thinking", "summary", "content", "reasoning", "refusal")
        return next((words for name in fields if (words := _words(value.get(name), depth - 1))), "")
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _calls(calls: Any) -> str:
    entries = calls if isinstance(calls, list) else [calls]
    return "".join(_call(entry.get("function")) for entry in entries if isinstance(entry, dict))


def _call(function: Any) -> str:
    """Return the name and the arguments of a called function. OpenAI's arguments are JSON in a string."""
    if not isinstance(function, dict):
        return ""
    arguments = function.get("arguments")
    if isinstance(arguments, dict | list):
        arguments = msgspec.json.encode(arguments).decode()
    return common.string(function.get("name")) + common.string(arguments)
