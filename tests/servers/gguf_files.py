"""Build GGUF headers, value by value, also invalid ones."""

from __future__ import annotations

import struct
from collections.abc import Iterable


def text(value: str | bytes) -> bytes:
    """Return a string in GGUF's format: its length and its bytes."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def string(value: str | bytes) -> bytes:
    """Return a value of type string."""
    return struct.pack("<I", 8) + text(value)


def u32(value: int) -> bytes:
    """Return a value of type uint32."""
    return struct.pack("<II", 4, value)


def i32(value: int) -> bytes:
    """Return a value of type int32."""
    return struct.pack("<Ii", 5, value)


def u64(value: int) -> bytes:
    """Return a value of type uint64."""
    return struct.pack("<IQ", 10, value)


def items(kind: int, raw: bytes, count: int) -> bytes:
    """Return an array without its own type: the type of its items, their number as claimed, and the items."""
    return struct.pack("<IQ", kind, count) + raw


def array(kind: int, raw: bytes, count: int) -> bytes:
    """Return a value of type array."""
    return struct.pack("<I", 9) + items(kind, raw, count)


def strings(values: Iterable[str]) -> bytes:
    """Return a value of type array of strings."""
    encoded = [text(value) for value in values]
    return array(8, b"".join(encoded), len(encoded))


def tensor(name: str, shape: Iterable[int], kind: int = 0, offset: int = 0) -> bytes:
    """Return the entry of one tensor."""
    sizes = list(shape)
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


def gguf_head(
    keys: Iterable[tuple[str | bytes, bytes]] = (),
    tensors: Iterable[bytes] = (),
    *,
    claimed_keys: int | None = None,
    claimed_tensors: int | None = None,
    version: int = 3,
) -> bytes:
    """Return a header with these keys and tensors; it may claim another number of them."""
    pairs, shapes = [text(key) + value for key, value in keys], list(tensors)
    count = struct.pack(
        "<IQQ",
        version,
        len(shapes) if claimed_tensors is None else claimed_tensors,
        len(pairs) if claimed_keys is None else claimed_keys,
    )
    return b"GGUF" + count + b"".join(pairs) + b"".join(shapes)


def with_weights(head: bytes, size: int, alignment: int = 32) -> bytes:
    """Return a header, its padding, and this many bytes of weights."""
    return head + bytes(-len(head) % alignment) + bytes(size)


WHOLE = [
    ("general.architecture", string("llama")),
    ("tokenizer.ggml.tokens", strings(["a", "bc", "", "ß" * 40])),
    ("general.name", string("Tiny")),
    ("numbers", array(6, bytes(4 * 9), 9)),
    ("general.file_type", u32(7)),
    ("nested", array(9, items(8, text("x") + text("yz"), 2) + items(0, b"123", 3), 2)),
    ("llama.context_length", u32(2048)),
    ("llama.rope.scaling.original_context_length", u32(77)),
    ("tokenizer.ggml.eos_token_id", u32(2)),
    ("tokenizer.ggml.eot_token_id", u32(5)),
    ("tokenizer.chat_template", string("{{ x }}" * 100)),
    ("general.alignment", u32(64)),
]

TENSORS = [tensor("a", [32, 2]), tensor("b", [64], kind=8, offset=256)]
