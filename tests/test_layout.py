"""The layout of the code: the sizes of files and classes, no circular imports, and what tests may import."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_FILE_LINES, MAX_CLASS_LINES = 400, 250


@functools.cache
def modules_of(folder: str) -> dict[str, str]:
    """Return the path and the text of each Python file of a folder."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def modules(*folders: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each Python file of these folders."""
    for folder in folders:
        yield from modules_of(folder).items()


def imported_test_modules(source: str, package: str) -> list[str]:
    """Return the test modules that the source of a module in `package` imports, also inside functions."""
    # Most files name no test module, and need not be parsed: that takes seconds for all of them.
    if stems_of_tests().isdisjoint(re.findall(r"\btest_\w+", source)):
        return []
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return sorted({name for name in names if is_test_module(name)})


@functools.cache
def stems_of_tests() -> set[str]:
    return {path.stem for path in (ROOT / "tests").rglob("test_*.py")}


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
        if source.count("\n") > MAX_CLASS_LINES and re.search(r"^ *class ", source, re.MULTILINE)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
    }
    assert {name: count for name, count in lines.items() if count > MAX_CLASS_LINES} == {}


def runtime_imports(tree: ast.AST) -> Iterator[ast.ImportFrom]:
    """Yield the imports of a module, also inside functions, but not those for type checking only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom):
            yield node
        yield from runtime_imports(node)


def test_imports_are_not_circular() -> None:
    # Trees are not kept: the garbage collector would walk through all of them again and again.
    targets = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): {
            f"{node.module}.{alias.name}" for node in runtime_imports(ast.parse(source)) for alias in node.names
        }
        for path, source in modules("llmtui")
    }
    graph: dict[str, set[str]] = {}
    for module, names in targets.items():
        graph[module] = {name if name in targets else name.rpartition(".")[0] for name in names} & targets.keys()
        graph[module].discard(module)
    assert len(graph["llmtui.ui.app"]) > 10
    # A package that exports names of its modules is imported by them as a package, not for those names.
    graph = {module: names - {module.rpartition(".")[0]} for module, names in graph.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the circle
