"""Every word of the program, collected from its code: names, values, keys, messages."""

from __future__ import annotations

import ast
import functools
import re
import string
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2] / "llmtui"


@functools.cache
def texts() -> frozenset[str]:
    """Return all texts in the code: parts of messages, values, keys of JSON, columns. Docstrings are not among them."""
    found: set[str] = set()
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        nodes = list(ast.walk(tree))
        prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                found.add(node.value)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return frozenset(found | set(_strings(tomllib.loads((ROOT / "docs" / "meanings.toml").read_text("utf-8")))))


@functools.cache
def words() -> list[str]:
    """Return the words in `texts`, digits, single letters, and each short text as a whole."""
    found = {word.strip(".,:;()") for text in texts() for word in re.split(r"[\s\"'`(){}\[\]<>|*?!]+", text)}
    whole = {text for text in texts() if len(text) <= 40 and text.isprintable() and " " not in text}
    return sorted((found | whole | set(string.ascii_letters + string.digits)) - {""})


def sentences() -> str:
    """Return all messages of the program in one text.

    Patterns, SQL, an example of a time, HTML and a line of a shell are not messages.
    """
    others = re.compile(r"\\|sqlite_|excluded\.|neq|T15:00|viewBox|Content-Security|\$PATH")
    return "\n".join(sorted(text for text in texts() if " " in text and not others.search(text)))


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in (key, *_strings(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in _strings(inner)]
    return [value] if isinstance(value, str) else []
