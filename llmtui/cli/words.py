"""What the words after `llmtui`, `run` and `check` mean: a config, servers, frameworks or a model file. Pure.

A word means the first of these that it fits:

1. `http://` or `https://` in front: the address of a server.
2. A path (with `/`, `./`, `../` or `~` in front) or a name that ends in .toml or .gguf: a file.
3. The name of a framework, in any case: `ollama`, `llama.cpp`, `llama-server`, `hf`.
4. The name of a file or folder in the working folder.
5. `HOST:PORT`, `:PORT`, also with a path after it: the address of a server.
6. Any other word with a slash in it: a file.

A command comes before all words: `llmtui check ollama`. A file that a framework is named after is `./ollama`. A file is
a model if its name ends in .gguf or its content begins as that of a GGUF file; any other file is a config.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, NoReturn

from llmtui.config.frameworks import FRAMEWORKS, Framework, framework_from_word
from llmtui.config.named_secrets import named_secrets
from llmtui.model.errors import UsageError
from llmtui.text import redact

#: What is at a path.
AtPath = Literal["nothing", "folder", "model", "file"]
Look = Callable[[str], AtPath]

#: The program's options that people type as a command.
_OPTIONS = {"version": "--version", "help": "--help"}
#: Commands by the names that other programs have for them.
LIKE: dict[str, tuple[str, ...]] = {
    "check": ("models", "model", "servers", "backends", "ping", "test", "doctor", "validate", "health", "status"),
    "init": ("scan", "discover", "find", "detect", "setup", "config", "configure", "create", "new", "frameworks"),
    "run": ("start", "bench", "benchmark", "race", "measure", "eval", "perf"),
    "history": ("list", "ls", "runs", "past", "log", "logs", "results"),
    "show": ("view", "cat", "print", "report", "info", "summary", "table"),
    "compare": ("diff", "vs", "versus"),
    "export": ("csv", "json", "markdown", "save", "dump"),
    "attach": ("ps", "top", "watch", "connect", "join", "follow"),
    "resume": ("continue", "restart"),
    "serve": ("web", "browser", "ui", "server", "http"),
    "explain": ("docs", "doc", "man", "manual", "topics", "guide", "usage"),
    "accuracy": ("error", "selftest", "calibrate", "precision"),
    "monitor": ("tui", "screen"),
}
_COMMANDS = {word: command for command, words in LIKE.items() for word in words}

#: Patterns are compiled when they are needed: the first frame does not wait for that.
_PATH = ("/", "./", "../", "~")
_SCHEME = r"https?://"
_OTHER_SCHEME = r"([a-z][a-z0-9+.-]*):/+(.*)"
_ADDRESS = r"(\[[0-9a-f:.%]+\]|[a-z0-9._-]*):(\d{1,5})([/?].*)?"
#: An address without a port.
_BARE_HOST = r"localhost|\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.%]+\]"
#: A model's name with a tag, as Ollama's: "llama3.2:3b", or with an owner, as HuggingFace's.
_MODEL = r"[\w.-]+(/[\w.-]+)*:[\w.-]+|[\w-]+/[\w.-]+"

EXPECTED = (
    "expected a command (init, check, run, ...), a config.toml, the address of a server (http://HOST:PORT), "
    "a framework (ollama, llama.cpp, ...) or a FILE.gguf"
)


class Meaning(NamedTuple):
    """What one word means. `value` is a path, a URL, or the title of a framework."""

    kind: Literal["config", "url", "framework", "model"]
    value: str


class Wanted(NamedTuple):
    """What a command line asks for: a config, or else frameworks and URLs of servers, in its order.

    `model` is the race's model: the path of a GGUF file (`is_file`), or a name; "" if none is given. `alone`: a model
    file is all that the words name, so that everything on this machine that can load it takes part.
    """

    config: str | None = None
    backends: tuple[Framework | str, ...] = ()
    model: str = ""
    is_file: bool = False
    alone: bool = False

    @property
    def from_config(self) -> bool:
        """Whether a config says what to race: the one that is named, or the one that llmtui finds."""
        return not self.backends and not self.alone


def wanted(words: Sequence[str], look: Look, commands: Iterable[str], model: str | None = None) -> Wanted:
    """Return what `words` and the value of --model ask for. Raises UsageError if a word or the mixture has no meaning.

    `look` says what is at a path.
    """
    meanings = [meaning(word, look, commands) for word in words]
    configs = [m.value for m in meanings if m.kind == "config"]
    models = [m.value for m in meanings if m.kind == "model"]
    backends = [m.value for m in meanings if m.kind in ("url", "framework")]
    if len(configs) > 1:
        _refuse(f"{configs[0]!r} and {configs[1]!r} are two configs; name one")
    if configs and (others := backends + models):
        todo = f"use --model {shlex.quote(others[0])}" if others[0] in models else "name one of them"
        _refuse(f"the config {configs[0]!r} already says what to race, so {others[0]!r} cannot be added; {todo}")
    for place, value in enumerate(backends):
        if value in backends[:place]:
            _refuse(f"{value!r} is named twice; name each backend once")
    alone = bool(models) and not backends
    urls = any(m.kind == "url" for m in meanings)
    given, is_file = _model_of(model, look, urls) if model is not None else ("", False)
    models += [given] if is_file else []
    if len(set(models)) > 1:
        _refuse(f"{models[0]!r} and {models[1]!r} are two models, and a race has one; name one")
    if models and given and not is_file:
        _refuse(f"{models[0]!r} and --model {given!r} are two models, and a race has one; name one")
    return Wanted(
        config=configs[0] if configs else None,
        backends=tuple(framework_from_word(m.value) or m.value for m in meanings if m.kind in ("url", "framework")),
        model=models[0] if models else given,
        is_file=bool(models),
        alone=alone,
    )


def meaning(word: str, look: Look, commands: Iterable[str] = ()) -> Meaning:
    """Return what `word` means; see the top of this module. Raises UsageError if it means nothing."""
    if not word.strip():
        _refuse(f"an empty word has no meaning; {EXPECTED}")
    if re.match(_SCHEME, word, re.IGNORECASE):
        return Meaning("url", word)
    lower = word.lower()
    if word.startswith(_PATH) or lower.endswith((".toml", ".gguf")):
        return _file(word, look)
    if (framework := framework_from_word(word)) is not None:
        return Meaning("framework", framework.title)
    if look(word) != "nothing":
        return _file(word, look)
    if (address := re.fullmatch(_ADDRESS, word, re.IGNORECASE)) is not None:
        return Meaning("url", f"http://{'127.0.0.1' if word.startswith(':') else ''}{address[0]}")
    if (problem := _problem(word, list(commands))) or "/" not in word:
        _refuse(problem or f"no command, file or framework is named {word!r}; {EXPECTED}")
    return _file(word, look)


def _file(word: str, look: Look) -> Meaning:
    kind = look(word)
    if kind == "model" or word.lower().endswith(".gguf"):
        return _model_file(word, kind)
    # The config's reader says why it cannot read a file.
    return Meaning("config", word)


def _model_file(path: str, kind: AtPath) -> Meaning:
    if kind == "nothing":
        _refuse(f"{path!r}: no such model file; name a GGUF file that exists")
    if kind == "folder":
        _refuse(f"{path!r} is a folder; name the GGUF file in it")
    if kind == "file":
        _refuse(f"{path!r} is not a GGUF file; name one that llama.cpp can load")
    return Meaning("model", path)


def _model_of(value: str, look: Look, urls: bool) -> tuple[str, bool]:
    """Return the value of --model, and whether it is a file. Servers (`urls`) may name a model as a file is named."""
    if not value.strip():
        _refuse("--model: the name is empty; expected a FILE.gguf or the name of a model")
    kind = look(value)
    is_path = value.startswith(_PATH) or value.lower().endswith(".gguf")
    if kind == "model" or (is_path and not urls):
        return _model_file(value, kind).value, True
    return value, False


def _problem(word: str, commands: list[str]) -> str:
    """Return what is wrong with a word that means nothing, as far as one can tell from it."""
    name = word.casefold()
    if word in commands:
        return f"{word!r} is a command, so it comes first: llmtui {word} [WHAT]"
    if name in _OPTIONS:
        return f"{word!r} is an option: llmtui {_OPTIONS[name]}"
    if command := name if name in commands else _COMMANDS.get(name, ""):
        return f"no command, file or framework is named {word!r}; did you mean: llmtui {command}"
    if (scheme := re.fullmatch(_OTHER_SCHEME, word, re.IGNORECASE | re.DOTALL)) is not None:
        if scheme[1].lower() in ("http", "https"):
            return f"{word!r} has one slash too few; did you mean: {scheme[1]}://{scheme[2]}"
        return f"{word!r}: the address of a server begins with http:// or https://"
    if re.fullmatch(_BARE_HOST, word, re.IGNORECASE):
        return f"{word!r}: the port is missing; did you mean: {word}:8080"
    if word.isascii() and word.isdecimal() and int(word) < 65536:
        return f"{word!r} is a number; for the server on that port: llmtui 127.0.0.1:{word}"
    names = [*commands, *(one.title.lower() for one in FRAMEWORKS)]
    if close := difflib.get_close_matches(name, names, n=1, cutoff=0.65):
        return f"no command, file or framework is named {word!r}; did you mean: llmtui {close[0]}"
    if re.fullmatch(_MODEL, word):
        return f"no file is named {word!r}; if it is a model, write: --model {word}"
    return ""


def _refuse(message: str) -> NoReturn:
    raise UsageError(redact(message, named_secrets(message)))
