"""The README says what the program does: keys, columns, configuration."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from llmtui.config.schema import parse
from llmtui.export.columns import ITERATION_COLUMNS, RESULT_COLUMNS
from llmtui.model import Backend, RunConfig
from llmtui.ui.actions.registry import key_table

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_the_key_table_is_the_registry() -> None:
    shown = re.search(r"<!-- keys:.*?-->\n(.*?)\n<!-- /keys -->", README, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == key_table().strip()


def test_the_columns_are_those_of_the_files() -> None:
    for title, columns in (("Results", RESULT_COLUMNS), ("Iterations", ITERATION_COLUMNS)):
        shown = re.search(rf"^{title}: `([^`]*)`", README, re.MULTILINE)
        assert shown is not None
        assert shown[1].replace("\n", " ").split(", ") == [column.name for column in columns]


def test_the_example_config_is_valid_and_every_key_is_explained() -> None:
    example = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert example is not None
    parse(example[1], source="README", folder=Path("/"), environ={"VLLM_KEY": "x"})
    for struct in (RunConfig, Backend):
        for field in msgspec.structs.fields(struct):
            assert re.search(rf"\b{field.name}\b", README) or field.name == "secrets", field.name


def test_every_row_of_the_fault_table_has_its_test() -> None:
    tests = Path(__file__).parents[1]
    sources = "\n".join(file.read_text("utf-8") for file in tests.rglob("*.py"))
    rows = re.search(r"\| fault \|.*?\n\n", README, re.DOTALL)
    assert rows is not None
    named = [line.rstrip(" |").rpartition("| `")[2].rstrip("`") for line in rows[0].strip().split("\n")[2:]]
    for name in named:
        function, _, row = name.partition("[")
        assert (tests.parent / name).is_file() or f"def {function}(" in sources, name
        assert f'"{row.rstrip("]").replace("-", " ")}"' in sources.replace("-", " ") or not row, name
