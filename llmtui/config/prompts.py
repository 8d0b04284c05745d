"""`[prompts]` and its options: checks. Pure."""

from __future__ import annotations

from pathlib import Path

import msgspec

from llmtui.config.places import Option, Place
from llmtui.model import Prompts


def check_prompts(prompts: Prompts, place: Place | Option, folder: Path) -> Prompts:
    """Return `prompts` with an absolute path, resolved from `folder`.

    Raises ConfigError; `place` is that of [prompts].
    """
    if not prompts.file:
        return prompts
    path = Path(prompts.file).expanduser()
    return msgspec.structs.replace(prompts, file=str(path if path.is_absolute() else (folder / path).absolute()))
