"""The reader of GGUF headers: what it reads, skips and refuses. Other tests use `gguf_head` to build headers."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from llmtui.servers import gguf as header
from llmtui.servers.gguf import GgufInfo, NotGguf, parse_gguf


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
INFO = GgufInfo("Q8_0", "llama", "Tiny", 2048, (2, 5))


def parsed(folder: Path, content: bytes) -> GgufInfo:
    """Parse a file with this content."""
    path = folder / "x.gguf"
    path.write_bytes(content)
    return parse_gguf(path)


def refused(folder: Path, content: bytes) -> str:
    """Return the error for a file with this content."""
    with pytest.raises(NotGguf) as caught:
        parsed(folder, content)
    return str(caught.value)


def test_the_needed_keys_are_read_among_others(tmp_path: Path) -> None:
    assert parsed(tmp_path, with_weights(gguf_head(WHOLE, TENSORS), 256 + 68, 64)) == INFO


def test_the_architecture_may_follow_its_context_length(tmp_path: Path) -> None:
    keys = [("bert.context_length", u32(512)), ("llama.context_length", u64(4096))]
    assert parsed(tmp_path, gguf_head([*keys, WHOLE[0]])) == GgufInfo("", "llama", "", 4096)


@pytest.mark.parametrize("block", [1, 2, 7, 8, 9, 13, 24, 64, 65, 100, 1000])
def test_values_may_cross_blocks(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "_BLOCK_BYTES", block)
    assert parsed(tmp_path, with_weights(gguf_head(WHOLE, TENSORS), 256 + 68, 64)) == INFO


def test_every_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = with_weights(gguf_head(WHOLE, TENSORS), 256 + 68, 64)
    for end in range(len(whole)):
        assert "broken" in (error := refused(tmp_path, whole[:end])) or end < 4, error


def test_truncated_weights_are_reported_in_bytes(tmp_path: Path) -> None:
    whole = with_weights(gguf_head(WHOLE, TENSORS), 256 + 68, 64)
    assert refused(tmp_path, whole[:-1]) == (
        f"is a broken GGUF file, cut off: {len(whole) - 1:,} of {len(whole):,} bytes"
    )


def test_a_large_vocabulary_is_read_in_less_than_a_second(tmp_path: Path) -> None:
    tokens = b"".join(text(f"token{number}") for number in range(256_000))
    merges = b"".join(text(f"left{number} right") for number in range(500_000))
    keys = [*WHOLE[:1], ("tokenizer.ggml.tokens", array(8, tokens, 256_000))]
    keys += [("tokenizer.ggml.scores", array(6, bytes(4 * 256_000), 256_000))]
    keys += [("tokenizer.ggml.merges", array(8, merges, 500_000)), *WHOLE[-4:-3]]
    content = gguf_head(keys)
    began_s = time.process_time()
    assert parsed(tmp_path, content).end_tokens == (2,)
    assert time.process_time() - began_s < 0.8


@pytest.mark.parametrize("alignment", [u32(0), i32(-8), u32(3), string("32"), struct.pack("<I?", 7, True)])
def test_an_alignment_must_be_a_power_of_two(tmp_path: Path, alignment: bytes) -> None:
    content = with_weights(gguf_head([("general.alignment", alignment)], TENSORS), 1000)
    assert refused(tmp_path, content) == "is a broken GGUF file: its alignment is not a power of two"


def test_a_duplicate_key_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, gguf_head([*WHOLE, ("general.name", string("Other"))]))
    assert error == "is a broken GGUF file: its header has the key general.name twice"


@pytest.mark.parametrize("value", [i32(-1), u64(1 << 32), string("2"), strings(["2"]), struct.pack("<If", 6, 2.0)])
def test_a_number_out_of_range_is_ignored(tmp_path: Path, value: bytes) -> None:
    keys = [WHOLE[0], ("llama.context_length", value), ("tokenizer.ggml.eos_token_id", value)]
    assert parsed(tmp_path, gguf_head([*keys, ("general.file_type", value)])) == GgufInfo("", "llama", "", None)


def test_a_long_key_is_skipped(tmp_path: Path) -> None:
    long = "x" * header.MAX_KEY_BYTES
    assert parsed(tmp_path, gguf_head([(long, u32(1)), *WHOLE])) == INFO
    assert refused(tmp_path, gguf_head([(long + "x", u32(1)), *WHOLE])).endswith("its header is damaged")


def test_the_nesting_of_arrays_is_limited(tmp_path: Path) -> None:
    value = items(0, b"1", 1)
    for depth in range(1, header.MAX_DEPTH + 2):
        content = gguf_head([("deep", struct.pack("<I", 9) + value), *WHOLE])
        if depth <= header.MAX_DEPTH:
            assert parsed(tmp_path, content) == INFO
        else:
            assert refused(tmp_path, content) == "is a broken GGUF file: its header is damaged"
        value = items(9, value, 1)


@pytest.mark.parametrize(
    ("limit", "name"), [(4, "MAX_STRINGS"), (2, "MAX_INNER_ARRAYS"), (12, "MAX_KEYS"), (2, "MAX_TENSORS")]
)
def test_a_header_at_the_limits_is_read_and_one_beyond_is_refused(
    tmp_path: Path, limit: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [pair for pair in WHOLE if name != "MAX_STRINGS" or pair[0] != "nested"]
    content = with_weights(gguf_head(keys, TENSORS), 256 + 68, 64)
    monkeypatch.setattr(header, name, limit)
    assert parsed(tmp_path, content) == INFO
    monkeypatch.setattr(header, name, limit - 1)
    assert refused(tmp_path, content) == "is a broken GGUF file: its header is damaged"


def test_a_header_that_is_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "MAX_HEAD_BYTES", 1 << 20)
    content = gguf_head([("numbers", array(0, bytes(1 << 20), 1 << 20)), *WHOLE])
    assert refused(tmp_path, content) == "is a broken GGUF file: its header has more than 1 MB"


def test_a_link_to_a_model_file_is_followed(tmp_path: Path) -> None:
    parsed(tmp_path, gguf_head(WHOLE))
    os.symlink("x.gguf", tmp_path / "link.gguf")
    assert parse_gguf(tmp_path / "link.gguf") == INFO


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    parsed(tmp_path, gguf_head(WHOLE))
    refused(tmp_path, b"GGUF" + bytes(100))
    with pytest.raises(NotGguf):
        parse_gguf(tmp_path)
    assert len(os.listdir("/dev/fd")) == before
