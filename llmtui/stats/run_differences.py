"""What two runs can differ in besides their samples: settings, machine, conditions, and how a backend was set up.

Each is told as a check of a race (llmtui.stats.checks), with what it means for a comparison. The first run is A, the
second is B.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from llmtui.format import plural
from llmtui.model import Backend, Machine, RunConfig
from llmtui.stats.checks import Check, Entry, Level, checks, severity
from llmtui.stats.checks.base import each
from llmtui.stats.metrics import MetricKey, needing
from llmtui.stats.verdict import Contender
from llmtui.text import sanitize

_NAME = 40
#: Memory closer than this is the same memory, of which a kernel keeps a little more.
_MEMORY_SHARE = 0.05
#: Settings that are no part of the work: how many iterations, and when to give up on one.
_NO_WORK = frozenset({"iterations", "model", "restarts", "on_disconnect"})
#: Settings of [run]: how much it bears on the comparison when they differ, and why.
_SETTINGS: dict[str, tuple[Level, str]] = {
    "prompt": ("void", "other work before the first token, and perhaps after it"),
    "max_tokens": ("void", "the latencies are of different amounts of work"),
    "full_length": ("warning", "answers may end by themselves in one run and not in the other"),
    "temperature": ("warning", "sampling takes its time, and the answers are others"),
    "seed": ("note", "the answers may be others"),
    "order": ("warning", "what the other backends did just before bears on caches and heat"),
    "fresh_prompt": ("warning", "in one run a prefix cache may have answered for the model"),
    "warmup": ("note", "the first iterations of one run may be colder"),
    "cooldown_s": ("note", "the machine had more rest in one run"),
}
_SPOILS = {"prompt": needing("start"), "max_tokens": needing("length")}


@dataclasses.dataclass(frozen=True)
class Side:
    """One run: `contenders` are its backends, by name, each with its newest attempt."""

    run: str
    created_utc: str
    config: RunConfig
    machine: Machine
    contenders: Mapping[str, Contender]


def between(a: Side, b: Side) -> Iterator[Check]:
    """What the runs as a whole do not have in common; always that they did not take turns."""
    yield from _settings(a.config, b.config)
    yield from _machines(a.machine, b.machine)
    yield from _conditions(a, b)
    others = [n for n, contender in a.contenders.items() if contender.evidence.measured]
    now = [n for n, contender in b.contenders.items() if contender.evidence.measured]
    if set(others) != set(now):
        text = f"not the same company: in A {_some(others)}; in B {_some(now)}"
        yield _check("company", "note", f"{text}: who else is up bears on memory, caches and heat")
    yield _check(
        "not-interleaved",
        "warning",
        f"{_apart(a.created_utc, b.created_utc)}: the intervals are for the noise within each run, and what changed on "
        "the machine in between cannot be told from a difference",
        "for more certainty run both side by side in one config: there they take turns",
    )


def _check(
    code: str, level: Level, text: str, todo: str = "", *, sides: bool = False, spoils: Sequence[MetricKey] = ()
) -> Check:
    backends = ["A", "B"] if sides else []
    return Check(code=code, level=level, backends=backends, text=text, todo=todo, spoils=list(spoils))


def _settings(a: RunConfig, b: RunConfig) -> Iterator[Check]:
    for field in RunConfig.__struct_fields__:
        was, now = getattr(a, field), getattr(b, field)
        if was == now or field in _NO_WORK or field.endswith("timeout_s"):
            continue
        level, meaning = _SETTINGS.get(field, ("warning", "this may explain a difference"))
        yield _check(
            field.removesuffix("_s").replace("_", "-"),
            level,
            f"different {field}: {each({'A': _told(was), 'B': _told(now)})}: {meaning}",
            spoils=_SPOILS.get(field, []),
        )


def _machines(a: Machine, b: Machine) -> Iterator[Check]:
    hard = [f for f in ("cpu", "cores", "gpu") if getattr(a, f) != getattr(b, f)]
    memory = sorted((a.memory_bytes, b.memory_bytes))
    if memory[1] > memory[0] * (1 + _MEMORY_SHARE):
        hard.append("memory_bytes")
    if hard:
        told = "; ".join(
            f"{f.removesuffix('_bytes')} {each({'A': _property(a, f), 'B': _property(b, f)})}" for f in hard
        )
        yield _check("machine", "warning", f"not the same machine: {told}: the difference is also that of the machines")
    if a.os != b.os:
        kernel = a.os.partition(" ")[0] == b.os.partition(" ")[0]
        text = f"another {'kernel' if kernel else 'operating system'}: {each({'A': a.os, 'B': b.os})}"
        yield _check("os", "note" if kernel else "warning", text)
    if a.python != b.python:
        yield _check("python", "note", f"llmtui ran on another Python: {each({'A': a.python, 'B': b.python})}")
    if a.llmtui != b.llmtui:
        text = f"different versions of llmtui: {each({'A': a.llmtui, 'B': b.llmtui})}"
        yield _check(
            "llmtui", "warning", f"{text}: what measures has changed too", "measure both with the same version"
        )
    if a.governor != b.governor:
        governors = each({"A": a.governor or "unknown", "B": b.governor or "unknown"})
        yield _check("governor", "warning", f"the cores' frequency is chosen otherwise (governor): {governors}")


def _conditions(a: Side, b: Side) -> Iterator[Check]:
    """How busy the machines were, by what the checks of one race say of each."""
    said = [c for side in (a, b) for c in checks((), side.config, side.machine)]
    busy = [c.level for c in said if c.code == "busy-machine"]
    if busy:
        loads = {"A": _load(a.machine), "B": _load(b.machine)}
        worst = min(busy, key=severity)
        text = f"the machine was busy when a run began: {each(loads)}"
        yield _check("busy-machine", worst, text, "run again when nothing else is going on")
    if a.machine.governor == b.machine.governor:
        yield from itertools.islice((c for c in said if c.code == "governor"), 1)


def _load(machine: Machine) -> str:
    if machine.load_1m is None:
        return "load unknown"
    return f"load {machine.load_1m:g} on {plural(machine.cores, 'core')}"


def set_up(one: Entry, two: Entry) -> Iterator[Check]:
    """What a backend was started with and said of itself, where that is known of both."""
    was, now = one.backend, two.backend
    for code, what, first, second in (
        ("framework", "framework", was.framework, now.framework),
        ("version", "version", one.state.version, two.state.version),
        ("protocol", "protocol", was.protocol, now.protocol),
        ("embedded", "embedded engine", was.embedded, now.embedded),
    ):
        if first and second and first != second:
            level: Level = "warning" if code == "protocol" else "note"
            yield _check(code, level, f"another {what}: {each({one.name: first, two.name: second})}", sides=True)
    if was.stream != now.stream:
        told = {e.name: "streams" if e.backend.stream else "does not" for e in (one, two)}
        yield _check("stream", "warning", f"not both stream: {each(told)}", sides=True, spoils=needing("stream"))
    if was.launch != now.launch:
        first, second = _arguments(was.launch, now.launch)
        yield _check("launch", "note", f"started otherwise: {each({one.name: first, two.name: second})}", sides=True)
    first, second = _keys(_asked(was), _asked(now))
    if first != second:
        yield _check("options", "note", f"other options: {each({one.name: first, two.name: second})}", sides=True)
    stamps = {e.name: e.evidence.recent[-1].stamp or "" for e in (one, two) if e.evidence.recent}
    if len({stamp for stamp in stamps.values() if stamp}) > 1:
        words = {"kernel": "by the kernel", "user": "by llmtui"}
        told = {name: words.get(stamp, "unknown") for name, stamp in stamps.items()}
        yield _check("stamp", "warning", f"arrivals were not noted by the same clock: {each(told)}", sides=True)


def _asked(backend: Backend) -> dict[str, Any]:
    """Whatever else of a request or an engine was configured."""
    return {**backend.options, **({"body": backend.body} if backend.body is not None else {})}


def _arguments(was: Sequence[str], now: Sequence[str]) -> tuple[str, str]:
    """The words that only one of two commands has, a value with its flag."""

    def words(command: Sequence[str], start: int, end: int) -> Sequence[str]:
        value = 0 < start < end and command[start - 1].startswith("-") and not command[start].startswith("-")
        return command[start - 1 if value else start : end]

    first: list[str] = []
    second: list[str] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        if kind != "equal":
            first += words(was, a, b)
            second += words(now, c, d)
    return " ".join(first) or "without", " ".join(second) or "without"


def _keys(was: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str]:
    """The keys that two tables do not have in common, or have with other values."""
    missing = object()
    apart = [k for k in dict.fromkeys((*was, *now)) if was.get(k, missing) != now.get(k, missing)]
    first, second = (
        ", ".join(f"{k} = {json.dumps(table[k], ensure_ascii=False)}" for k in apart if k in table)
        for table in (was, now)
    )
    return first or "without", second or "without"


def _told(value: object) -> str:
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
    """How the two runs lie in time."""
    try:
        seconds = (datetime.fromisoformat(b) - datetime.fromisoformat(a)).total_seconds()
    except (ValueError, TypeError):
        return "not made in turns"
    after, size = ("after" if seconds >= 0 else "before"), abs(seconds)
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if size >= length:
            count = round(size / length)
            return f"B was begun {plural(count, unit)} {after} A"
    return f"B was begun {size:.0f} s {after} A"
