"""Which format a file has, by its beginning; another one is named, with what to do. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from llmtui.load.prompt_files.errors import BadRecord, PromptFileError, Skip
from llmtui.load.prompt_files.fields import CHATS, TEXTS
from llmtui.load.prompt_files.formats import Format, as_text, fields_of, json_format, sharegpt, table_format
from llmtui.text import sanitize

#: At most so much of a file decides; a record is not longer. A prompt of a million tokens is shorter.
HEAD_BYTES = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_ITEM = b'"conversations"'
#: What a file is that begins like this, and what to do.
_MAGIC = {
    b"\x1f\x8b": "is compressed with gzip; unpack it first: gunzip FILE",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; unpack it first: unzstd FILE",
    b"\xfd7zXZ": "is compressed with xz; unpack it first: unxz FILE",
    b"BZh": "is compressed with bzip2; unpack it first: bunzip2 FILE",
    b"PK\x03\x04": "is a ZIP file (or a spreadsheet); unpack it, or export it as JSON Lines",
    b"PAR1": "is a Parquet file; export it as JSON Lines, such as with duckdb or pandas",
    b"ARROW1": "is an Arrow file; export it as JSON Lines, such as with pandas",
    b"SQLite format 3": "is an SQLite database; export the prompts as JSON Lines",
    b"GGUF": "is a model (GGUF), not prompts",
    b"%PDF": "is a PDF; write its text into a text file in a folder",
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
}
_FORMATS = "JSON Lines with prompt or messages, ShareGPT, OpenAI batch files, or a folder of text files"


class Layout(NamedTuple):
    """How the records of a file are found: they begin after `mark`, the first one at `start`.

    The first record is number `first`, and each is called `unit` and its number.
    """

    format: Format
    mark: bytes = b"\n"
    start: int = 0
    unit: str = "line"
    first: int = 1


def layout_of(path: str, head: bytes, size: int) -> Layout:
    """Return the layout of a file by its first `HEAD_BYTES`. Raises PromptFileError."""
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise PromptFileError(f"{path}: {what}")
    start = len(_BOM) if head.startswith(_BOM) else 0
    text = head[start:].lstrip()
    if not text:
        what = (
            "the file is empty" if size <= len(head) else f"the file has no text in its first {HEAD_BYTES // 2**20} MB"
        )
        raise PromptFileError(f"{path}: {what}; expected {_FORMATS}")
    if b"\0" in head:
        raise PromptFileError(f"{path}: is binary, not text; expected {_FORMATS}")
    if re.match(rb'\[\s*[\[{"\]0-9-]', text):
        return _array(path, head, start)
    line, ended, _ = text.partition(b"\n")
    if text.startswith(b"{"):
        if not ended and size > len(head):
            raise PromptFileError(f"{path}: its first line is longer than {HEAD_BYTES // 2**20} MB")
        return Layout(_lines(path, line, alone=not text[len(line) :].strip()), start=start)
    if (table := table_format(line)) is not None:
        return Layout(table, start=head.index(line) + len(line) + 1, first=2)
    raise PromptFileError(f"{path}: {_other_text(line)}; expected {_FORMATS}")


def _array(path: str, head: bytes, start: int) -> Layout:
    """A JSON array: of ShareGPT, or one that is to be written as lines."""
    if _ITEM in head:
        return Layout(sharegpt(), mark=_ITEM, start=start, unit="conversation")
    raise PromptFileError(
        f"{path}: is a JSON array, and not of ShareGPT's conversations; write it as JSON Lines: jq -c '.[]' FILE"
    )


def _lines(path: str, line: bytes, *, alone: bool) -> Format:
    """The format of JSON Lines. `alone`: nothing follows this line."""
    try:
        found = json_format(line)
        names = fields_of(line) if found is None else []
    except BadRecord as problem:
        if line.strip() in (b"{", b"[") or (not alone and line.rstrip().endswith((b",", b"{", b"["))):
            raise PromptFileError(
                f"{path}: is one JSON document over several lines; JSON Lines have an object in each line: "
                "jq -c '.[]' FILE"
            ) from None
        raise PromptFileError(f"{path}, line 1: {problem}") from None
    except Skip:
        found, names = None, []
    if found is not None:
        return found
    fields = ", ".join(sanitize(name, 30) for name in names[:8]) or "no fields"
    raise PromptFileError(
        f"{path}: JSON Lines with {fields}: none of them is a prompt; expected one of "
        f"{', '.join((*TEXTS[:6], CHATS[0]))}"
    )


def _other_text(line: bytes) -> str:
    """What a file is that has neither JSON nor a trace."""
    try:
        words = as_text(line)
    except BadRecord as problem:
        return str(problem).replace("it is", "is", 1)
    if words.lstrip().startswith("<"):
        return "looks like HTML or XML"
    if words.count(",") >= 2 or words.count("\t") >= 2:
        columns = ", ".join(sanitize(part.strip(), 20) for part in words.replace("\t", ",").split(",")[:6])
        return f"looks like a table with the columns {columns}, and the tables known are BurstGPT's and Azure's traces"
    return "looks like plain text"
