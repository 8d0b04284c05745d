"""Reads the header of a GGUF file without any package: the few keys that llmtui needs. The rest is skipped.

The file may be malicious, so the limits below bound the time and the memory that any header can take.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtui.text import sanitize

#: The weights by `general.file_type` (`llama_ftype` in llama.cpp).
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

#: The tokens that end an answer.
_END_TOKENS = tuple(f"tokenizer.ggml.{kind}_token_id".encode() for kind in ("eos", "eot", "eom"))
_ARCHITECTURE, _FILE_TYPE, _NAME = b"general.architecture", b"general.file_type", b"general.name"
_ALIGNMENT, _CONTEXT = b"general.alignment", b".context_length"
_TEMPLATE = b"tokenizer.chat_template"
_KEYS = frozenset({_ARCHITECTURE, _FILE_TYPE, _NAME, _ALIGNMENT, _TEMPLATE, *_END_TOKENS})

_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SCALARS = {kind: struct.Struct("<" + code) for kind, code in _CODES.items()}
_STRING, _ARRAY = 8, 9
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")

# Real headers have up to about 30 MB, 200 keys, 1 million strings (tokens and merges) and a few thousand tensors.
MAX_HEAD_BYTES = 256 * 1024 * 1024
MAX_KEYS = 65_536
MAX_TENSORS = 65_536
MAX_STRINGS = 1_500_000
#: Arrays inside arrays, in the whole header.
MAX_INNER_ARRAYS = 65_536
MAX_DEPTH = 4
MAX_DIMENSIONS = 8
MAX_KEY_BYTES = 65_535
MAX_NAME_CHARS = 300
#: Longer keys are skipped: those that are needed are shorter.
_READ_KEY_BYTES = 128
_READ_STRING_BYTES = 1024
#: Real chat templates have up to about 25 kB.
_READ_TEMPLATE_BYTES = 128 * 1024
#: The header is read in blocks of this size.
_BLOCK_BYTES = 256 * 1024
#: An array's item type and count.
_ARRAY_HEAD_BYTES = 12
#: Each entry begins with the length of its key.
_SMALLEST_ENTRY_BYTES = 8
#: A tensor without a name and dimensions.
_SMALLEST_TENSOR_BYTES = 24
_MOST_ELEMENTS = 1 << 63
#: Dimensions, type and offset of a tensor, by its number of dimensions.
_TENSORS = [struct.Struct(f"<{dimensions}QIQ") for dimensions in range(MAX_DIMENSIONS + 1)]
#: Elements and bytes of a block, by type of tensor (`ggml_type`). A type that is missing here counts as empty.
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


#: Names of file types that are not regular files.
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotGguf(ValueError):
    """The file is not a valid GGUF file. The message continues its name: "is not a GGUF file"."""


@dataclass(frozen=True)
class GgufInfo:
    """The metadata of a GGUF file, "" and None where it is missing.

    `architecture` and `name` are printable and have at most MAX_NAME_CHARS characters. `context_length` is in tokens.
    `end_tokens` are the ids of the tokens that end an answer. `chat_template` is Jinja, as it is in the file: it may be
    hostile.
    """

    file_type: str
    architecture: str
    name: str
    context_length: int | None
    end_tokens: tuple[int, ...] = ()
    chat_template: str = ""


def open_regular(path: Path) -> int:
    """Open a regular file for reading and return its descriptor. Links are followed.

    Raises NotGguf for anything else, without opening it (or, after a race, without reading it), and OSError.
    """
    try:
        _require_regular(os.stat(path).st_mode)
        # The file may have been replaced by a pipe, which without O_NONBLOCK would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except NotGguf:
        raise
    except ValueError as error:
        raise NotGguf("is not a GGUF file: no file can have this name") from error
    try:
        _require_regular(os.fstat(descriptor).st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise NotGguf(f"is {_KINDS.get(stat.S_IFMT(mode), 'not a file')}, not a GGUF file")


def parse_gguf(path: Path) -> GgufInfo:
    """Read the header of the file at `path`. Raises NotGguf, and OSError if the file cannot be read."""
    descriptor = open_regular(path)
    try:
        header = _Header(descriptor)
        metadata, tensors = _metadata(header)
        end = _end_of_weights(header, metadata, tensors)
        size = header.size
    finally:
        os.close(descriptor)
    if size < end:
        raise NotGguf(f"is a broken GGUF file, cut off: {size:,} of {end:,} bytes")
    architecture = metadata.get(_ARCHITECTURE)
    architecture = architecture if isinstance(architecture, bytes) else b""
    file_type = _number(metadata.get(_FILE_TYPE))
    name, template = metadata.get(_NAME), metadata.get(_TEMPLATE)
    return GgufInfo(
        file_type="" if file_type is None else FILE_TYPES.get(file_type, f"type {file_type}"),
        architecture=_text(architecture),
        name=_text(name) if isinstance(name, bytes) else "",
        context_length=_number(metadata.get(architecture + _CONTEXT)),
        end_tokens=tuple(sorted({v for key in _END_TOKENS if (v := _number(metadata.get(key))) is not None})),
        chat_template=template.decode("utf-8", "replace") if isinstance(template, bytes) else "",
    )


def _text(raw: bytes) -> str:
    return sanitize(raw.decode("utf-8", "replace"), MAX_NAME_CHARS)


def _number(value: object) -> int | None:
    """Return the number if it fits into 32 bits, as llama.cpp requires."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32 else None


def _metadata(header: _Header) -> tuple[dict[bytes, object], int]:
    """Read the needed keys, and the number of tensors."""
    magic = header.magic()
    if magic != b"GGUF":
        start = f"it starts with {magic!r} instead of b'GGUF'" if magic else "it is empty"
        raise NotGguf(f"is not a GGUF file: {start}")
    version = header.number(_U32)
    if version not in (2, 3):
        raise NotGguf(f"has GGUF version {version}; 2 and 3 are supported")
    tensors = header.count(MAX_TENSORS, _SMALLEST_TENSOR_BYTES)
    metadata: dict[bytes, object] = {}
    for _ in range(header.count(MAX_KEYS, _SMALLEST_ENTRY_BYTES)):
        key = header.key()
        kind = header.number(_U32)
        # The key of the context length begins with the architecture, which may follow later.
        if key not in _KEYS and not (key.endswith(_CONTEXT) and kind in _SCALARS):
            header.skip_value(kind)
        elif key in metadata:
            raise NotGguf(f"is a broken GGUF file: its header has the key {_text(key)} twice")
        else:
            metadata[key] = header.value(kind, _READ_TEMPLATE_BYTES if key == _TEMPLATE else _READ_STRING_BYTES)
    return metadata, tensors


def _end_of_weights(header: _Header, metadata: dict[bytes, object], tensors: int) -> int:
    """Return the end of the last tensor in bytes from the start of the file. Unknown types count as empty."""
    last = 0
    for _ in range(tensors):
        shape, kind, offset = header.tensor()
        elements = 1
        for length in shape:
            elements *= length
            if elements > _MOST_ELEMENTS:
                raise _damaged()
        block, size = _BLOCKS.get(kind, (1, 0))
        last = max(last, offset + elements // block * size)
    step = metadata.get(_ALIGNMENT, 32)
    if not isinstance(step, int) or isinstance(step, bool) or step <= 0 or step & (step - 1):
        raise NotGguf("is a broken GGUF file: its alignment is not a power of two")
    return -(-header.at // step) * step + last if tensors else 0


def _damaged() -> NotGguf:
    return NotGguf("is a broken GGUF file: its header is damaged")


class _Header:
    """A cursor in the header. It reads only the blocks with needed bytes; the rest is skipped by arithmetic."""

    def __init__(self, descriptor: int) -> None:
        self.at = 0
        #: Of the file, in bytes. A pseudo file is not read beyond it.
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        self._end = min(self.size, MAX_HEAD_BYTES)
        self._block = b""
        self._block_at = 0
        self._strings_left = MAX_STRINGS
        self._inner_arrays_left = MAX_INNER_ARRAYS

    def magic(self) -> bytes:
        """Read the first four bytes, or fewer if the file is shorter."""
        size = min(4, self.size)
        return self._take(size) if size else b""

    def number(self, form: struct.Struct) -> int:
        """Read an integer of this format."""
        return int(self._unpack(form)[0])

    def count(self, most: int, smallest: int) -> int:
        """Read a count of items of at least `smallest` bytes each: at most `most`, and all within the file."""
        count = self.number(_U64)
        if count > most:
            raise _damaged()
        self._require(count * smallest)
        return count

    def key(self) -> bytes:
        """Read a key. Return b"" if it is too long to be a needed one."""
        size = self.count(MAX_KEY_BYTES, 1)
        if size <= _READ_KEY_BYTES:
            return self._take(size)
        self._skip(size)
        return b""

    def value(self, kind: int, most: int) -> object:
        """Read a value: the first `most` bytes of a string; a number; None for an array."""
        if kind == _STRING:
            size = self.count(MAX_HEAD_BYTES, 1)
            beginning = self._take(min(size, most))
            self._skip(size - len(beginning))
            return beginning
        if kind in _SCALARS:
            value: object = self._unpack(_SCALARS[kind])[0]
            return value
        self.skip_value(kind)
        return None

    def skip_value(self, kind: int) -> None:
        """Skip a value of any type."""
        if kind in _SCALARS:
            self._skip(_SCALARS[kind].size)
        elif kind == _STRING:
            self._skip(self.count(MAX_HEAD_BYTES, 1))
        elif kind == _ARRAY:
            self._skip_array(MAX_DEPTH)
        else:
            raise _damaged()

    def tensor(self) -> tuple[tuple[int, ...], int, int]:
        """Read the shape of a tensor, its type, and the offset of its weights in bytes."""
        self._skip(self.count(MAX_KEY_BYTES, 1))
        dimensions = self.number(_U32)
        if dimensions > MAX_DIMENSIONS:
            raise _damaged()
        *shape, kind, offset = self._unpack(_TENSORS[dimensions])
        return tuple(shape), kind, offset

    def _skip_array(self, depth: int) -> None:
        kind = self.number(_U32)
        if kind in _SCALARS:
            self._skip(self.number(_U64) * _SCALARS[kind].size)
        elif kind == _STRING:
            count = self.count(self._strings_left, _U64.size)
            self._strings_left -= count
            self._skip_strings(count)
        elif kind == _ARRAY and depth > 1:
            count = self.count(self._inner_arrays_left, _ARRAY_HEAD_BYTES)
            self._inner_arrays_left -= count
            for _ in range(count):
                self._skip_array(depth - 1)
        else:
            raise _damaged()

    def _skip_strings(self, count: int) -> None:
        """Skip strings. A vocabulary has hundreds of thousands, so the inner loop calls no method."""
        unpack = _U64.unpack_from
        while count:
            offset = self._look(_U64.size)
            block, last = self._block, len(self._block) - _U64.size
            while count and offset <= last:
                offset += 8 + unpack(block, offset)[0]
                count -= 1
            self._skip(self._block_at + offset - self.at)

    def _unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        offset = self._look(form.size)
        self.at += form.size
        return form.unpack_from(self._block, offset)

    def _take(self, size: int) -> bytes:
        offset = self._look(size)
        self.at += size
        return self._block[offset : offset + size]

    def _skip(self, size: int) -> None:
        self._require(size)
        self.at += size

    def _require(self, size: int) -> None:
        """Raise NotGguf unless the next `size` bytes are inside the file and the limit of a header."""
        if self.at + size <= self._end:
            return
        if self.at + size > self.size:
            raise NotGguf("is a broken GGUF file: its header is cut off")
        raise NotGguf(f"is a broken GGUF file: its header has more than {MAX_HEAD_BYTES >> 20} MB")

    def _look(self, size: int) -> int:
        """Return the offset of the next `size` bytes, a few at most, in the block. Read that block if necessary."""
        self._require(size)
        offset = self.at - self._block_at
        if offset + size > len(self._block):
            self._block = os.pread(self._descriptor, max(size, _BLOCK_BYTES), self.at)
            self._block_at, offset = self.at, 0
            if len(self._block) < size:
                # The file was truncated meanwhile.
                raise NotGguf("is a broken GGUF file: its header is cut off")
        return offset
