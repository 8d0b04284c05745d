"""Error messages for a configuration: where it is wrong, what is expected, what was found. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from llmtui.config.frameworks import framework_from_word
from llmtui.config.named_secrets import SECRET_NAME, named_secrets
from llmtui.config.places import Place
from llmtui.model.errors import UsageError
from llmtui.text import is_ordinary, redact, sanitize

#: The struct of each section of the file, by its name; "" is the file itself.
Sections: TypeAlias = Mapping[str, type[msgspec.Struct]]

_TYPE_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text in quotes",
    "bool": "true or false",
    "array": 'a list, such as ["one", "two"]',
    "object": "a table",
    "null": "nothing",
}
#: How many names a message lists.
_MOST_NAMES = 40
_MAX_CHARS = 60


class ConfigError(UsageError):
    """The configuration cannot be used. The message names the file, the key, what is expected and what was found.

    It is one line and safe for a terminal, whatever the file contains.
    """

    def __init__(self, message: str) -> None:
        super().__init__(sanitize(message, 2_000))


def suggestion(word: str, names: Sequence[str]) -> str:
    """Return the end of a message about an unknown name: the most similar one of `names`, or all."""
    by_case = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(word.casefold(), by_case, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {by_case[close[0]]!r}?"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"; expected one of {', '.join(names[:_MOST_NAMES])}{more}" if names else ""


def show(value: Any, secrets: Sequence[str] = ()) -> str:
    """Return `value` for a message: short, without `secrets` and keys, and without the user and password of a URL."""
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    text = redact(text, [secret for secret in (*secrets, *named_secrets(value)) if not is_ordinary(secret)])
    text = re.sub(r"//[^/\s]*@", "//***@", text)
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 3] + "..."


def backend_label(table: Mapping[str, Any], index: int) -> str:
    """Return how errors refer to a backend: by number, and by name if it has one."""
    try:
        name = table["backend"][index]["name"]
    except (KeyError, IndexError, TypeError):
        return f"backend {index + 1}"
    return f"backend {index + 1} ({show(name)})" if isinstance(name, str) else f"backend {index + 1}"


def check_names(table: Mapping[str, Any], root: Place, sections: Sections, internal: frozenset[str]) -> None:
    """Raise ConfigError for an unknown key. Fields in `internal` are not keys of the file."""

    def check(entries: Mapping[str, Any], section: str, place: Place) -> None:
        fields = msgspec.structs.fields(sections[section])
        names = [f.encode_name for f in fields if f.name not in internal]
        for key in entries:
            if key not in names:
                raise ConfigError(f"{place.entry(key)}: unknown key {show(key)}{suggestion(key, names)}")

    check(table, "", root)
    for section in sections:
        if section not in ("", "backend") and isinstance(table.get(section), dict):
            check(table[section], section, root.section(section))
    backends = table.get("backend")
    if isinstance(backends, dict):
        raise ConfigError(
            f"{root.section('backend')} is a single table; write [[backend]], with two brackets, once for each backend"
        )
    if isinstance(backends, list):
        for index, entry in enumerate(backends):
            if isinstance(entry, dict):
                check(entry, "backend", root.backend(index, backend_label(table, index)))


def explain(message: str, table: Mapping[str, Any], sections: Sections, root: Place) -> str:
    """Turn msgspec's validation message into one that says where, what is expected, and what was found."""
    head, _, path = message.partition(" - at `$")
    path = path.rstrip("`")
    value: Any = table
    place = root
    names: list[str] = []
    for key, position in re.findall(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]", path):
        try:
            if key or position:
                value = value[key] if key else value[int(position)]
        except (KeyError, IndexError, TypeError, ValueError):
            value = None
        if key in ("backend", "sweep") and not names:
            names.append(key)
        elif position and names == ["sweep"]:
            place = root.sweep(int(position))
        elif position and names == ["backend"]:
            place = root.backend(int(position), backend_label(table, int(position)))
        elif key:
            place = place.section(key) if key in sections and not names else place.key(key)
            names.append(key)
    if names in (["backend"], ["sweep"]) and place is root:
        place = root.key(names[0])
    secret = "headers" in names or any(map(SECRET_NAME.fullmatch, names))
    found = "a value that is not shown" if secret else show(value)
    expected = re.match(r"Expected `([\w| ]+?)(?: \| null)?`, got `(\w+)`", head)
    missing = re.match(r"Object missing required field `(\w+)`", head)
    if missing:
        return f"{place}: {missing[1]!r} is missing"
    if expected:
        want = " or ".join(_TYPE_WORDS.get(kind, kind) for kind in expected[1].split(" | "))
        return f"{place}: expected {want}, got {found}"
    if head.startswith("Invalid enum value"):
        return f"{place}: expected {_allowed(path, sections)}, got {found}{_nearest(names[-1:], value, path, sections)}"
    return f"{place}: {head}"


def _allowed(path: str, sections: Sections) -> str:
    values = _values(path, sections)
    words = ["one of " + ", ".join(map(repr, values)) if len(values) > 1 else repr(values[0])] if values else []
    return " or ".join([*words, *_other_types(path, sections)]) or "another value"


def _values(path: str, sections: Sections) -> list[str]:
    """The values that a setting may have, without the empty one."""
    return [value for value in _words_and_types(path, sections) if isinstance(value, str) and value]


def _other_types(path: str, sections: Sections) -> list[str]:
    """What a setting may be besides these values."""
    types = [kind.__name__ for kind in _words_and_types(path, sections) if isinstance(kind, type)]
    return [_TYPE_WORDS[name] for name in types if name in _TYPE_WORDS]


def _words_and_types(path: str, sections: Sections) -> list[Any]:
    """The values of the Literals in the type of a setting, and the other types in it."""
    keys = re.findall(r"\.(\w+)", path)
    struct = sections.get(keys[0] if keys else "", sections[""])
    hints = {f.encode_name: f.type for f in msgspec.structs.fields(struct)}
    found: list[Any] = []
    for kind in getattr(hints.get(keys[-1]), "__args__", ()) if keys else ():
        found += getattr(kind, "__args__", (kind,))
    return found


def _nearest(names: Sequence[str], value: Any, path: str, sections: Sections) -> str:
    """Return the end of a message about a word that is not allowed: the word that was probably meant, "" if unknown."""
    if not isinstance(value, str) or not names:
        return ""
    facts = framework_from_word(value)
    meant = ""
    if facts is not None:
        meant = {"server": facts.own.server if facts.own else "", "embedded": facts.engine}.get(names[0], "")
    close = difflib.get_close_matches(value.casefold(), _values(path, sections), n=1, cutoff=0.6)
    return f"; did you mean {word!r}?" if (word := meant or next(iter(close), "")) else ""
