"""The paths in a configured `launch` and `program`, as a shell in the config's folder would read them."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from llmtui.config.errors import ConfigError, show
from llmtui.config.places import Place
from llmtui.model import Backend


def resolved(backend: Backend, folder: Path, where: Place) -> Backend:
    """Return `backend` with whole paths in `launch`, and in its `model` where that is filled in.

    A leading `~` is the home folder. A program with a slash in it, and other words that name a file, are looked up in
    `folder`, then in the working folder. A program without a slash is left for PATH. Raises ConfigError.
    """
    if not backend.launch:
        return backend
    program, *rest = (_home(word, where.key("launch")) for word in backend.launch)
    if os.sep in program and not os.path.isabs(program):
        program = _found(program, folder) or os.path.abspath(folder / program)
    rest = [_file(word, folder) for word in rest]
    model = backend.model
    if any("{model}" in word for word in (*backend.launch, *backend.env.values())):
        model = _file(_home(model, where.key("model")), folder)
    return msgspec.structs.replace(backend, launch=[program, *rest], model=model)


def program_path(program: str, folder: Path, where: Place) -> str:
    """Return the whole path of `program`; one without a slash is left for PATH. `where` is its place in the config.

    Raises ConfigError.
    """
    program = _home(program, where)
    return os.path.abspath(folder / program) if os.sep in program else program


def as_now(old: Backend, now: Backend, folder: Path) -> Backend:
    """Return `old`, which may have its paths as they are written in the config, with those that `now` has whole.

    `old` may come from someone else, so no file is looked at.
    """

    def word(before: str, after: str) -> str:
        whole = {os.path.abspath(os.path.join(place, before)) for place in (folder, Path())}
        return after if after in whole or (before.startswith("~/") and after == os.path.expanduser(before)) else before

    if len(old.launch) != len(now.launch):
        return old
    launch = [word(before, after) for before, after in zip(old.launch, now.launch, strict=True)]
    return msgspec.structs.replace(old, launch=launch, model=word(old.model, now.model))


def _home(word: str, where: Place) -> str:
    if word != "~" and not word.startswith("~/"):
        return word
    path = os.path.expanduser(word)
    if path == word:
        raise ConfigError(f"{where}: no home folder for {show(word)}; write the whole path")
    return path


def _file(word: str, folder: Path) -> str:
    """A word that looks like the path of a file and names one, as a whole path; any other word as it is."""
    looks_so = os.sep in word or os.path.splitext(word)[1]
    if not looks_so or word.startswith("-") or os.path.isabs(word):
        return word
    return _found(word, folder) or word


def _found(path: str, folder: Path) -> str | None:
    return next((os.path.abspath(p / path) for p in (folder, Path()) if os.path.isfile(p / path)), None)
