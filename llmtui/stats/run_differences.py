"""Differences between two runs besides their samples: settings, machine, conditions, setup of a backend.

Each is reported as a check (llmtui.stats.checks), with its effect on the comparison. The first run is A, the second B.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from llmtui.model import NO_PROMPTS, Backend, Imported, Load, Machine, Prompts, RunConfig, Slo, Workers
from llmtui.model import Level as LoadLevel
from llmtui.stats.at_load import AtLoad
from llmtui.stats.checks import Check, Entry, Level, checks, severity
from llmtui.stats.checks.base import each, listed
from llmtui.stats.checks.conditions import load_words
from llmtui.stats.metrics import METRICS, MetricKey, needing
from llmtui.stats.same_work import different_settings
from llmtui.stats.sender_differences import sender_differences
from llmtui.stats.verdict import Contender
from llmtui.text import sanitize
from llmtui.text.format import plural

_NAME = 40
#: Codes of `setup_differences` that say that a backend was changed.
SETUP = frozenset(
    {"framework", "version", "protocol", "embedded", "stream", "launch", "options", "fresh-line", "start", "env"}
)
#: What to do so that a change of a backend can be told from one of the machine.
TO_TELL = "measure several runs of each side and add --runs 5, or race a second backend in both runs"
#: Settings of [run]: the level of a difference, and its effect on the comparison.
_SETTINGS: dict[str, tuple[Level, str]] = {
    "prompt": ("void", "the work before the first token differs, and perhaps the answers"),
    "max_tokens": ("void", "the latencies are for different amounts of work"),
    "full_length": ("warning", "answers may end early in one run and not in the other"),
    "temperature": ("warning", "sampling takes time and changes the answers"),
    "seed": ("note", "the answers may differ"),
    "order": ("warning", "what runs just before a backend affects caches and heat"),
    "fresh_prompt": ("warning", "a prefix cache may have answered in one run"),
    "warmup": ("note", "the first iterations may be colder in one run"),
    "cooldown_s": ("note", "the machine had more time to cool down in one run"),
}
_SPOILS = {"prompt": needing("start"), "max_tokens": needing("length")}


@dataclasses.dataclass(frozen=True)
class Side:
    """One run. `contenders` are its backends by name, each with its newest attempt at the level that counts."""

    run: str
    created_utc: str
    config: RunConfig
    machine: Machine
    contenders: Mapping[str, Contender]
    load: Load = dataclasses.field(default_factory=Load)
    slo: Slo = dataclasses.field(default_factory=Slo)
    prompts: Prompts = NO_PROMPTS
    imported: Imported | None = None
    workers: Workers = dataclasses.field(default_factory=Workers)

    @property
    def at(self) -> AtLoad | None:
        """The level of its load that counts, None for a race."""
        head = self.load.head_level
        return AtLoad(head, self.load, objectives=bool(self.slo.limits)) if head is not None else None


def general_differences(a: Side, b: Side) -> Iterator[Check]:
    """Differences of the runs as a whole."""
    strange = a.imported is not None or b.imported is not None
    if strange:
        yield _origins(a.imported, b.imported)
    else:
        yield from _settings(a.config, b.config)
    yield from load_differences(a.load, b.load)
    if not strange:
        yield from _prompts(a.prompts, b.prompts)
    if a.slo.limits != b.slo.limits:
        spoiled = [key for key, metric in METRICS.items() if metric.of_objectives]
        yield _check("objectives", "void", "different objectives", "give both the same [slo]", spoils=spoiled)
    if not strange:
        yield from sender_differences(a, b)
        yield from _machines(a.machine, b.machine)
        yield from _conditions(a, b)
    others = [n for n, contender in a.contenders.items() if contender.evidence.measured]
    now = [n for n, contender in b.contenders.items() if contender.evidence.measured]
    if set(others) != set(now):
        text = f"different sets of backends: A {_some(others)}; B {_some(now)}"
        yield _check("company", "note", f"{text}: other running servers affect memory, caches and heat")


def _origins(a: Imported | None, b: Imported | None) -> Check:
    """That another tool measured a run, of which settings, machine and conditions are unknown: they may differ."""
    origins = each({"A": a.title if a is not None else "llmtui", "B": b.title if b is not None else "llmtui"})
    unknown = [what for of in (a, b) if of is not None for what in of.unknown]
    text = f"measured by different tools: {origins}" if (a is None) != (b is None) else f"measured by: {origins}"
    missing = f"; unknown: {listed(dict.fromkeys(unknown))}; a difference may come from any of it" if unknown else ""
    return _check("imported", "warning", f"{text}{missing}", "measure both with llmtui to know")


def _prompts(a: Prompts, b: Prompts) -> Iterator[Check]:
    """Differences of the prompts: a file is the same one if its digest is, wherever it lies."""
    if a.work == b.work:
        return
    titles = each({"A": a.title or "the prompt of [run]", "B": b.title or "the prompt of [run]"})
    spoils = [*needing("start"), *needing("length")]
    text = f"different prompts: {titles}: the work before the first token differs, and perhaps the answers"
    yield _check("prompts", "void", text, "give both the same prompts", spoils=list(dict.fromkeys(spoils)))


def load_differences(a: Load, b: Load) -> Iterator[Check]:
    """Differences of the loads. Closed and open loops, and unequal levels that count, are never compared."""
    if a == b:
        return
    first, second = a.head_level, b.head_level
    titles = each({"A": _loop(first), "B": _loop(second)})
    one, two = (_kind(level) for level in (first, second))
    if one != two:
        text = f"different loads: {titles}: their figures are of different things"
        yield _check("load", "void", text, "give both the same level", spoils=list(METRICS))
        return
    if first and second and _arrivals(first) != _arrivals(second):
        arrivals = each({"A": _arrivals(first), "B": _arrivals(second)})
        yield _check("arrivals", "void", f"different arrivals of requests: {arrivals}", spoils=list(METRICS))
    lengths = {"A": _length(a), "B": _length(b)}
    if len(set(lengths.values())) > 1:
        text = f"turns of different length: {each(lengths)}: a queue has less time to build up in one run"
        yield _check("requests", "warning", text)
    if [level.title for level in a.levels] != [level.title for level in b.levels] and first and second:
        levels = {"A": _titles(a), "B": _titles(b)}
        yield _check("levels", "note", f"different levels before and after the one compared: {each(levels)}")


def _kind(level: LoadLevel | None) -> tuple[bool, int, float, str]:
    """What two levels must have in common to be compared."""
    if level is None:
        return False, 1, 0.0, ""
    return level.open, level.streams, 0.0 if level.trace else level.rate, level.title if level.trace else ""


def _loop(level: LoadLevel | None) -> str:
    if level is None:
        return "a race with one request at a time"
    if level.trace:
        return f"the {level.title}"
    return f"{'an open' if level.open else 'a closed'} loop at {level.title}"


def _arrivals(level: LoadLevel) -> str:
    if level.trace:
        return f"at most {level.cap} under way" if level.cap else "any number under way"
    if not level.open:
        return ""
    burstiness = f" with burstiness {level.burstiness:g}" if level.arrival == "gamma" else ""
    return f"{level.arrival}{burstiness}" + (f", {level.cap} under way at most" if level.cap else "")


def _length(load: Load) -> str:
    level = load.head_level
    if level is None:
        return "1 request"
    return (
        f"{load.duration_s:g} s" if load.duration_s and not load.trace else plural(load.requests_of(level), "request")
    )


def _titles(load: Load) -> str:
    if load.search:
        return f"search {load.search} up to {load.search_until}"
    return " ".join(level.title if level.trace else f"{level.rate or level.streams:g}" for level in load.levels)


def turns_difference(a: Side, b: Side, *, told: bool, relative: bool) -> Check:
    """That the runs did not take turns; a note if every comparison can tell a change from one of the machine.

    `told`: every comparison can. `relative`: by comparing backends with one another.
    """
    when = _apart(a.created_utc, b.created_utc)
    if told and relative:
        return _check("not-interleaved", "note", f"{when}: what changed for all backends alike is not counted")
    if told:
        return _check("not-interleaved", "note", f"{when}: the intervals contain how much such runs differ")
    return _check(
        "not-interleaved",
        "warning",
        f"{when}: a change of the machine in between looks like a change of a backend",
        TO_TELL,
    )


def launch_difference() -> Check:
    """That a difference between two runs may be one between two launches of the same server."""
    return _check(
        "one-launch",
        "warning",
        "each run launched the server once, and another launch may be a few percent faster or slower",
        "measure several runs of each side and add --runs 5",
        sides=True,
    )


def _check(
    code: str, level: Level, text: str, todo: str = "", *, sides: bool = False, spoils: Sequence[MetricKey] = ()
) -> Check:
    backends = ["A", "B"] if sides else []
    return Check(code=code, level=level, backends=backends, text=text, todo=todo, spoils=list(spoils))


def _settings(a: RunConfig, b: RunConfig) -> Iterator[Check]:
    for field in different_settings(a, b):
        was, now = getattr(a, field), getattr(b, field)
        level, meaning = _SETTINGS.get(field, ("warning", "this may explain a difference"))
        yield _check(
            field.removesuffix("_s").replace("_", "-"),
            level,
            f"different {field}: {each({'A': _setting(was), 'B': _setting(now)})}: {meaning}",
            spoils=_SPOILS.get(field, []),
        )


def _machines(a: Machine, b: Machine) -> Iterator[Check]:
    if hard := a.other_hardware(b):
        properties = "; ".join(
            f"{f.removesuffix('_bytes')} {each({'A': _property(a, f), 'B': _property(b, f)})}" for f in hard
        )
        yield _check("machine", "warning", f"different hardware: {properties}: it is part of any difference")
    if a.os != b.os:
        kernel = a.os.partition(" ")[0] == b.os.partition(" ")[0]
        text = f"different {'kernels' if kernel else 'operating systems'}: {each({'A': a.os, 'B': b.os})}"
        yield _check("os", "note" if kernel else "warning", text)
    if a.python != b.python:
        yield _check(
            "python", "note", f"llmtui ran on different Python versions: {each({'A': a.python, 'B': b.python})}"
        )
    if a.llmtui != b.llmtui:
        text = f"different versions of llmtui: {each({'A': a.llmtui, 'B': b.llmtui})}"
        yield _check(
            "llmtui", "warning", f"{text}: the measuring code differs too", "measure both with the same version"
        )
    if a.governor != b.governor:
        governors = each({"A": a.governor or "unknown", "B": b.governor or "unknown"})
        yield _check("governor", "warning", f"different CPU frequency governors: {governors}")


def _conditions(a: Side, b: Side) -> Iterator[Check]:
    """The load on the machines, as the checks of one race judge it."""
    findings = [c for side in (a, b) for c in checks((), side.config, side.machine)]
    busy = [c.level for c in findings if c.code == "busy-machine"]
    if busy:
        loads = {"A": load_words(a.machine), "B": load_words(b.machine)}
        worst = min(busy, key=severity)
        text = f"the machine was busy when a run started: {each(loads)}"
        yield _check("busy-machine", worst, text, "close other programs, then run again")
    if a.machine.governor == b.machine.governor:
        yield from itertools.islice((c for c in findings if c.code == "governor"), 1)


def setup_differences(one: Entry, two: Entry) -> Iterator[Check]:
    """Differences in the setup of a backend, as configured and as its server reports it."""
    was, now = one.backend, two.backend
    if was.measured_by or now.measured_by:
        return  # of an imported run the setup is unknown
    for code, what, first, second in (
        ("framework", "frameworks", was.framework, now.framework),
        ("version", "versions", one.state.version, two.state.version),
        ("protocol", "protocols", was.protocol, now.protocol),
        ("embedded", "embedded engines", was.embedded, now.embedded),
    ):
        if first and second and first != second:
            level: Level = "warning" if code == "protocol" else "note"
            yield _check(code, level, f"different {what}: {each({one.name: first, two.name: second})}", sides=True)
    if was.start != now.start:
        starts = {one.name: was.start_words, two.name: now.start_words}
        yield _check("start", "note", f"servers that were started in different ways: {each(starts)}", sides=True)
    if was.stream != now.stream:
        streams = {e.name: "streams" if e.backend.stream else "does not" for e in (one, two)}
        yield _check(
            "stream", "warning", f"only one of them streams: {each(streams)}", sides=True, spoils=needing("stream")
        )
    if was.launch != now.launch:
        first, second = _arguments(was.launch, now.launch)
        yield _check(
            "launch", "note", f"different launch commands: {each({one.name: first, two.name: second})}", sides=True
        )
    if was.env != now.env:
        first, second = _keys(was.env, now.env)
        yield _check("env", "note", f"different environments: {each({one.name: first, two.name: second})}", sides=True)
    first, second = _keys(_options(was), _options(now))
    if first != second:
        yield _check("options", "note", f"different options: {each({one.name: first, two.name: second})}", sides=True)
    stamps = {e.name: e.evidence.recent[-1].stamp or "" for e in (one, two) if e.evidence.recent}
    if len({stamp for stamp in stamps.values() if stamp}) > 1:
        words = {"kernel": "by the kernel", "user": "by llmtui", "other": "by another tool"}
        clocks = {name: words.get(stamp, "unknown") for name, stamp in stamps.items()}
        yield _check("stamp", "warning", f"arrivals were not stamped by the same clock: {each(clocks)}", sides=True)


def fresh_line_difference(one: Entry, two: Entry) -> Iterator[Check]:
    """Between two runs with a fresh line in each prompt: whether it was in messages of the same role."""
    roles = {e.name: f"in the {e.state.fresh_role or 'user'} message" for e in (one, two)}
    if len(set(roles.values())) > 1:
        text = f"the line that makes each prompt a new one was elsewhere: {each(roles)}"
        yield _check(
            "fresh-line",
            "void",
            f"{text}: prompts and answers differ",
            "measure both with the same version",
            sides=True,
            spoils=needing("start"),
        )


def _options(backend: Backend) -> dict[str, Any]:
    """All other configured options of requests or of an engine."""
    more = {"body": backend.body, "omit": backend.omit or None}
    return backend.options | {name: value for name, value in more.items() if value is not None}


def _arguments(was: Sequence[str], now: Sequence[str]) -> tuple[str, str]:
    """The words that only one of two commands has, each value with its flag."""

    def words(command: Sequence[str], start: int, end: int) -> Sequence[str]:
        value = 0 < start < end and command[start - 1].startswith("-") and not command[start].startswith("-")
        return command[start - 1 if value else start : end]

    first: list[str] = []
    second: list[str] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        if kind != "equal":
            first += words(was, a, b)
            second += words(now, c, d)
    return " ".join(first) or "none", " ".join(second) or "none"


def _keys(was: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str]:
    """The keys that only one of two tables has, or whose values differ."""
    missing = object()
    apart = [k for k in dict.fromkeys((*was, *now)) if was.get(k, missing) != now.get(k, missing)]
    first, second = (
        ", ".join(f"{k} = {json.dumps(table[k], ensure_ascii=False)}" for k in apart if k in table)
        for table in (was, now)
    )
    return first or "none", second or "none"


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and len(value) > _NAME:
        return f'"{sanitize(value, _NAME)}" ({len(value)} characters)'
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _property(machine: Machine, field: str) -> str:
    if field == "memory_bytes":
        return f"{machine.memory_bytes / 2**30:.1f} GiB"
    return str(getattr(machine, field) or ("none" if field == "gpu" else "unknown"))


def _some(names: Sequence[str]) -> str:
    return ", ".join(sanitize(name, 20) for name in names) or "none"


def _apart(a: str, b: str) -> str:
    """When B started, relative to A."""
    try:
        seconds = (datetime.fromisoformat(b) - datetime.fromisoformat(a)).total_seconds()
    except (ValueError, TypeError):
        return "the runs did not take turns"
    after, size = ("after" if seconds >= 0 else "before"), abs(seconds)
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if size >= length:
            count = round(size / length)
            return f"B started {plural(count, unit)} {after} A"
    return f"B started {size:.0f} s {after} A"
