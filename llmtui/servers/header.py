"""The head of a GGUF file, read without any package: names a model and its weights, and refuses other files."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: `general.file_type` (llama.cpp's `llama_ftype`), as the field writes them.
FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
}

#: Tokens that end an answer.
_END_TOKENS = tuple(f"tokenizer.ggml.{kind}_token_id" for kind in ("eos", "eot", "eom"))

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX_STRING_BYTES = 16 * 1024 * 1024
_MAX_ENTRIES = 100_000
_MAX_DEPTH = 4
_MAX_DIMENSIONS = 8
#: Elements and bytes of a block, by kind of tensor (`ggml_type`); a kind that is not here counts as empty.
_BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    30: (1, 2),
}


class NotGguf(ValueError):
    """The file is not a GGUF file that can be read; the text says what it is, as in "is not a GGUF file"."""


@dataclass(frozen=True)
class GgufInfo:
    """What a GGUF file says of itself; "" and None where it is silent. `end_tokens` are those that end an answer."""

    file_type: str
    architecture: str
    name: str
    context_length: int | None
    end_tokens: tuple[int, ...] = ()


def parse_gguf(path: Path) -> GgufInfo:
    """Read the head of a file. Raises NotGguf, and OSError when it cannot be read."""
    with path.open("rb") as file:
        try:
            facts, tensors = _facts(file)
            end = _end_of_weights(file, facts, tensors)
        except (struct.error, UnicodeDecodeError, MemoryError, OverflowError) as error:
            raise NotGguf("is a broken GGUF file: its head is cut off or damaged") from error
        size = file.seek(0, 2)
    if size < end:
        raise NotGguf(f"is a broken GGUF file, cut off: {size:,} of {end:,} bytes")
    architecture = facts.get("general.architecture")
    architecture = architecture if isinstance(architecture, str) else ""
    file_type = facts.get("general.file_type")
    name = facts.get("general.name")
    context = facts.get(f"{architecture}.context_length")
    return GgufInfo(
        file_type=FILE_TYPES.get(file_type, f"type {file_type}") if isinstance(file_type, int) else "",
        architecture=architecture,
        name=name if isinstance(name, str) else "",
        context_length=context if isinstance(context, int) else None,
        end_tokens=tuple(sorted({v for key in _END_TOKENS if isinstance(v := facts.get(key), int)})),
    )


def _facts(file: BinaryIO) -> tuple[dict[str, object], int]:
    """All that the head says but its arrays, and the number of tensors."""
    magic = file.read(4)
    if magic != b"GGUF":
        found = f"it starts with {magic!r} instead of b'GGUF'" if magic else "it is empty"
        raise NotGguf(f"is not a GGUF file: {found}")
    version = _scalar(file, "I")
    if version not in (2, 3):
        raise NotGguf(f"is of GGUF version {version}; 2 and 3 are known")
    tensors = _count(file, _MAX_ENTRIES)
    count = _count(file, _MAX_ENTRIES)
    facts: dict[str, object] = {}
    for _ in range(count):
        key = _string(file)
        facts[key] = _value(file, _scalar(file, "I"), 0)
    return facts, tensors


def _end_of_weights(file: BinaryIO, facts: dict[str, object], tensors: int) -> int:
    """Where the last tensor ends, in bytes from the start of the file, as far as the kinds of tensors are known."""
    last = 0
    for _ in range(tensors):
        _string(file)
        shape = [_count(file, 1 << 48) for _ in range(_count(file, _MAX_DIMENSIONS, "I"))]
        block, size = _BLOCKS.get(_count(file, 1 << 31, "I"), (1, 0))
        last = max(last, _count(file, 1 << 62) + math.prod(shape) // block * size)
    step = facts.get("general.alignment")
    step = step if isinstance(step, int) and step > 0 else 32
    return -(-file.tell() // step) * step + last if tensors else 0


def _count(file: BinaryIO, most: int, code: str = "Q") -> int:
    value = _scalar(file, code)
    if not isinstance(value, int) or value > most:
        raise NotGguf("is a broken GGUF file: its head is damaged")
    return value


def _scalar(file: BinaryIO, code: str) -> object:
    size = struct.calcsize("<" + code)
    (value,) = struct.unpack("<" + code, file.read(size))
    return value


def _string(file: BinaryIO) -> str:
    size = _count(file, _MAX_STRING_BYTES)
    raw = file.read(size)
    if len(raw) < size:
        raise NotGguf("is a broken GGUF file: its head is cut off")
    return raw.decode("utf-8", "replace")


def _value(file: BinaryIO, kind: object, depth: int) -> object:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY and depth < _MAX_DEPTH:
        item = _scalar(file, "I")
        count = _count(file, 1 << 40)
        if isinstance(item, int) and item in _SCALARS:
            file.seek(count * struct.calcsize("<" + _SCALARS[item]), 1)
        else:
            for _ in range(count):
                _value(file, item, depth + 1)
        return None
    if isinstance(kind, int) and kind in _SCALARS:
        return _scalar(file, _SCALARS[kind])
    raise NotGguf("is a broken GGUF file: its head is damaged")
