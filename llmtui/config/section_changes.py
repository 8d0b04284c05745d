"""The sections besides [run] with what the command line changes."""

from __future__ import annotations

from typing import Any

from llmtui.config.loads import load_changes
from llmtui.config.mixes import mix_changes
from llmtui.config.objectives import slo_changes
from llmtui.config.places import Option
from llmtui.config.prompts import prompt_changes
from llmtui.config.talks import turns_changes
from llmtui.config.workers import workers_changes
from llmtui.model import Load, Prompts, RunConfig, Slo, Workers


def section_changes(
    load: Load,
    slo: Slo,
    prompts: Prompts,
    workers: Workers,
    run: RunConfig,
    given: dict[str, Any],
    option: Option,
) -> dict[str, Any]:
    """Take the options of these sections out of `given`, and return the sections with them. Raises ConfigError."""
    return {
        "load": load_changes(load, given, option),
        "slo": slo_changes(slo, given, option),
        "prompts": turns_changes(
            mix_changes(prompt_changes(prompts, given, option), run, given, option), given, option
        ),
        "workers": workers_changes(workers, given, option),
    }
