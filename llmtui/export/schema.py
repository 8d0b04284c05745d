"""JSON Schema (2020-12) of the JSON document of a run, and of its JSON lines; generated from the structs.

A name may be added to the document at any time, so other names are allowed. Those that are always there are required.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable
from typing import Any

import msgspec

from llmtui.export import json as document
from llmtui.export import jsonl as lines
from llmtui.export.search import FoundRecord
from llmtui.model import Iteration, Turn

DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Names that the lines of turns have besides those of the struct.
_OF_LEVEL = {
    "level_title": {"type": "string"},
    "streams": {"type": "integer"},
    "rate": {"type": "number"},
    "cap": {"type": "integer"},
}


def run_schema() -> dict[str, Any]:
    """Return the schema of `llmtui run --json`."""
    (root,), definitions = _components([document.RunRecord])
    record = definitions["RunRecord"]
    absent = document.OF_LOADS | {"requests", "prompts", "variants"}
    record["required"] = [name for name in record["properties"] if name not in absent]
    return {
        "$schema": DIALECT,
        "$id": f"urn:llmtui:run:{document.SCHEMA_VERSION}",
        "title": "A run of llmtui",
        "description": inspect.cleandoc(document.__doc__ or ""),
        **root,
        "$defs": definitions,
    }


def lines_schema() -> dict[str, Any]:
    """Return the schema of one line of `llmtui run --jsonl`."""
    _, definitions = _components([Turn, Iteration, FoundRecord])
    kinds = []
    for kind, name, more in (
        ("turn", "Turn", _OF_LEVEL),
        ("iteration", "Iteration", {}),
        ("search", "FoundRecord", {}),
    ):
        of = definitions[name]
        of["properties"] = {"type": {"const": kind}} | of["properties"] | more
        of["required"] = ["type", *of["required"], *more]
        kinds.append({"$ref": f"#/$defs/{name}"})
    return {
        "$schema": DIALECT,
        "$id": f"urn:llmtui:line:{document.SCHEMA_VERSION}",
        "title": "A line of llmtui run --jsonl",
        "description": inspect.cleandoc(lines.__doc__ or ""),
        "oneOf": kinds,
        "$defs": definitions,
    }


def _components(types: Iterable[Any]) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """Return the schemas of these structs, and the definitions that they refer to."""
    roots, definitions = msgspec.json.schema_components(list(types), ref_template="#/$defs/{name}")
    names = {name: _short(name) for name in definitions}
    text = json.dumps({"roots": roots, "definitions": {names[name]: of for name, of in definitions.items()}})
    for name, short in names.items():
        text = text.replace(f'"#/$defs/{name}"', f'"#/$defs/{short}"')
    found = json.loads(text)
    without = {of.__name__: fields for of, fields in document.LEFT_OUT.items()}
    only_of_loads = {of.__name__: fields for of, fields in document.LOADS_ONLY.items()}
    for name, of in found["definitions"].items():
        if of.get("type") != "object" or "properties" not in of:
            continue
        of.pop("additionalProperties", None)
        of["properties"] = {
            key: _plain(value) for key, value in of["properties"].items() if key not in without.get(name, ())
        }
        of["required"] = [key for key in of["properties"] if key not in only_of_loads.get(name, ())]
    return tuple(found["roots"]), found["definitions"]


def _short(name: str) -> str:
    """The name of a definition without the modules of two structs that have the same name."""
    module, _, last = name.rpartition(".")
    return module.rpartition(".")[2].title() + last if module else name


def _plain(value: Any) -> Any:
    """A property without the default that a reader never needs, as every document has it."""
    return {key: of for key, of in value.items() if key != "default"}
