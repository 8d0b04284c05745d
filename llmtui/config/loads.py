"""`[load]` and its options: checks, and the levels as numbers. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec

from llmtui.config.errors import ConfigError, show
from llmtui.config.places import Option, Place
from llmtui.config.prompts import absolute
from llmtui.config.searches import check_word, searching
from llmtui.config.talks import MAX_THINK_S
from llmtui.config.traces import gap_words
from llmtui.model import Load, RunConfig
from llmtui.model.load import Arrival
from llmtui.model.turn import REQUESTS_A_STREAM
from llmtui.text.format import plural

#: The most streams of a level, the highest rate in requests/s, and the most levels of a run.
MAX_STREAMS = 10_000
MAX_RATE = 10_000.0
MAX_LEVELS = 50
#: The most requests of a turn, those before its window, and its longest duration in s.
MAX_REQUESTS = 10_000_000
MAX_SETTLE = 1_000_000
MAX_DURATION_S = 86_400.0
#: A gap of a trace that is worth a word, in s.
LONG_GAP_S = 60.0
_RANGE = re.compile(r"([0-9]{1,6})\.\.([0-9]{1,6})")
#: Options of the command line that belong to [load].
OPTIONS = (
    "concurrency",
    "request_rate",
    "arrival",
    "burstiness",
    "max_concurrency",
    "requests",
    "duration_s",
    "search",
    "trace",
    "time_scale",
    "probe_rate",
    "users",
    "think_s",
)
#: Metrics of a whole turn.
_OF_TURNS = ("output_tokens_per_s", "goodput")
_OF_OPEN_LOOPS = ("burstiness", "arrival", "max_concurrency")
#: Keys that contradict a trace, which says when each request is sent.
_NOT_OF_TRACES = ("concurrency", "request_rate", "arrival", "burstiness", "search", "users", "think_s")
_INSTEAD_OF_TRACES = ("concurrency", "request_rate", "search", "users")
#: Keys that contradict users, who are the streams of a closed loop.
_NOT_OF_USERS = ("concurrency", "request_rate", "arrival", "burstiness", "max_concurrency", "search")


class _Range(NamedTuple):
    """What a number may be. It is also allowed to be `unset`, if it is not given."""

    least: float
    most: float
    unset: float
    allowed: str


_RANGES = {
    "burstiness": _Range(0.01, 1000, 1.0, "0.01 to 1000"),
    "max_concurrency": _Range(1, MAX_STREAMS, 0, f"1 to {MAX_STREAMS} requests under way"),
    "requests": _Range(1, MAX_REQUESTS, 0, f"1 to {MAX_REQUESTS} requests a turn"),
    "duration_s": _Range(0.1, MAX_DURATION_S, 0.0, f"0.1 to {MAX_DURATION_S:.0f} seconds"),
    "probe_rate": _Range(0.001, 100, 0.0, "0.001 to 100 requests/s"),
    "think_s": _Range(0, MAX_THINK_S, 0.0, f"0 to {MAX_THINK_S:.0f} seconds"),
    "time_scale": _Range(0.001, 1_000_000, 1.0, "0.001 to 1000000 (2: twice as fast)"),
}


def check_load(load: Load, place: Place | Option, given: Collection[str] = (), folder: Path | None = None) -> Load:
    """Return `load` with its levels as lists of numbers. Raises ConfigError; `place` is that of [load].

    `given` are the keys that were written, if they are known: one that has no effect is an error. The path of a trace
    becomes absolute, resolved from `folder`.
    """
    for key, allowed in _RANGES.items():
        value = getattr(load, key)
        if (key in given or value != allowed.unset) and not allowed.least <= value <= allowed.most:
            raise ConfigError(f"{place.key(key)}: expected {allowed.allowed}, got {show(value)}")
    if load.settle != "auto" and not 0 <= load.settle <= MAX_SETTLE:
        raise ConfigError(
            f"{place.key('settle')}: expected 'auto' or 0 to {MAX_SETTLE} requests, got {show(load.settle)}"
        )
    if load.arrival not in (words := get_args(Arrival)):
        allowed_words = ", ".join(map(repr, words))
        raise ConfigError(f"{place.key('arrival')}: expected one of {allowed_words}, got {show(load.arrival)}")
    check_word(load.search, place)
    if load.search:
        load = searching(load, _streams(load.concurrency, place), place, given)
    streams = _distinct(_streams(load.concurrency, place), place.key("concurrency"))
    rates = _distinct(_rates(load.request_rate, place), place.key("request_rate"))
    if load.users or "users" in given:
        users = _distinct(_streams(load.users, place, "users"), place.key("users"))
        load = msgspec.structs.replace(load, users=users if len(users) > 1 else users[0])
    load = msgspec.structs.replace(load, concurrency=streams if len(streams) > 1 else streams[0], request_rate=rates)
    _check_together(load, place, given)
    if load.trace and folder is not None:
        load = msgspec.structs.replace(load, trace=absolute(load.trace, folder))
    return load


def load_changes(load: Load, given: dict[str, Any], option: Option) -> Load:
    """Take the options of [load] out of `given`, and return `load` with them. Raises ConfigError.

    What an option says goes before the keys of `load` that say something else: --request-rate before a concurrency.
    """
    changes = {key: given.pop(key) for key in OPTIONS if key in given}
    if not changes:
        return load
    if "users" in changes and (other := [key for key in _NOT_OF_USERS if key in changes]):
        raise ConfigError(f"{option.key(other[0])}: {option.key('users')} is given too; {_USERS}")
    if "trace" in changes and (other := [key for key in (*_INSTEAD_OF_TRACES, "think_s") if key in changes]):
        raise ConfigError(f"{option.key('trace')}: {option.key(other[0])} is given too; {_TRACED}")
    if "concurrency" in changes and "request_rate" in changes:
        raise ConfigError(f"{option.key('request_rate')}: --concurrency is given too; {_ONE_OF}")
    if "request_rate" in changes:
        changes = _as_closed(changes, option) if _infinite(changes["request_rate"]) else changes
    if "max_concurrency" in changes:
        changes = _capped(changes, load, option)
    if "burstiness" in changes and "arrival" not in changes:
        # As in vLLM, where 1 is Poisson.
        changes["arrival"] = "poisson" if changes["burstiness"] == 1 else "gamma"
    unset = Load()
    if "trace" in changes:
        changes["trace"] = absolute(changes["trace"], Path.cwd())
        load = msgspec.structs.replace(load, **{key: getattr(unset, key) for key in _NOT_OF_TRACES})
    elif any(key in changes for key in _INSTEAD_OF_TRACES):
        load = msgspec.structs.replace(load, trace="", time_scale=1.0)
    if "users" in changes:
        load = msgspec.structs.replace(load, **{key: getattr(unset, key) for key in _NOT_OF_USERS})
    elif any(key in changes for key in ("concurrency", "request_rate", "search", "trace")):
        load = msgspec.structs.replace(load, users=0, **({} if "concurrency" in changes else {"think_s": 0.0}))
    if "concurrency" in changes or ("search" in changes and "request_rate" not in changes):
        load = msgspec.structs.replace(load, request_rate=[], **{k: getattr(unset, k) for k in _OF_OPEN_LOOPS})
    if "request_rate" in changes:
        load = msgspec.structs.replace(load, concurrency=unset.concurrency, search="")
    if ("requests" in changes) != ("duration_s" in changes):
        load = msgspec.structs.replace(load, requests=0, duration_s=0.0)
    return check_load(msgspec.structs.replace(load, **changes), option, given=changes)


def remarks(load: Load) -> list[str]:
    """Return what a person should know about a checked load before it starts, a sentence each."""
    if (of := load.trace_turn) is not None:
        if of.gap_s < LONG_GAP_S:
            return []
        return [f"in each turn no request is due for {gap_words(of.gap_s, of.gap_from_s)}"]
    short = [one for one in load.levels if 0 < load.requests_of(one) < one.streams]
    if not short:
        return []
    if load.search:
        return [
            f"above {plural(load.requests, 'stream')} a turn of {plural(load.requests, 'request')} is shorter than one "
            "answer of each stream, so its rates are rough or missing; use more requests, or leave the number out"
        ]
    titles = ", ".join(str(one.streams) for one in short[:-1])
    titles = f"{titles} and {short[-1].title}" if titles else short[-1].title
    most = max(one.streams for one in short)
    return [
        f"at {titles} a turn of {plural(load.requests, 'request')} is shorter than one answer of each stream, so its "
        f"rates are rough or missing; use at least {REQUESTS_A_STREAM * most} requests, or leave the number out"
    ]


def check_metric(run: RunConfig, load: Load, place: Place | Option) -> None:
    """Raise ConfigError if the metric that counts does not exist in this load; `place` is that of [run]."""
    if run.metric not in _OF_TURNS:
        return
    if not load.levels:
        raise ConfigError(
            f"{place.key('metric')}: {run.metric} is of a load, and this is a race with one request at a time; "
            "set concurrency in [load], or use tokens_per_s, the speed of one stream"
        )
    if load.levels[0].open:
        raise ConfigError(
            f"{place.key('metric')}: in an open loop the request rate decides {run.metric}, whichever server "
            "answers; use latency, ttft, itl or tokens_per_s"
        )


def with_metric(run: RunConfig, load: Load) -> RunConfig:
    """Return `run` with the metric that counts under this load by default: throughput in a closed loop, else latency.

    In an open loop the rate decides the throughput.
    """
    closed = bool(load.levels) and not load.levels[0].open
    return msgspec.structs.replace(run, metric="output_tokens_per_s" if closed else "latency")


_ONE_OF = "a closed loop has a concurrency, an open loop a request rate: leave one of them out"


_USERS = "users are the streams of a closed loop: leave one of them out"
_TRACED = "a trace says when each request is sent: leave one of them out"


def _check_trace(load: Load, place: Place | Option, given: Collection[str]) -> None:
    """Raise ConfigError for keys that contradict a trace, and for what no trace can be."""
    if not load.trace:
        if load.time_scale != 1 or "time_scale" in given:
            raise ConfigError(
                f"{place.key('time_scale')}: is for a trace; set {_named('trace', place)} too, or leave it out"
            )
        return
    unset = Load()
    for key in _NOT_OF_TRACES:
        if getattr(load, key) != getattr(unset, key) or key in given:
            raise ConfigError(f"{place.key(key)}: {_named('trace', place)} is given too; {_TRACED}")
    if not load.trace.isprintable():
        raise ConfigError(f"{place.key('trace')}: expected the path of a file, got {show(load.trace)}")
    of = load.trace_turn
    if of is not None and not (of.requests > 0 and of.settle >= 0 and of.window_s > 0):
        raise ConfigError(f"{place.key('trace')}: a turn of it is not as llmtui writes it")


def _check_together(load: Load, place: Place | Option, given: Collection[str]) -> None:
    """Raise ConfigError for keys that contradict each other."""
    rates, unset = load.request_rate, Load()
    _check_trace(load, place, given)
    if load.users:
        for key in _NOT_OF_USERS:
            if getattr(load, key) != getattr(unset, key) or key in given:
                raise ConfigError(f"{place.key(key)}: {_named('users', place)} is given too; {_USERS}")
    if rates and (load.concurrency != 1 or "concurrency" in given):
        raise ConfigError(f"{place.key('request_rate')}: {_named('concurrency', place)} is given too; {_ONE_OF}")
    if load.requests and load.duration_s:
        raise ConfigError(
            f"{place.key('duration_s')}: {_named('requests', place)} is given too; a turn has a number of requests or "
            "a duration: leave one of them out"
        )
    for key in _OF_OPEN_LOOPS:
        value = getattr(load, key)
        if not rates and not load.trace and (value != getattr(unset, key) or key in given):
            rate = _named("request_rate", place)
            todo = f", or for a closed loop set concurrency = {value}" if key == "max_concurrency" else ""
            raise ConfigError(f"{place.key(key)}: is for an open loop; set {rate} too{todo}")
    if load.arrival != "gamma" and load.burstiness != 1:
        raise ConfigError(
            f"{place.key('burstiness')}: shapes gamma arrivals, and these are {load.arrival}; "
            f"set {_named('arrival', place)} to gamma"
        )
    if load.probe_rate and not load.levels:
        raise ConfigError(
            f"{place.key('probe_rate')}: is for requests beside a load, and this is a race; set concurrency above 1, "
            "request_rate or requests"
        )
    if load.settle != "auto" and not load.levels:
        raise ConfigError(
            f"{place.key('settle')}: is for the turns of a load, and a race has none; set concurrency above 1, "
            "request_rate or requests"
        )


def _as_closed(changes: dict[str, Any], option: Option) -> dict[str, Any]:
    """An infinite rate is all requests at once, so at most as many as are allowed to be under way: a closed loop."""
    if "max_concurrency" not in changes:
        raise ConfigError(
            f"{option.key('request_rate')}: inf would send all requests at once; for a number of requests under way "
            "use --concurrency N"
        )
    return {key: value for key, value in changes.items() if key != "request_rate"}


def _named(key: str, place: Place | Option) -> str:
    """How a message calls another key: as an option of the command line, or as it stands in the file."""
    return str(place.key(key)) if isinstance(place, Option) else key


def _infinite(rate: Any) -> bool:
    return isinstance(rate, str) and rate.strip().lower() in ("inf", "+inf", "infinity", "float('inf')")


def _capped(changes: dict[str, Any], load: Load, option: Option) -> dict[str, Any]:
    """--max-concurrency: the cap of an open loop, or without a rate the levels of a closed one, as in vLLM."""
    place, value = option.key("max_concurrency"), changes["max_concurrency"]
    if "concurrency" in changes:
        raise ConfigError(
            f"{place}: --concurrency is given too; without --request-rate both say how many streams there are: leave "
            "one out"
        )
    if "request_rate" not in changes and not load.request_rate and "trace" not in changes and not load.trace:
        rest = {key: one for key, one in changes.items() if key != "max_concurrency"}
        try:
            levels = _streams(value, option)
        except ConfigError as error:
            raise ConfigError(str(error).replace("--concurrency", "--max-concurrency", 1)) from None
        return {**rest, "concurrency": levels}
    if not str(value).strip().isdecimal():
        raise ConfigError(f"{place}: expected one number with a request rate, got {show(value)}")
    return {**changes, "max_concurrency": int(value)}


def _streams(value: int | str | list[int], place: Place | Option, key: str = "concurrency") -> list[int]:
    place = place.key(key)
    listed = _listed(value, place) if isinstance(value, str) else value
    counts = listed if isinstance(listed, list) else [listed]
    if not counts:
        raise ConfigError(f"{place}: the list is empty; expected numbers of streams, such as [1, 4, 16]")
    for count in counts:
        if not 1 <= count <= MAX_STREAMS:
            raise ConfigError(f"{place}: expected 1 to {MAX_STREAMS} streams, got {show(count)}")
    return counts


def _listed(text: str, place: Place | Option) -> list[int]:
    """The numbers in "1,4,16", or in "1..48" the doubles 1, 2, 4, 8, 16, 32 and the end."""
    if (ends := _RANGE.fullmatch(text.strip())) is not None:
        first, last = int(ends[1]), int(ends[2])
        if first > last:
            raise ConfigError(f"{place}: {show(text)} goes down; expected the smaller number first, such as 1..64")
        counts = [first]
        while 0 < counts[-1] * 2 < last:
            counts.append(counts[-1] * 2)
        return counts if first == last else [*counts, last]
    parts = _parts(text)
    if not parts or not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts):
        raise ConfigError(f"{place}: expected numbers of streams, such as 4 or 1,4,16 or 1..64, got {show(text)}")
    return [int(part) for part in parts]


def _rates(value: float | str | Sequence[float], place: Place | Option) -> list[float]:
    place = place.key("request_rate")
    if isinstance(value, str):
        try:
            value = [float(part) for part in _parts(value) or ["-"]]
        except ValueError:
            raise ConfigError(f"{place}: expected requests/s, such as 2 or 0.5,1,2, got {show(value)}") from None
    rates = [float(rate) for rate in value] if isinstance(value, Sequence) else [float(value)]
    for rate in rates:
        if not math.isfinite(rate) or not 0.001 <= rate <= MAX_RATE:
            raise ConfigError(f"{place}: expected 0.001 to {MAX_RATE:.0f} requests/s, got {rate:g}")
    return rates


def _parts(text: str) -> list[str]:
    """The parts of a list such as "1,4, 16" or "[1, 4, 16]"."""
    text = text.strip().removeprefix("[").removesuffix("]")
    return [part.strip() for part in text.split(",")] if text.strip() else []


def _distinct(values: list[Any], place: Place | Option) -> list[Any]:
    """Return `values`. Raises ConfigError if one is twice among them, or there are too many."""
    if len(values) > MAX_LEVELS:
        raise ConfigError(f"{place}: {len(values)} levels; a run has at most {MAX_LEVELS}")
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ConfigError(f"{place}: {value:g} is listed twice; list each level once")
    return values
