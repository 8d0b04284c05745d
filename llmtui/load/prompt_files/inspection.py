"""A look at a file of prompts before a run: what it is, how many prompts it has, and whether each can be asked."""

from __future__ import annotations

import os
import time

import msgspec

from llmtui.load.prompt_files.errors import PromptFileError
from llmtui.load.prompt_files.records import Records, open_records
from llmtui.load.prompt_files.source import keep_index, records_of, state_of
from llmtui.model import Load, PromptFile, Prompts

#: How long lines are checked, in s. In a larger file a bad one is found when it is asked.
CHECK_S = 0.5
#: The prompts of a larger file are not counted.
MOST_COUNTED_BYTES = 8 * 1024**3


def inspected(prompts: Prompts, check_s: float = CHECK_S, trace: str = "") -> Prompts:
    """Return `prompts` with what is known of their file. Raises PromptFileError, with the number of a bad line.

    `trace` is the path of the trace of the run, "" without one.
    """
    if not prompts.file:
        return prompts
    timed = bool(trace) and _same(prompts.file, trace)
    state, records = state_of(prompts.file, timed=timed), open_records(prompts.file, timed=timed)
    try:
        facts = PromptFile(
            format=records.format.title,
            what=records.format.what,
            count=_count(prompts.file, records, time.monotonic() + check_s),
            size=records.size,
            digest=records.digest(),
            lengths_only=records.format.lengths_only,
            timed=timed,
        )
        if facts.count:
            records.count()  # it finds all places, in a small part of the time that reading the prompts took
        keep_index(prompts.file, records, state)
    except OSError as error:
        raise PromptFileError(f"{prompts.file}: cannot read it: {error.strerror or error}") from None
    finally:
        records.close()
    return msgspec.structs.replace(prompts, facts=facts)


def check_unchanged(prompts: Prompts) -> None:
    """Raise PromptFileError unless the file is the one that it was before the run. Nothing is sent from another one."""
    if prompts.file and prompts.facts is None:
        # A history may come from someone else: the digest shows that its run had this very file.
        raise PromptFileError(f"{prompts.file}: the history does not say what was in it; start a new run")
    if prompts.file:
        records_of(prompts)


def of_trace(prompts: Prompts, load: Load) -> Prompts:
    """Return what a trace asks, if nothing else is to be asked and it says so; else `prompts`.

    Its own prompts are asked in order: each at its time.
    """
    if load.trace and prompts.file and _same(prompts.file, load.trace):
        return msgspec.structs.replace(prompts, sample="in order")
    if not load.trace or prompts.given:
        return prompts
    try:
        open_records(load.trace).close()
    except PromptFileError:
        return prompts  # it has send times only
    return msgspec.structs.replace(prompts, file=load.trace, sample="in order")


def _same(file: str, other: str) -> bool:
    """Whether two paths are those of one file."""
    return os.path.realpath(file) == os.path.realpath(other)


def _count(path: str, records: Records, until: float) -> int:
    """Return how many prompts there are. All are read that can be until then; the rest is only counted."""
    count = skipped = 0
    for prompt in records.each():
        count += prompt is not None
        skipped += prompt is None
        if time.monotonic() > until:
            return records.count() if records.size <= MOST_COUNTED_BYTES else 0
    if not count:
        raise PromptFileError(f"{path}: none of its {skipped} {records.format.what}s has anything to ask")
    return count
