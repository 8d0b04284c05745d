"""`[prompts] mix` and its options: checks. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from llmtui.config.errors import ConfigError, show
from llmtui.config.places import Option, Place
from llmtui.model import Prompts, RunConfig
from llmtui.model.mixes import parse_mix

#: Options of the command line that belong to a mix. The last two are vLLM's and AIPerf's.
OPTIONS = ("mix", "random_input_len", "random_output_len")


def check_mix(prompts: Prompts, place: Place | Option) -> None:
    """Raise ConfigError for a mix that cannot be read; `place` is that of [prompts]."""
    if not prompts.mix:
        return
    try:
        parse_mix(prompts.mix)
    except ValueError as error:
        raise ConfigError(f"{place.key('mix')}: {error}, got {show(prompts.mix)}") from None
    if prompts.file:
        raise ConfigError(
            f"{place.key('mix')}: a file is given too; prompts come from a file or from a mix: leave one of them out"
        )


def mix_changes(prompts: Prompts, run: RunConfig, given: dict[str, Any], option: Option) -> Prompts:
    """Take the options of a mix out of `given`, and return `prompts` with them. Raises ConfigError.

    A mix of the command line goes before a file of the config.
    """
    changes = {key: given.pop(key) for key in OPTIONS if key in given}
    if not changes:
        return prompts
    for key, what in (("random_input_len", "prompt"), ("random_output_len", "answer")):
        if "mix" in changes and key in changes:
            raise ConfigError(f"{option.key(key)}: --mix is given too; it says how long prompts and answers are")
        if key in changes and changes[key] < 1:
            raise ConfigError(f"{option.key(key)}: expected a {what} of at least 1 token, got {show(changes[key])}")
    if "random_output_len" in changes and "random_input_len" not in changes:
        raise ConfigError(
            f"{option.key('random_output_len')}: --random-input-len is missing; for answers of this length to the "
            f"prompt of [run] use --max-tokens {changes['random_output_len']}"
        )
    if "mix" in changes:
        mix = str(changes["mix"])
    else:
        answer = changes.get("random_output_len", given.get("max_tokens", run.max_tokens))
        mix = f"D({changes['random_input_len']},{answer})"
    prompts = msgspec.structs.replace(prompts, mix=mix, file="")
    check_mix(prompts, option)
    return prompts
