"""The layout of the code: the sizes of files and classes, and what tests may import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_FILE_LINES, MAX_CLASS_LINES = 400, 250


def modules(*folders: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each Python file of these folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def imported_test_modules(source: str, package: str) -> list[str]:
    """Return the test modules that the source of a module in `package` imports, also inside functions."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return sorted({name for name in names if is_test_module(name)})


def is_test_module(name: str) -> bool:
    parent, _, last = name.rpartition(".")
    if parent.partition(".")[0] != "tests" or not last.startswith("test_"):
        return False
    return (ROOT / f"{name.replace('.', '/')}.py").is_file()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from tests.test_layout import modules", ["tests.test_layout"]),
        ("def f():\n    from tests import test_layout", ["tests.test_layout"]),
        ("import tests.test_layout", ["tests.test_layout"]),
        ("from ..test_layout import modules", ["tests.test_layout"]),
        ("from tests.build import iteration", []),
        ("from tests.build import test_layout", []),
    ],
)
def test_imported_test_modules(source: str, names: list[str]) -> None:
    assert imported_test_modules(source, "tests.ui") == names


def test_no_module_imports_from_a_test_module() -> None:
    imports = {
        path: names
        for path, source in modules("tests")
        if (names := imported_test_modules(source, path.rpartition("/")[0].replace("/", ".")))
    }
    assert imports == {}, "move what they share into a module that is not a test"


def test_files_are_short() -> None:
    lines = {path: len(source.splitlines()) for path, source in modules("llmtui", "tests")}
    assert {path: count for path, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_classes_are_short() -> None:
    lines = {
        f"{path}: {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path, source in modules("llmtui", "tests")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
    }
    assert {name: count for name, count in lines.items() if count > MAX_CLASS_LINES} == {}
