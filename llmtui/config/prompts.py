"""`[prompts]` and its options: checks. Pure."""

from __future__ import annotations

from pathlib import Path

import msgspec

from llmtui.config.mixes import check_mix
from llmtui.config.places import Option, Place
from llmtui.model import Prompts


def check_prompts(prompts: Prompts, place: Place | Option, folder: Path) -> Prompts:
    """Return `prompts` with an absolute path, resolved from `folder`.

    Raises ConfigError; `place` is that of [prompts].
    """
    check_mix(prompts, place)
    if not prompts.file:
        return prompts
    return msgspec.structs.replace(prompts, file=absolute(prompts.file, folder))


def absolute(file: str, folder: Path) -> str:
    """Return the path of a file as an absolute one, resolved from `folder`."""
    path = Path(file).expanduser()
    return str(path if path.is_absolute() else (folder / path).absolute())
