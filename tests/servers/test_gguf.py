"""The reader of GGUF headers: what it reads, skips and refuses."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest

from llmtui.servers import gguf as header
from llmtui.servers.gguf import GgufInfo, NotGguf, parse_gguf
from tests.servers.gguf_files import (
    TENSORS,
    WHOLE,
    array,
    gguf_head,
    i32,
    items,
    string,
    strings,
    text,
    u32,
    u64,
    with_weights,
)

INFO = GgufInfo("Q8_0", "llama", "Tiny", 2048, (2, 5), "{{ x }}" * 100)


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
