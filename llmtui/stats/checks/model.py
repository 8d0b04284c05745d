"""Did they compute the same? Model, weights, context length."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llmtui.stats.checks.base import Check, Entry, Race, alike, each, listed, number
from llmtui.stats.metrics import METRICS
from llmtui.text import sanitize

#: What names of models have besides the model.
_NOT_THE_MODEL = re.compile(
    r"\.(gguf|llamafile|safetensors|bin)$|[-_.:](latest|instruct|it|chat|hf|gguf|awq|gptq|mlx|i?q\d\w*|bf16|f16|fp16"
    r"|f32|fp32|fp8|int[48]|\d+bit)(?=$|[-_.:])"
)
_NAMELESS = frozenset({"", "default", "model", "none"})
_WEIGHTS_WORDS = {"BFLOAT16": "BF16", "FLOAT16": "F16", "FP16": "F16", "HALF": "F16", "FLOAT32": "F32", "FP32": "F32"}


def model(race: Race) -> Iterator[Check]:
    """model: not the same one, as far as names and digests tell."""
    named = [e for e in race.sampled if _family(_model(e)) not in _NAMELESS]
    families = {e.name: _family(_model(e)) for e in named}
    digests = {e.name: e.state.model_digest for e in named if e.state.model_digest}
    if len(set(families.values())) < 2 and len(set(digests.values())) < 2:
        return
    if len(digests) == len(named) and len(set(digests.values())) == 1:
        return  # several names of one file
    told = {e.name: _model(e) for e in named}
    sides = _kin(families)
    if len(set(families.values())) < 2:
        sides, told = alike(digests), {name: digest[:19] for name, digest in digests.items()}
    clear = len(sides) > 1
    yield Check(
        code="model",
        level="void" if clear else "warning",
        backends=list(told),
        text=f"{'different models' if clear else 'perhaps not the same model'}: {each(told)}",
        todo="give every backend the same model",
        sides=sides if clear else alike(families),
        spoils=list(METRICS) if clear else [],
    )


def _model(entry: Entry) -> str:
    return sanitize(entry.state.model or entry.backend.model, 80)


def _family(name: str) -> str:
    """A model's name without folder, file type, weights and the like: "llama3.2:1b" is "Llama-3.2-1B-Instruct.gguf"."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    while (shorter := _NOT_THE_MODEL.sub("", last)) != last:
        last = shorter
    return re.sub(r"[^a-z0-9.]", "", last)


def _kin(families: dict[str, str]) -> list[list[str]]:
    """Names of backends by model; a name that holds another ("qwen2.50.5b" in "qwen2.50.5bcoder") may be the same."""
    found: dict[str, list[str]] = {}
    for name in sorted(families, key=lambda n: len(families[n])):
        found.setdefault(next((f for f in found if f in families[name]), families[name]), []).append(name)
    return list(found.values())


def weights(race: Race) -> Iterator[Check]:
    """weights, weights-unknown: another quantisation, or nobody knows which."""
    known = {e.name: w for e in race.sampled if (w := _weights(e))}
    silent = [e.name for e in race.sampled if not _weights(e)]
    if len(set(known.values())) > 1:
        yield Check(
            code="weights",
            level="warning",
            backends=list(known),
            text=f"different arithmetic: {each(known)}; fewer bits a weight are faster to read from memory",
            todo="give every backend the same weights; an embedded engine takes `weights` in its [[backend]]",
            sides=alike(known),
        )
    if known and silent:
        yield Check(
            code="weights-unknown",
            level="note",
            backends=silent,
            text=f"{listed(silent)} did not tell the weights; the others compute with {each(known)}",
            todo="name them: `weights` in [[backend]]",
        )


def _weights(entry: Entry) -> str:
    told = sanitize(entry.state.weights or entry.backend.weights, 40).upper()
    told = re.sub(r" - (SMALL|MEDIUM|LARGE)$", lambda m: f"_{m[1][0]}", told)
    return _WEIGHTS_WORDS.get(told, told)


def context_length(race: Race) -> Iterator[Check]:
    """context-length: another room for prompt and answer, or too little."""
    room = {e.name: e.state.context_tokens for e in race.sampled if e.state.context_tokens}
    small = {
        e.name: f"{e.state.context_tokens} of {number(need)}"
        for e in race.sampled
        if e.state.context_tokens
        and (need := (e.evidence.prompts.median or 0) + race.config.max_tokens) > e.state.context_tokens
    }
    if small:
        yield Check(
            code="context-length",
            level="warning",
            backends=list(small),
            text=f"too little context for prompt and answer (tokens): {each(small)}",
            todo="start the server with more context, or lower max_tokens",
        )
    elif len(set(room.values())) > 1:
        yield Check(
            code="context-length",
            level="note",
            backends=list(room),
            text=f"different context lengths (tokens): {each(room)}",
            todo="start the servers with the same context length",
            sides=alike({name: str(tokens) for name, tokens in room.items()}),
        )
