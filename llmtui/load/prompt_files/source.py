"""The prompts of a turn from a file: which record each request asks."""

from __future__ import annotations

import os
from array import array

import msgspec

from llmtui.load.prompt_files.errors import PromptFileError, Skip
from llmtui.load.prompt_files.order import Shuffle
from llmtui.load.prompt_files.records import Records, open_records
from llmtui.load.prompts import Prompt
from llmtui.model import Prompts, Struct

#: The records opened last, and the state of their file then: a worker asks the same ones turn after turn.
_opened: dict[str, tuple[tuple[int, ...], Records]] = {}


class FoundIndex(Struct, frozen=True):
    """Where the records of a file are, and the state of the file when they were found."""

    state: tuple[int, ...]
    index: bytes


#: By the path of a file. All of a file is read once for a run: by the check before it, or by the first process that
#: needs all places.
_found: dict[str, FoundIndex] = {}


def records_of(prompts: Prompts) -> Records:
    """Return the records of the file, which stay open. Raises PromptFileError, also if the file is another one than
    before the run."""
    path = prompts.file
    timed = prompts.facts is not None and prompts.facts.timed
    state = state_of(path, timed=timed)
    known = _opened.get(path)
    if known is not None and known[0] == state:
        return known[1]
    for _, records in _opened.values():
        records.close()
    _opened.clear()
    records = open_records(path, timed=timed)
    if prompts.facts is not None and prompts.facts.digest != records.digest():
        records.close()
        raise PromptFileError(f"{path}: changed since the run began, so its prompts are others; start a new run")
    found = _found.get(path)
    if found is not None and found.state == state:
        records.use_index(found.index)
    _opened[path] = state, records
    return records


def keep_index(path: str, records: Records, state: tuple[int, ...]) -> None:
    """Keep where the records of a file are, if all of it was read. `state` is that from before."""
    if index := records.index():
        _found[path] = FoundIndex(state, index)


def index_for(prompts: Prompts) -> bytes:
    """Return where the records of the file are, for another process; b"" if it was not read to its end here."""
    path = prompts.file
    if path not in _found and path in _opened:
        state, records = _opened[path]
        keep_index(path, records, state)
    return msgspec.msgpack.encode(_found[path]) if path in _found else b""


def use_index(prompts: Prompts, data: bytes) -> None:
    """Take over what `index_for` returned in another process. It is left out once the file is another one."""
    if data and prompts.file not in _found:
        _found[prompts.file] = msgspec.msgpack.decode(data, type=FoundIndex)


class FilePrompts:
    """The prompts of a turn. All backends of a round ask the same ones in the same order."""

    def __init__(self, prompts: Prompts, seed: str, start: float = 0.0) -> None:
        self._path = prompts.file
        self._prompts = prompts
        self._records = records_of(prompts)
        #: In order: the record of each request so far.
        self._places = array("Q")
        self._shuffle: Shuffle | None = None
        self._first = 0
        if prompts.sample == "shuffled":
            count = self._records.count()
            self._shuffle = Shuffle(count, seed)
            self._first = int(start % 1 * count)

    def prompt(self, number: int) -> Prompt:
        """See PromptSource. Numbers below 1 are those of the end: the prompts that are asked last.

        Raises PromptFileError if the file was changed.
        """
        self._records = records_of(self._prompts)
        if self._shuffle is not None:
            count = self._records.count()
            return _or_raise(self._from(self._shuffle((number - 1 + self._first) % count))[1])
        if number < 1:
            return _or_raise(self._from((number - 1) % self._records.count())[1])
        if number <= len(self._places):
            return _or_raise(self._from(self._places[number - 1])[1])
        while True:
            place, found = self._from(self._places[-1] + 1 if self._places else 0)
            self._places.append(place)
            if len(self._places) == number:
                return _or_raise(found)

    def _from(self, place: int) -> tuple[int, Prompt | PromptFileError]:
        """Return the first record from `place` on that is to be asked, with its prompt or why it has none that can be.

        After the last record comes the first one.
        """
        wrapped = False
        while True:
            try:
                prompt = self._records.prompt(place)
            except PromptFileError as problem:
                return place, problem
            except Skip:
                place += 1
                continue
            if prompt is not None:
                return place, prompt
            if wrapped or place == 0:
                return 0, PromptFileError(f"{self._path}: no record has a prompt")
            place, wrapped = 0, True


def _or_raise(found: Prompt | PromptFileError) -> Prompt:
    if isinstance(found, PromptFileError):
        raise found
    return found


def state_of(path: str, *, timed: bool) -> tuple[int, ...]:
    """What tells whether a file was changed, or is read in another way."""
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return ()  # opening it says why
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, int(timed)
