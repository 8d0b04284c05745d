"""The formats of a record, from its bytes to a prompt. The fields of the first record tell that of a file. Pure."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from llmtui.load.prompt_files.errors import BadRecord, Blank, Skip
from llmtui.load.prompt_files.fields import (
    CHATS,
    SYSTEMS,
    TEXTS,
    first_of,
    kind_of,
    limit_of,
    messages_of,
    seconds,
    text_of,
    whole_number,
)
from llmtui.load.prompts import Message, Prompt
from llmtui.load.synthetic import text_of as words_of

#: The tokens of a block of a mooncake trace: equal numbers in `hash_ids` are equal blocks of prompts.
BLOCK_TOKENS = 512
_decode = msgspec.json.Decoder().decode


class Format(NamedTuple):
    """A format: its name, and what reads a record of it, given the number of the record. Raises BadRecord or Skip.

    `lengths_only`: the records have no text, so that one of their length is made up. `timed`: they have send times.
    `what` is what a record is called.
    """

    title: str
    read: Callable[[bytes, int], Prompt]
    what: str = "prompt"
    lengths_only: bool = False
    timed: bool = False


def json_format(record: bytes) -> Format | None:
    """Return the format of JSON Lines by the fields of a line, None if it is none of them. Raises BadRecord."""
    fields = _object(record)
    if isinstance(fields.get("body"), dict):
        return Format("an OpenAI batch file", _of_fields(_batch))
    if "conversations" in fields:
        return Format("ShareGPT in JSON Lines", _of_fields(_conversation), "conversation")
    chat, text = first_of(fields, CHATS), first_of(fields, TEXTS)
    timed = "timestamp" in fields
    if "input_length" in fields and not (chat or text):
        return Format("a mooncake trace", _of_fields(_mooncake), "request", lengths_only=True, timed=timed)
    if chat or _are_messages(fields.get(text)):
        name = chat or text
        return Format(f"JSON Lines with {name}", _of_fields(lambda f, _: _chat(f, name)), timed=timed)
    if text:
        return Format(f"JSON Lines with {text}", _of_fields(lambda f, _: _text(f, text)), timed=timed)
    if "prompt_0" in fields:
        return Format("JSON Lines with turns", _of_fields(_numbered))
    if isinstance(fields.get("turns"), list):
        return Format("JSON Lines with turns", _of_fields(_turns))
    return None


def fields_of(record: bytes) -> list[str]:
    """Return the names of the fields of a line of JSON, for a message. Raises BadRecord."""
    return list(_object(record))


def sharegpt() -> Format:
    """The format of the items of a ShareGPT array, each from the value of its `conversations` on."""
    return Format("ShareGPT", _sharegpt_item, "conversation")


def table_format(header: bytes) -> Format | None:
    """Return the format of a CSV trace by its header, None if it is none of them."""
    names = [name.strip().strip('"').lower() for name in header.decode("utf-8-sig", "replace").split(",")]
    for title, at, tokens, answer in (
        ("a BurstGPT trace", "timestamp", "request tokens", "response tokens"),
        ("an Azure trace", "timestamp", "contexttokens", "generatedtokens"),
    ):
        if tokens in names and answer in names and at in names:
            places = names.index(at), names.index(tokens), names.index(answer)
            return Format(title, lambda r, n, p=places: _row(r, n, p), "request", lengths_only=True, timed=True)  # type: ignore[misc]
    return None


def text_file(data: bytes) -> Prompt:
    """Return the prompt in a text file, without the blank lines around it. Raises BadRecord."""
    text = as_text(data).strip("\r\n")
    if not text.strip():
        raise BadRecord("it is empty")
    return Prompt(messages=[Message("user", text)])


def as_text(data: bytes) -> str:
    """Return bytes as text. Raises BadRecord for those that are none."""
    if b"\0" in data:
        raise BadRecord("it has NUL bytes, so it is not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRecord(f"it is not UTF-8 (byte {error.start + 1})") from None


def _of_fields(read: Callable[[Mapping[str, Any], int], Prompt]) -> Callable[[bytes, int], Prompt]:
    """Return what reads a line of JSON."""
    return lambda record, number: read(_object(record), number)


def _object(record: bytes) -> dict[str, Any]:
    if not record.strip():
        raise Blank
    try:
        value = _decode(record)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        as_text(record)
        raise BadRecord(f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRecord(f"it is {kind_of(value)}, not an object")
    return value


def _batch(fields: Mapping[str, Any], _: int) -> Prompt:
    body = fields.get("body")
    if not isinstance(body, dict):
        raise BadRecord("it has no body")
    name = first_of(body, CHATS)
    if name:
        return _chat(body, name)
    if name := first_of(body, TEXTS):
        return _chat(body, name) if _are_messages(body[name]) else _text(body, name)
    raise BadRecord("its body has neither messages nor a prompt")


def _chat(fields: Mapping[str, Any], name: str) -> Prompt:
    if name not in fields:
        raise BadRecord(f"it has no {name}")
    return Prompt(messages=messages_of(fields[name], name), max_tokens=limit_of(fields), at_s=_stamp(fields))


def _text(fields: Mapping[str, Any], name: str) -> Prompt:
    if name not in fields:
        raise BadRecord(f"it has no {name}")
    text = text_of(fields[name], name)
    if name == "instruction" and isinstance(more := fields.get("input"), str) and more.strip():
        text = f"{text}\n\n{more}"
    messages = [Message("user", text)]
    if system := first_of(fields, SYSTEMS):
        messages.insert(0, Message("system", text_of(fields[system], system)))
    return Prompt(messages=messages, max_tokens=limit_of(fields), at_s=_stamp(fields))


def _numbered(fields: Mapping[str, Any], _: int) -> Prompt:
    """guidellm's conversations: `prompt_0`, `prompt_1` and so on."""
    prompt = _text(fields, "prompt_0")
    then = itertools.takewhile(lambda name: fields.get(name) is not None, map("prompt_{}".format, itertools.count(1)))
    return msgspec.structs.replace(prompt, then=[text_of(fields[name], name) for name in then])


def _turns(fields: Mapping[str, Any], _: int) -> Prompt:
    """AIPerf's conversations."""
    turns = fields.get("turns")
    if not isinstance(turns, list) or not turns:
        raise Skip
    first = turns[0]
    if isinstance(first, str):
        first = {"text": first}
    if not isinstance(first, dict) or not (name := first_of(first, TEXTS)):
        raise BadRecord("its first turn has no text")
    return msgspec.structs.replace(_text(first, name), then=[_said(turn) for turn in turns[1:]])


def _said(turn: Any) -> str:
    """What a user says in a later turn. Raises BadRecord."""
    if isinstance(turn, str):
        return turn
    if not isinstance(turn, dict) or not (name := first_of(turn, TEXTS)):
        raise BadRecord("one of its turns has no text")
    return text_of(turn[name], name)


def _conversation(fields: Mapping[str, Any], _: int) -> Prompt:
    return _first_turn(fields.get("conversations"))


def _sharegpt_item(record: bytes, _: int) -> Prompt:
    """An item of an array, from the colon after `conversations` on: what follows the list is left out."""
    text = as_text(record).lstrip()
    if not text.startswith(":"):
        raise Skip  # the word is an item of a list and not a field
    try:
        value, _end = json.JSONDecoder().raw_decode(text[1:].lstrip())
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"it is not JSON: {str(error)[:100]}") from None
    return _first_turn(value)


def _first_turn(turns: Any) -> Prompt:
    """What the human says first. Some conversations of ShareGPT are empty, or all the model's."""
    if not isinstance(turns, list):
        raise BadRecord(f"conversations is {kind_of(turns)}, not a list")
    asked = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise BadRecord(f"conversations has {kind_of(turn)}, not an object with from and value")
        if turn.get("from", turn.get("role")) in ("human", "user"):
            said = turn.get("value", turn.get("content"))
            if not isinstance(said, str):
                raise BadRecord(f"what the human says is {kind_of(said)}, not text")
            if said.strip():
                asked.append(said)
    if not asked:
        raise Skip
    return Prompt(messages=[Message("user", asked[0])], then=asked[1:])


def _mooncake(fields: Mapping[str, Any], number: int) -> Prompt:
    tokens = whole_number(fields.get("input_length"), "input_length", 0)
    blocks = fields.get("hash_ids") or []
    if not isinstance(blocks, list) or not all(isinstance(one, int) for one in blocks):
        raise BadRecord("hash_ids is not a list of numbers")
    whole = [(f"block {block}", BLOCK_TOKENS) for block in blocks[: max(0, -(-tokens // BLOCK_TOKENS) - 1)]]
    rest = (
        f"{blocks[len(whole)]}" if len(blocks) > len(whole) else f"record {number}",
        tokens - len(whole) * BLOCK_TOKENS,
    )
    text = " ".join(words_of(key, of) for key, of in (*whole, rest))
    return Prompt(messages=[Message("user", text)], max_tokens=limit_of(fields), at_s=_stamp(fields))


def _stamp(fields: Mapping[str, Any]) -> float | None:
    """The timestamp of a trace in s; those of mooncake and AIPerf are in ms."""
    value = fields.get("timestamp")
    return None if value is None or isinstance(value, str) else seconds(value, "timestamp") / 1000


def _row(record: bytes, number: int, places: tuple[int, int, int]) -> Prompt:
    line = as_text(record).strip()
    if not line:
        raise Blank
    cells = [cell.strip().strip('"') for cell in line.split(",")]
    if len(cells) <= max(places):
        raise BadRecord(f"it has {len(cells)} columns; expected at least {max(places) + 1}")
    at, tokens, answer = (cells[place] for place in places)
    # If the server failed, the trace has no answer tokens; the request counts anyway.
    limit = max(1, _number(answer, "the number of answer tokens"))
    text = words_of(f"record {number}", _number(tokens, "the number of prompt tokens"))
    return Prompt(messages=[Message("user", text)], max_tokens=limit, at_s=_time(at))


def _number(cell: str, what: str) -> int:
    try:
        return whole_number(float(cell), what, 0)
    except (ValueError, OverflowError):
        raise BadRecord(f"{what} is {cell[:20]!r}, not a number") from None


def _time(cell: str) -> float:
    """A time in s: of BurstGPT a number, of Azure a date with more digits than Python reads."""
    try:
        return seconds(float(cell), "the timestamp")
    except ValueError:
        pass
    whole, _, fraction = cell.partition(".")
    try:
        digits = fraction.split("+")[0].rstrip("Z") or "0"
        return datetime.fromisoformat(f"{whole.rstrip('Z').split('+')[0]}+00:00").timestamp() + float(f"0.{digits}")
    except ValueError:
        raise BadRecord(f"the timestamp is {cell[:30]!r}, not a time") from None


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "role" in one for one in value)
