"""Were they asked for the same? The fields that a config adds to the requests of a backend."""

from __future__ import annotations

import json
from collections.abc import Iterator

from llmtui.model import Backend
from llmtui.stats.checks.base import Check, Race, alike, each

#: Fields with which a server computes or sends something else for each token. What changes the length of an answer, the
#: prompt or the reasoning shows in the tokens, which other checks compare.
_WORK = frozenset(
    {
        *("logprobs", "top_logprobs", "prompt_logprobs", "n_probs", "top_n_tokens", "decoder_input_details"),
        *("response_format", "format", "grammar", "json_schema", "regex", "ebnf", "structured_outputs"),
        *("guided_json", "guided_regex", "guided_choice", "guided_grammar"),
        *("tools", "tool_choice", "functions", "function_call", "prediction", "temperature"),
        *("truncate", "truncate_prompt_tokens"),
    }
)


def options(race: Race) -> Iterator[Check]:
    """options: one backend was asked for more than another."""
    asked = {e.name: _work(e.backend) or "none" for e in race.sampled}
    sides = alike(asked)
    if len(sides) > 1:
        yield Check(
            code="options",
            level="warning",
            backends=list(asked),
            text=f"different options that change the work: {each(asked)}",
            todo="set the same `options` in every [[backend]]",
            sides=sides,
        )


def _work(backend: Backend) -> str:
    fields = {name: value for name, value in backend.options.items() if name.lower() in _WORK}
    return ", ".join(
        f"{name} = {json.dumps(value)}" if isinstance(value, bool | int | float) else name
        for name, value in sorted(fields.items())
    )
