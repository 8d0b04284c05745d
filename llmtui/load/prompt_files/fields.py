"""The fields of records: what they are called in the files of other tools, and what is allowed in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmtui.load.prompt_files.errors import BadRecord
from llmtui.load.prompts import Message

#: The names of a text, of messages, of a system message and of the limit of an answer, the likeliest first.
TEXTS = ("prompt", "text_input", "instruction", "question", "input", "context", "content", "text", "texts")
CHATS = ("messages", "chat_messages")
SYSTEMS = ("system_prompt", "system", "prefix")
LIMITS = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "output_tokens",
    "output_length",
    "completion_tokens",
    "output_tokens_count",
    "completion_tokens_count",
)
MOST_TOKENS = 1_000_000
_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant", "developer": "system"}


def first_of(record: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the first of `names` that the record has with a value, "" if it has none."""
    return next((name for name in names if record.get(name) is not None), "")


def text_of(value: Any, name: str) -> str:
    """Return the text in a field: a string, or parts of type text. Raises BadRecord."""
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        value = value[0] if name == "texts" else "".join(value)
    if isinstance(value, list):
        value = "".join(_part(part, name) for part in value)
    if not isinstance(value, str):
        raise BadRecord(f"{name} is {kind_of(value)}, not text")
    if not value.strip():
        raise BadRecord(f"{name} is empty")
    return value


def messages_of(value: Any, name: str) -> list[Message]:
    """Return the messages of a chat. Raises BadRecord."""
    if not isinstance(value, list) or not value:
        raise BadRecord(f"{name} is {'empty' if value == [] else kind_of(value)}, not a list of messages")
    messages = []
    for number, entry in enumerate(value, 1):
        if not isinstance(entry, dict):
            raise BadRecord(f"message {number} of {name} is {kind_of(entry)}, not an object with role and content")
        role = entry.get("role", "user")
        if not isinstance(role, str):
            raise BadRecord(f"the role of message {number} is {kind_of(role)}, not text")
        if "content" not in entry or entry["content"] is None:
            raise BadRecord(f"message {number} has no content")
        content = entry["content"]
        text = content if content == "" else text_of(content, f"the content of message {number}")
        messages.append(Message(_ROLES.get(role, role), text))
    if not any(message.content.strip() for message in messages):
        raise BadRecord(f"all {name} are empty")
    return messages


def limit_of(record: Mapping[str, Any]) -> int:
    """Return the limit of the answer, 0 without one. Raises BadRecord."""
    name = first_of(record, LIMITS)
    if not name:
        return 0
    return whole_number(record[name], name)


def whole_number(value: Any, name: str, least: int = 1, most: int = MOST_TOKENS) -> int:
    """Return a whole number from `least` to `most`. Raises BadRecord."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRecord(f"{name} is {kind_of(value)}, not a whole number")
    if not least <= value <= most:
        raise BadRecord(f"{name} is {value}; expected {least} to {most}")
    return value


def seconds(value: Any, name: str) -> float:
    """Return a number of seconds, or whatever the unit is. Raises BadRecord."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise BadRecord(f"{name} is {kind_of(value)}, not a time")
    return float(value)


def kind_of(value: Any) -> str:
    """What a value is, for a message."""
    if value is None:
        return "null"
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), "something else")


def _part(part: Any, name: str) -> str:
    """The text of one part of a content."""
    if (
        isinstance(part, dict)
        and part.get("type", "text") in ("text", "input_text")
        and isinstance(part.get("text"), str)
    ):
        text: str = part["text"]
        return text
    kind = part.get("type") if isinstance(part, dict) else None
    what = f"a part of type {kind[:20]!r}" if isinstance(kind, str) else kind_of(part)
    raise BadRecord(f"{name} has {what}, and llmtui sends text only")
