"""Whether two runs did the same work, and whether two backends are the same server by name and settings.

Two strengths: `same_work` lets the prompt differ by a factor of two, for the spread between launches as a share of a
latency. `same_setup` is for medians that stand beside each other: every setting of the work is equal.
"""

from __future__ import annotations

from llmtui.model import Backend, Plan, RunConfig

#: Prompts have one length if neither is more than this many times as long as the other.
_LENGTHS = 2
#: The settings of [run] that change the work of an iteration, besides the length of the prompt.
_WORK = ("max_tokens", "full_length", "temperature", "fresh_prompt", "threads", "model")
#: Settings of [run] that change neither the work of an iteration nor its conditions.
_NOT_WORK = frozenset({"iterations", "model", "restarts", "on_disconnect"})
#: The settings of a backend that are no part of what is measured.
_LABELS = {
    **{"language": "", "hint": "", "enabled": True, "api_key": "", "headers": {}, "secrets": []},
    # Where the program lies. Its version is not compared either.
    "program": "",
}


def same_work(one: Plan, two: Plan) -> bool:
    """Whether an iteration does the same work by both plans: the same answer to a prompt of about one length."""
    short, long = sorted((len(one.config.prompt), len(two.config.prompt)))
    settings = all(getattr(one.config, name) == getattr(two.config, name) for name in _WORK)
    return long <= _LENGTHS * short and settings and _same_requests(one, two)


def same_setup(one: Plan, two: Plan) -> bool:
    """Whether both plans ask for the same work under the same conditions, whatever the backends."""
    return _same_requests(one, two) and not different_settings(one.config, two.config)


def different_settings(one: RunConfig, two: RunConfig) -> list[str]:
    """The names of the settings of [run] that differ, of those that change the work or its conditions."""
    fields = [f for f in RunConfig.__struct_fields__ if f not in _NOT_WORK and not f.endswith("timeout_s")]
    return [field for field in fields if getattr(one, field) != getattr(two, field)]


def same_backend(one: Backend, two: Backend) -> bool:
    """Whether both, without secrets (`Plan.public`), are the same server by name and settings."""
    return not different_backend_settings(one, two)


def different_backend_settings(one: Backend, two: Backend) -> list[str]:
    """The names of the settings that differ between two backends without secrets, of those that are measured."""
    return [
        name for name in Backend.__struct_fields__ if name not in _LABELS and getattr(one, name) != getattr(two, name)
    ]


def _same_requests(one: Plan, two: Plan) -> bool:
    """Whether load and prompts are the same, and the fresh line of a prompt is in the same message."""
    same_line = one.fresh_role == two.fresh_role or not one.config.fresh_prompt
    return same_line and one.load == two.load and one.prompts.work == two.prompts.work
