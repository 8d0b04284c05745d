"""`[slo]` and its options: checks, and the words of the command line. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from llmtui.config.errors import ConfigError, show, suggestion
from llmtui.config.places import Option, Place
from llmtui.model import Load, RunConfig, Slo

MAX_S = 86_400.0
#: Options of the command line that belong to [slo].
OPTIONS = ("slo", "goodput")
#: The keys of [slo] that are durations, by the names that --slo has for them.
_DURATIONS = {"ttft": "ttft_s", "tpot": "tpot_s", "latency": "latency_s"}
_SHARE = "share"
_MS = 1000.0


class _Form(NamedTuple):
    """How an option is written: the keys by their names there, the sign after a name, and what a bad part is told.

    A number without a unit is of 1 / `per_s` s.
    """

    keys: Mapping[str, str]
    sign: str
    per_s: float
    takes: str
    example: str
    suggested: Sequence[str]


_SLO = _Form(
    keys={**_DURATIONS, _SHARE: _SHARE},
    sign="=",
    per_s=1.0,
    takes="NAME=SECONDS, such as ttft=0.2",
    example="ttft=0.2,tpot=0.05,latency=5,share=0.95",
    suggested=(*_DURATIONS, _SHARE),
)
#: The names of vLLM and of AIPerf, whose inter-token latency is that of an answer: its TPOT.
_GOODPUT = _Form(
    keys={
        **_DURATIONS,
        "e2el": "latency_s",
        "time_to_first_token": "ttft_s",
        "inter_token_latency": "tpot_s",
        "time_per_output_token": "tpot_s",
        "request_latency": "latency_s",
        "e2e_latency": "latency_s",
    },
    sign=":",
    per_s=_MS,
    takes="NAME:MILLISECONDS, such as ttft:200",
    example="ttft:200 tpot:50 e2el:1000",
    suggested=("ttft", "tpot", "e2el"),
)
_NUMBER = re.compile(r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(ms|s|%)?")


def check_slo(slo: Slo, place: Place | Option) -> Slo:
    """Return `slo`. Raises ConfigError; `place` is that of [slo]."""
    for key in _DURATIONS.values():
        value = getattr(slo, key)
        if not math.isfinite(value) or not 0 <= value <= MAX_S:
            raise ConfigError(f"{place.key(key)}: expected a number of seconds above 0, got {show(value)}")
    if not 0 < slo.share <= 1:
        raise ConfigError(f"{place.key('share')}: expected a share above 0 and up to 1, got {show(slo.share)}")
    return slo


def check_objectives(slo: Slo, load: Load, run: RunConfig, place: Place | Option) -> None:
    """Raise ConfigError if there are objectives and no load whose requests could keep them, or none where the metric
    that counts needs them; `place` is that of [run]."""
    if run.metric == "goodput" and not slo.limits:
        raise ConfigError(
            f"{place.key('metric')}: goodput counts the requests that keep objectives, and there are none; set them in "
            "[slo], or with --slo ttft=0.2,tpot=0.05"
        )
    if slo.limits and not load.levels:
        raise ConfigError(
            "objectives ([slo], --slo) are for the requests of a load, and this is a race with one request at a time; "
            "use --concurrency LIST, or --concurrency 1 --requests 40 for one stream"
        )


def slo_changes(slo: Slo, given: dict[str, Any], option: Option) -> Slo:
    """Take --slo and --goodput out of `given`, and return `slo` with what they say. Raises ConfigError."""
    words = {key: given.pop(key) for key in OPTIONS if key in given}
    if len(words) > 1:
        raise ConfigError(f"{option.key('goodput')}: --slo is given too; both say the same: leave one out")
    changes: dict[str, float] = {}
    if "slo" in words:
        changes = _objectives(words["slo"], option.key("slo"), _SLO)
    if "goodput" in words:
        changes = _objectives(words["goodput"], option.key("goodput"), _GOODPUT)
    if not changes:
        return slo
    slo = msgspec.structs.replace(slo, **changes)
    if not slo.limits:
        raise ConfigError(f"{option.key('slo')}: a share needs an objective too, such as ttft=0.2,share=0.95")
    return slo


def _objectives(text: str, place: Place | Option, form: _Form) -> dict[str, float]:
    """The keys of [slo] in the words of an option."""
    changes: dict[str, float] = {}
    for part in _parts(text, place, form.example):
        name, sign, number = part.partition(form.sign)
        if not sign:
            raise ConfigError(f"{place}: expected {form.takes}, got {show(part)}")
        key = form.keys.get(name)
        if key is None:
            # The name of another tool for the same.
            meant = next((one for one, key in form.keys.items() if key == _GOODPUT.keys.get(name)), "")
            remedy = f"; did you mean {meant!r}?" if meant else suggestion(name, form.suggested)
            raise ConfigError(f"{place}: unknown objective {show(name)}{remedy}")
        if key in changes:
            raise ConfigError(f"{place}: {name} is given twice; give each objective once")
        changes[key] = _share(number, place) if key == _SHARE else _seconds(name, number, form.per_s, place)
    return changes


def goodput_words(words: Sequence[str]) -> list[str]:
    """Return command line words with the values of --goodput as one: vLLM and AIPerf give it several words."""
    joined: list[str] = []
    values = 0
    for word in words:
        name, sign, _ = word.partition(":")
        if values and sign and (name in _GOODPUT.keys or name == "itl"):
            joined[-1] += f" {word}"
            continue
        values = word.startswith("--goodput=") or (bool(joined) and joined[-1] == "--goodput")
        joined.append(word)
    return joined


def _parts(text: str, place: Place | Option, example: str) -> list[str]:
    parts = [part for part in re.split(r"[,\s]+", text.strip().lower()) if part]
    if not parts:
        raise ConfigError(f"{place}: expected objectives, such as {example}")
    return parts


def _seconds(name: str, text: str, per_s: float, place: Place | Option) -> float:
    """A duration in s; without a unit it is of 1 / `per_s` s."""
    found = _NUMBER.fullmatch(text)
    unit = "seconds" if per_s == 1 else "milliseconds"
    if found is None or found[2] == "%":
        raise ConfigError(
            f"{place}: expected {unit} for {name}, such as {'0.2 or 200ms' if per_s == 1 else '200'}, got {show(text)}"
        )
    seconds = float(found[1]) / {"ms": _MS, "s": 1.0}.get(found[2] or "", per_s)
    if not 0 < seconds <= MAX_S:
        raise ConfigError(f"{place}: expected {unit} above 0 for {name}, got {show(text)}")
    return seconds


def _share(text: str, place: Place | Option) -> float:
    found = _NUMBER.fullmatch(text)
    share = float(found[1]) / (100 if found[2] == "%" else 1) if found and found[2] in (None, "%") else 0.0
    if not 0 < share <= 1:
        raise ConfigError(f"{place}: expected a share above 0 and up to 1, such as 0.95 or 95%, got {show(text)}")
    return share
