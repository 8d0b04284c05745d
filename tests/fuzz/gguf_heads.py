"""The fuzz target of GGUF headers: any bytes give a GgufInfo within its limits, or an error of one printable line."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path

from llmtui.servers.gguf import MAX_NAME_CHARS, GgufInfo, NotGguf, parse_gguf
from tests.servers.gguf_files import (
    TENSORS,
    WHOLE,
    array,
    gguf_head,
    i32,
    items,
    string,
    strings,
    tensor,
    u32,
    u64,
    with_weights,
)

MAX_REFUSAL_CHARS = 200


def gguf(data: bytes) -> None:
    """Read the bytes as a file's. After a "+" in front, which is dropped, the file goes on in zeros for 64 kB.

    No more: the fuzzer makes the reader many times slower. tests/hostile/test_gguf.py has the heads that fill the
    bounds.
    """
    descriptor, name = _file()
    try:
        long = data[:1] == b"+"
        os.write(descriptor, data[1:] if long else data)
        if long:
            os.truncate(descriptor, len(data) + (1 << 16))
        _check(Path(name))
    finally:
        os.close(descriptor)
        if not name.startswith("/proc/"):
            os.unlink(name)


def _file() -> tuple[int, str]:
    """Create an empty file, in memory if supported, and return its descriptor and name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("gguf")
        return descriptor, f"/proc/self/fd/{descriptor}"
    return tempfile.mkstemp(suffix=".gguf")


def _check(path: Path) -> None:
    try:
        info = parse_gguf(path)
    except NotGguf as error:
        text = str(error)
        assert text.isprintable() and text.startswith(("is ", "has ")) and len(text) <= MAX_REFUSAL_CHARS, text
        return
    assert isinstance(info, GgufInfo)
    for text in (info.file_type, info.architecture, info.name):
        assert text.isprintable() or not text, text
        assert len(text) <= MAX_NAME_CHARS, text
        text.encode()
    for number in (info.context_length or 0, *info.end_tokens):
        assert type(number) is int and 0 <= number < 1 << 32, number
    assert len(info.end_tokens) <= 3


def gguf_seeds() -> list[bytes]:
    """Valid headers, headers with one fault, and headers of longer files."""
    whole = with_weights(gguf_head(WHOLE, TENSORS), 256 + 68, 64)
    deep = array(9, items(9, items(8, b"", 0), 1), 1)
    broken = [
        gguf_head(WHOLE[:3], claimed_keys=1 << 62),
        gguf_head(tensors=TENSORS, claimed_tensors=99),
        gguf_head([("general.alignment", i32(-32)), ("general.file_type", u64(1 << 63))], TENSORS),
        gguf_head([("general.name", string(b"\x1b[31m\xff\x9b")), ("general.name", string("x"))]),
        gguf_head([("k", array(8, b"", 1 << 40))]),
        gguf_head([("k", array(11, b"", 1 << 62))]),
        gguf_head([("k", deep), ("k", struct.pack("<I", 99))]),
        gguf_head(tensors=[tensor("t", [1 << 40] * 8, kind=14, offset=1 << 60)]),
        gguf_head(version=77),
        b"<html>",
    ]
    good = [whole, gguf_head(), gguf_head(WHOLE), gguf_head([("k", strings(["a", "b"])), ("n", u32(1))])]
    return [*good, *broken, b"+" + gguf_head([("k", array(8, b"", 1000))]), b"+" + gguf_head(claimed_keys=1000)]
