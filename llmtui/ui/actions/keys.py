"""The names of keys, and the key of every command after `[ui].keys`."""

from __future__ import annotations

import difflib
import string
from collections.abc import Mapping

from llmtui.ui.actions.registry import COMMANDS

#: Keys that no command may use: they select a backend, move the focus, or quit.
RESERVED = frozenset({*"123456789", "ctrl+c", "ctrl+q", "ctrl+p", "tab", "shift+tab"})

_NAMES = {
    "?": "question_mark",
    " ": "space",
    "esc": "escape",
    "return": "enter",
    "/": "slash",
    "+": "plus",
    "-": "minus",
    ".": "full_stop",
    ",": "comma",
    "!": "exclamation_mark",
    "*": "asterisk",
    "#": "number_sign",
    ":": "colon",
    ";": "semicolon",
    "=": "equals_sign",
    "<": "less_than_sign",
    ">": "greater_than_sign",
    "_": "underscore",
    "@": "at",
    "$": "dollar_sign",
    "%": "percent_sign",
    "&": "ampersand",
    "'": "apostrophe",
    '"': "quotation_mark",
    "(": "left_parenthesis",
    ")": "right_parenthesis",
    "[": "left_square_bracket",
    "]": "right_square_bracket",
    "{": "left_curly_bracket",
    "}": "right_curly_bracket",
    "\\": "backslash",
    "|": "vertical_line",
    "^": "circumflex_accent",
    "`": "grave_accent",
    "~": "tilde",
}
_LETTERS = frozenset(string.ascii_letters)
#: Every key that Textual has a name for.
KEY_NAMES = frozenset(
    {
        *_LETTERS,
        *string.digits,
        *_NAMES.values(),
        *(f"f{n}" for n in range(1, 25)),
        *("tab", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown", "up", "down", "left", "right"),
    }
)
#: The commands of the first release. A config may give the key of a later one to these: that one gets alt with it.
_FIRST = frozenset(
    {
        *("rerun", "stop", "rerun_all", "pause", "more", "hide", "metric", "chart", "scale", "table", "sort"),
        *("reverse", "hold", "verdict", "log", "server_log", "detach", "export", "export_as", "maximise", "back"),
        *("theme", "help", "quit"),
    }
)
_MODIFIERS = ("ctrl", "alt", "shift")
_SHOWN = {"question_mark": "?", "escape": "esc"} | {v: k for k, v in _NAMES.items() if len(k) == 1 and k != " "}


def key_word(key: str) -> str:
    """Return a key as it is shown: `?` for `question_mark`, `esc` for `escape`."""
    return _SHOWN.get(key, key)


def _problem(key: str) -> str:
    """Return why `key`, by Textual's name, is not a key, or "" if it is one."""
    *modifiers, name = key.split("+")
    if name in KEY_NAMES and all(m in _MODIFIERS for m in modifiers) and len(set(modifiers)) == len(modifiers):
        # A terminal sends the capital letter, not shift and the letter.
        return f'did you mean "{name.upper()}"?' if modifiers == ["shift"] and name in _LETTERS else ""
    near = difflib.get_close_matches(name, sorted(n for n in KEY_NAMES if len(n) > 1), n=1, cutoff=0.5)
    if not near or not all(m in _MODIFIERS for m in modifiers):
        return 'examples: "r", "R", "f5", "ctrl+r", "space"'
    return f'did you mean "{"+".join([*modifiers, near[0]])}"?'


def resolve_keys(overrides: Mapping[str, str]) -> dict[str, str]:
    """Return the key of every command, by id, after `[ui].keys`.

    Raises ValueError for an unknown id, for a name that is not a key, and for a key that two commands share.
    """
    keys = {c.id: c.key for c in COMMANDS}
    for command_id, key in overrides.items():
        if command_id not in keys:
            near = difflib.get_close_matches(command_id, keys, n=1, cutoff=0.5)
            meant = f'did you mean "{near[0]}"?' if near else f"commands: {', '.join(keys)}"
            raise ValueError(f'unknown command "{command_id}"; {meant}')
        named = _NAMES.get(key, key)
        if problem := _problem(named):
            raise ValueError(f'"{command_id}": "{key}" is not a key; {problem}')
        if named in RESERVED:
            raise ValueError(f'"{command_id}": the key "{key}" is reserved: choose another one')
        keys[command_id] = named
    taken = {keys[command_id] for command_id in overrides}
    for command in COMMANDS:
        if command.id not in _FIRST and command.id not in overrides and command.key in taken:
            keys[command.id] = f"alt+{command.key}"
    owner: dict[str, str] = {}
    for command_id, key in keys.items():
        if key in owner:
            raise ValueError(f'"{command_id}" and "{owner[key]}" both have the key "{key_word(key)}"')
        owner[key] = command_id
    return keys
