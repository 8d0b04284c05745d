"""`[prompts]` and its options: checks. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from llmtui.config.errors import ConfigError, show
from llmtui.config.mixes import check_mix
from llmtui.config.places import Option, Place
from llmtui.config.talks import check_turns
from llmtui.model import Prompts


def check_prompts(prompts: Prompts, place: Place | Option, folder: Path) -> Prompts:
    """Return `prompts` with an absolute path, resolved from `folder`.

    Raises ConfigError; `place` is that of [prompts].
    """
    check_mix(prompts, place)
    check_turns(prompts, place)
    if not prompts.file:
        return prompts
    return msgspec.structs.replace(prompts, file=absolute(prompts.file, folder, place.key("file")))


def absolute(file: str, folder: Path, place: Place | Option | None = None) -> str:
    """Return the path of a file as an absolute one, resolved from `folder`. Raises ConfigError."""
    try:
        path = Path(file).expanduser()
    except RuntimeError:
        where = f"{place}: " if place is not None else ""
        raise ConfigError(f"{where}no home folder for {show(file)}; write the whole path") from None
    return str(path if path.is_absolute() else (folder / path).absolute())


def prompt_changes(prompts: Prompts, given: dict[str, Any], option: Option) -> Prompts:
    """Take the options of [prompts] out of `given`, and return `prompts` with them. Raises ConfigError.

    The path of --prompts is relative to the working folder. It goes before a mix of the config.
    """
    if "prompts" not in given:
        return prompts
    file = given.pop("prompts")
    if not file:
        raise ConfigError(f"{option.key('prompts')}: the path is empty; expected a file or a folder of prompts")
    if "mix" in given:
        raise ConfigError(
            f"{option.key('mix')}: --prompts is given too; prompts come from a file or a mix: leave one of them out"
        )
    return check_prompts(msgspec.structs.replace(prompts, file=file, mix=""), option, Path.cwd())
