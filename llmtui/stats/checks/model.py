"""Did they compute the same? Model, weights, context length."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmtui.stats.checks.base import Check, Entry, Race, alike, each, listed, number
from llmtui.stats.metrics import METRICS
from llmtui.text import sanitize
from llmtui.text.model_names import NAMELESS, model_family, without_folder

_WEIGHTS_WORDS = {"BFLOAT16": "BF16", "FLOAT16": "F16", "FP16": "F16", "HALF": "F16", "FLOAT32": "F32", "FP32": "F32"}


def model(race: Race) -> Iterator[Check]:
    """model: different models, by name and digest."""
    named = [e for e in race.sampled if model_family(_model(e)) not in NAMELESS]
    digests = {e.name: e.state.model_digest for e in named if e.state.model_digest}
    of_file: dict[str, str] = {}
    for entry in named:
        if digest := digests.get(entry.name):
            of_file.setdefault(digest, model_family(_model(entry)))  # several names of one file
    families = {e.name: of_file.get(digests.get(e.name, "")) or model_family(_model(e)) for e in named}
    if len(set(families.values())) < 2 and len(set(digests.values())) < 2:
        return
    if len(digests) == len(named) and len(set(digests.values())) == 1:
        return  # several names of one file
    models = {e.name: _model(e) for e in named}
    sides = _related(families)
    if len(set(families.values())) < 2:
        sides, models = alike(digests), {name: digest[:19] for name, digest in digests.items()}
    clear = len(sides) > 1
    yield Check(
        code="model",
        level="void" if clear else "warning",
        backends=list(models),
        text=f"{'different models' if clear else 'possibly different models'}: {each(models, sides)}",
        todo="give every backend the same model",
        sides=sides if clear else alike(families),
        spoils=list(METRICS) if clear else [],
    )


def _model(entry: Entry) -> str:
    return sanitize(without_folder(entry.state.model or entry.backend.model), 80)


def _related(families: dict[str, str]) -> list[list[str]]:
    """Names of backends by model. A family within another may be the same model: "qwen 2.5 7b" in "qwen 2.5 7b coder".

    It is within it by whole words: "2 7b" is not in "12 7b".
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(families, key=lambda n: len(families[n])):
        family = f" {families[name]} "
        groups.setdefault(next((f for f in groups if f in family), family), []).append(name)
    return list(groups.values())


def weights(race: Race) -> Iterator[Check]:
    """weights, weights-unknown: different quantisations, or one that is not reported."""
    reported = {e.name: w for e in race.sampled if (w := _weights(e))}
    silent = [e.name for e in race.sampled if not _weights(e)]
    if len(set(reported.values())) > 1:
        yield Check(
            code="weights",
            level="warning",
            backends=list(reported),
            text=f"different weights: {each(reported)}; fewer bits per weight are faster to read from memory",
            todo="give every backend the same weights; for an embedded engine set `weights` in its [[backend]]",
            sides=alike(reported),
        )
    if reported and silent:
        yield Check(
            code="weights-unknown",
            level="note",
            backends=silent,
            text=f"{listed(silent)} did not report the weights; others: {each(reported)}",
            todo="set `weights` in [[backend]]",
        )


def _weights(entry: Entry) -> str:
    name = sanitize(entry.state.weights or entry.backend.weights, 40).upper()
    name = re.sub(r" - (SMALL|MEDIUM|LARGE)$", lambda m: f"_{m[1][0]}", name)
    return _WEIGHTS_WORDS.get(name, name)


def context_length(race: Race) -> Iterator[Check]:
    """context-length: contexts of different length, or too short for prompt and answer."""
    lengths = {e.name: e.state.context_tokens for e in race.sampled if e.state.context_tokens}
    small = {
        e.name: f"{e.state.context_tokens} of {number(need)}"
        for e in race.sampled
        if e.state.context_tokens
        and (need := (e.evidence.prompts.median or 0) + race.config.max_tokens) > e.state.context_tokens
    }
    if small:
        of_slot = " of each slot" if race.at is not None else ""
        todo = "start the server with a longer context, or lower max_tokens"
        if race.at is not None:
            todo = f"{todo}; a context that slots share has to be as many times longer"
        yield Check(
            code="context-length",
            level="warning",
            backends=list(small),
            text=f"the context is too short for prompt and answer (tokens{of_slot}): {each(small)}",
            todo=todo,
        )
    elif len(set(lengths.values())) > 1:
        yield Check(
            code="context-length",
            level="note",
            backends=list(lengths),
            text=f"different context lengths (tokens): {each(lengths)}",
            todo="start the servers with the same context length",
            sides=alike({name: str(tokens) for name, tokens in lengths.items()}),
        )
