"""The JSON Schemas: real documents and lines of races, loads and searches are valid, and have no name beside them."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from llmtui.cli.explain import schema
from llmtui.export.json import run_json
from llmtui.export.jsonl import run_lines
from llmtui.model import Slo
from llmtui.runview.run import RunView
from tests.export.reports import sweep
from tests.export.run_views import run_view
from tests.runview.searched import KNEE, searched, throughput
from tests.stats.build import raced

VIEWS: dict[str, Callable[[], RunView]] = {
    "hostile": run_view,
    "race": lambda: raced(1.0, 1.5, rounds=60),
    "sweep": lambda: sweep(("a", "b"), (1, 8), 6, Slo(ttft_s=0.2)),
    "search": lambda: searched(KNEE, {"a": [1, 2, 3, 4, 8]}, {"a": throughput(4, KNEE)}),
}


def strict(of: Any) -> Any:
    """The schema without names that it does not list."""
    if isinstance(of, list):
        return [strict(each) for each in of]
    if not isinstance(of, dict):
        return of
    names = {key: strict(value) for key, value in of.items()}
    if of.get("type") == "object" and "properties" in of and "additionalProperties" not in of:
        names["additionalProperties"] = False
    return names


@functools.cache
def closed(name: str) -> Any:
    """A validator of documents or of lines that refuses names that its schema does not list."""
    return jsonschema.Draft202012Validator(strict(json.loads(schema(name))))


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_the_schemas_are_valid(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(closed(name).schema)


@pytest.mark.parametrize("name", VIEWS)
def test_documents_and_lines_are_valid(name: str) -> None:
    view = VIEWS[name]()
    closed("json").validate(json.loads(run_json(view)))
    lines = list(run_lines(view))
    assert lines
    for line in lines[:: max(1, len(lines) // 40)]:
        closed("jsonl").validate(json.loads(line))


def test_a_document_that_lacks_a_name_or_has_a_wrong_type_is_not() -> None:
    document = json.loads(run_json(run_view()))
    validator = jsonschema.Draft202012Validator(json.loads(schema("json")))
    assert validator.is_valid(document | {"added_later": 1}), "names are added"
    assert not validator.is_valid({name: value for name, value in document.items() if name != "backends"})
    assert not validator.is_valid(document | {"run": 1})
    definitions = json.loads(schema("json"))["$defs"]
    assert not {"api_key", "headers", "secrets"} & definitions["Backend"]["properties"].keys()
