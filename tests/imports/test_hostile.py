"""Files of other tools with figures that cannot be: refused in words, or stored so that they can be read."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmtui.imports import guidellm, hyperfine, reading
from llmtui.imports.build import runs_of
from llmtui.imports.files import named, read_files
from llmtui.imports.reading import ImportRefused
from llmtui.model.errors import UsageError
from llmtui.store.history import Store
from llmtui.store.open import open_store
from llmtui.store.whole_run import write_whole_runs
from tests.imports import files

#: Values that no float can hold, that are out of any range, and that are not numbers.
HOSTILE = [10**400, 2**64, 1e300, -1, True, "</script>\x1b[31m\n", None, [], {}]


def load_in(store: Store, path: Path, text: str) -> bool:
    """Import a file, and read its runs and requests from the history. Whether it was not refused."""
    path.write_text(text, encoding="utf-8")
    try:
        reads, _ = read_files(named([str(path)]))
        runs = runs_of(reads, {read.file.path: "2026-11-22T15:00:00.000Z" for read in reads})
        write_whole_runs(store, runs, llmtui="1.0")
    except UsageError as error:
        assert str(error).isprintable() and path.name in str(error) and len(str(error)) < 700
        return False
    for run in runs:
        stored = store.load(run.plan.run)
        for turn in stored.turns:
            list(store.requests(turn))
    return True


def leaves(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values in a document, but of a list only the first."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document[:1])
    for key, value in pairs:
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from leaves(value, (*at, key))


def changed(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    document = copy.deepcopy(document)
    inner = document
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return document


AIPERF = json.loads(files.aiperf_records(1)[1])
ONE_BY_ONE = files.guidellm({"type_": "poisson", "rate": 4.0}, n=2)
OWN = files.hyperfine(("a", [1.0, 2.0])) | {
    "llmtui": {"backend": "b", "model": "m", "failed": 1, "created_utc": "2026-11-22T15:00:00.000Z"}
}


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("own.json", OWN),
        ("profile_export_aiperf.json", files.aiperf_summary()),
        ("records.jsonl", AIPERF),
        ("report.json", ONE_BY_ONE),
        ("vllm.json", files.vllm(detailed=False)),
        ("detailed.json", files.vllm(detailed=True)),
    ],
)
def test_any_value_is_refused_in_words_or_can_be_read_again(tmp_path: Path, name: str, document: Any) -> None:
    store, _ = open_store(tmp_path / "h.db")
    with store:
        assert load_in(store, tmp_path / name, json.dumps(document))
        taken = [
            load_in(store, tmp_path / name, json.dumps(changed(document, at, value)))
            for number, at in enumerate(leaves(document))
            for value in (HOSTILE[number % len(HOSTILE)], 10**400, 2**64)
        ]
    assert 0 < sum(taken) < len(taken)


def test_more_requests_than_are_read_are_refused_before_they_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (hyperfine, guidellm, reading):
        monkeypatch.setattr(module, "MAX_REQUESTS", 3)
    monkeypatch.setattr(reading, "_OTHER_MARKS", 30)
    many = files.hyperfine(("a", [1.0, 1.0]), ("b", [1.0, 1.0]))
    failed = changed(OWN, ("llmtui", "failed"), 50)
    nested = json.dumps({"metadata": {}, "benchmarks": [{"requests": {"successful": [{}] * 50}}]})
    listed = json.dumps({"results": [{"command": "a", "times": [1.0] * 50}]})
    for text in (json.dumps(many), json.dumps(failed), nested, listed):
        path = tmp_path / "many.json"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ImportRefused, match="has more than 3 requests"):
            read_files(named([str(path)]))
