"""The records of a file or a folder of prompts, by their numbers; a file of any size is never loaded whole."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from llmtui.load.prompt_files import detect
from llmtui.load.prompt_files.errors import BadRecord, Blank, PromptFileError, Skip
from llmtui.load.prompt_files.formats import Format, text_file
from llmtui.load.prompt_files.index import Index
from llmtui.load.prompts import Prompt
from llmtui.text import sanitize
from llmtui.text.format import plural

#: The longest record.
MOST_BYTES = detect.HEAD_BYTES
#: The digest of a file is over its size and its first, middle and last MB.
_DIGEST_BYTES = 1024 * 1024
#: That of a folder is over the names and sizes of its files, and the beginnings of this many of them.
_DIGEST_FILES = 100
_MOST_FILES = 1_000_000


class Records(Protocol):
    """The records of one file. Numbers are from 0 on."""

    format: Format
    #: The size of the file, or of all files of a folder.
    size: int

    def count(self) -> int:
        """Return how many there are, blank ones included. Reads the rest of the file."""

    def prompt(self, number: int) -> Prompt | None:
        """Return the prompt of a record, None beyond the end. Raises PromptFileError, or Skip if it has none."""

    def each(self) -> Iterator[Prompt | None]:
        """Yield the prompts of all records in their order, None for one that has none. Raises PromptFileError."""

    def digest(self) -> str:
        """Return what tells the file from another one."""

    def index(self) -> bytes:
        """Return where the records are, for another process that opens the file; b"" if that is not known yet."""

    def use_index(self, index: bytes) -> None:
        """Take over where the records are from another process that had the same file open."""

    def close(self) -> None:
        """Close the file."""


def open_records(path: str, *, timed: bool = False) -> Records:
    """Open a file or a folder of prompts. Raises PromptFileError.

    `timed`: it is the trace of the run. A record without anything to ask is an error then, as the next one has another
    send time.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return FolderRecords(path)
        if not stat.S_ISREG(mode):
            raise PromptFileError(f"{path}: {_special(mode)}; prompts are read in any order, so name a file")
        return FileRecords(path, timed=timed)
    except FileNotFoundError:
        raise PromptFileError(f"{path}: no such file or folder of prompts") from None
    except OSError as error:
        raise PromptFileError(f"{path}: cannot read it: {error.strerror or error}") from None
    except ValueError:
        raise PromptFileError(f"{path}: not a valid file name") from None


class FileRecords:
    """The records of one file, each a line or an item."""

    def __init__(self, path: str, *, timed: bool = False) -> None:
        self._path = path
        self._timed = timed
        self._name = os.path.basename(path)
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.size = os.fstat(self._fd).st_size
            head = os.pread(self._fd, _DIGEST_BYTES, 0)
            if b"\n" not in head:  # a long first line
                head = os.pread(self._fd, detect.HEAD_BYTES, 0)
            found = detect.layout_of(path, head, self.size)
            self.format = found.format
            self._layout = found
            self._index = Index(self._fd, self.size, found.mark, found.start, after=found.mark == b"\n")
        except BaseException:
            self.close()
            raise

    def count(self) -> int:
        """See Records."""
        return self._index.count()

    def prompt(self, number: int) -> Prompt | None:
        """See Records."""
        try:
            record = self._index.record(number, MOST_BYTES)
        except OSError as error:
            raise PromptFileError(f"{self._path}: cannot read it: {error.strerror or error}") from None
        return self._read(record[0], number, cut_off=record[1]) if record is not None else None

    def each(self) -> Iterator[Prompt | None]:
        """See Records."""
        if self._layout.mark != b"\n":
            for number in range(self.count()):
                yield self._or_none(self._index.record(number, MOST_BYTES), number)
            return
        with open(self._path, "rb", buffering=1024 * 1024) as file:
            file.seek(self._layout.start)
            number = 0
            while line := file.readline(MOST_BYTES + 1):
                yield self._or_none((line, len(line) > MOST_BYTES), number)
                number += 1

    def digest(self) -> str:
        """See Records."""
        digest = hashlib.blake2b(str(self.size).encode(), digest_size=16)
        last = max(0, self.size - _DIGEST_BYTES)
        for offset in sorted({0, last // 2, last}):
            digest.update(os.pread(self._fd, _DIGEST_BYTES, offset))
        return digest.hexdigest()

    def index(self) -> bytes:
        """See Records."""
        return self._index.packed()

    def use_index(self, index: bytes) -> None:
        """See Records."""
        self._index.unpack(index)

    def close(self) -> None:
        """See Records."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _or_none(self, record: tuple[bytes, bool] | None, number: int) -> Prompt | None:
        try:
            return self._read(record[0], number, cut_off=record[1]) if record is not None else None
        except Skip:
            return None

    def _read(self, record: bytes, number: int, *, cut_off: bool) -> Prompt:
        name = f"{self._layout.unit} {number + self._layout.first}"
        if cut_off:
            raise self._error(name, f"it is longer than {MOST_BYTES // 2**20} MB")
        try:
            prompt = self.format.read(record, number)
        except BadRecord as problem:
            raise self._error(name, str(problem)) from None
        except Blank:
            raise
        except Skip:
            if not self._timed:
                raise
            raise self._error(name, "it has a send time but nothing to ask; remove the line") from None
        return Prompt(prompt.messages, prompt.max_tokens, name, prompt.at_s, prompt.then)

    def _error(self, name: str, reason: str) -> PromptFileError:
        return PromptFileError(f"{self._name}, {name}: {reason}")


class FolderRecords:
    """The files of a folder in the order of their names, a prompt each. Hidden ones and folders are left out."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.format = Format("a folder of text files", lambda data, _: text_file(data), "file")
        with os.scandir(path) as entries:
            files = [(entry.name, entry.stat().st_size) for entry in entries if _is_prompt(entry)]
        if not files:
            raise PromptFileError(f"{path}: has no files; write each prompt into a text file of its own")
        if len(files) > _MOST_FILES:
            raise PromptFileError(f"{path}: {plural(len(files), 'file')}; write this many prompts as JSON Lines")
        self._files = sorted(files)
        self.size = sum(size for _, size in files)

    def count(self) -> int:
        """See Records."""
        return len(self._files)

    def prompt(self, number: int) -> Prompt | None:
        """See Records."""
        if number >= len(self._files):
            return None
        name, _ = self._files[number]
        shown = sanitize(name, 100)
        try:
            with open(os.path.join(self._path, name), "rb", opener=_without_waiting) as file:
                data = file.read(MOST_BYTES + 1)
            if len(data) > MOST_BYTES:
                raise BadRecord(f"it is longer than {MOST_BYTES // 2**20} MB")
            prompt = self.format.read(data, number)
        except BadRecord as problem:
            raise PromptFileError(f"{os.path.basename(self._path)}/{shown}: {problem}") from None
        except OSError as error:
            raise PromptFileError(f"{self._path}/{shown}: cannot read it: {error.strerror or error}") from None
        return Prompt(prompt.messages, name=shown)

    def each(self) -> Iterator[Prompt | None]:
        """See Records."""
        for number in range(len(self._files)):
            yield self.prompt(number)

    def digest(self) -> str:
        """See Records."""
        digest = hashlib.blake2b(digest_size=16)
        for number, (name, size) in enumerate(self._files):
            digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
            if number < _DIGEST_FILES:
                digest.update(Path(self._path, name).read_bytes()[: _DIGEST_BYTES // _DIGEST_FILES])
        return digest.hexdigest()

    def index(self) -> bytes:
        """See Records."""
        return b""

    def use_index(self, index: bytes) -> None:
        """See Records."""

    def close(self) -> None:
        """See Records."""


def _is_prompt(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.is_file()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _special(mode: int) -> str:
    """What is neither a file nor a folder."""
    if stat.S_ISFIFO(mode):
        return "is a pipe"
    return "is a socket" if stat.S_ISSOCK(mode) else "is a device"
