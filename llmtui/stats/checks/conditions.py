"""Did they run under the same conditions? Device, host, threads, bridge, order, and load on the machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from llmtui.model import Machine
from llmtui.stats.checks.base import MOST_NAMES, Check, Entry, Race, alike, clusters, each, listed, of
from llmtui.stats.checks.busy import Effect, busy_effects
from llmtui.stats.compare import percent, rounds
from llmtui.stats.levels import level_of_attempt
from llmtui.text.format import percent_text, plural

#: The machine was busy if other programs used this share of its cores, ...
BUSY_SHARE = 0.5
#: ... or where that is unknown, if its load average, per core, was above this. It remembers the last minute, and so
#: an earlier run.
BUSY_LOAD = 0.75
#: CPU ticks are 10 ms long: the cores in use of shorter iterations are not measurable.
_CORES_FROM_S = 0.2
#: Addresses of this machine; a server that reports where it listens may name them all.
_LOCAL = frozenset({"", "127.0.0.1", "localhost", "::1", "0.0.0.0", "::"})
#: How the commands of servers get their number of threads, and the variables of those without such a flag.
_THREAD_FLAGS = frozenset({"-t", "--threads"})
_THREAD_VARIABLES = ("RAYON_NUM_THREADS", "OMP_NUM_THREADS")
#: Governors with a fixed frequency.
_STEADY = frozenset({"", "performance", "userspace"})


def device(race: Race) -> Iterator[Check]:
    """device: GPU against CPU."""
    devices = {e.name: name for e in race.sampled if (name := e.state.device)}
    sides = alike(devices)
    if len(sides) > 1:
        yield Check(
            code="device",
            level="warning",
            backends=list(devices),
            text=f"different devices: {each({name: kind.upper() for name, kind in devices.items()})}",
            todo="to compare the frameworks, run all of them on the same device",
            sides=sides,
        )


def host(race: Race) -> Iterator[Check]:
    """host: a backend on another machine, across a network."""
    places = {e.name: "" if _host(e) in _LOCAL else _host(e) for e in race.sampled}
    sides = alike(places)
    if len(sides) > 1:
        yield Check(
            code="host",
            level="warning",
            backends=list(places),
            text=f"different machines: {each({name: place or 'here' for name, place in places.items()})}",
            todo="run all of them on one machine, as hardware and network are part of these latencies",
            sides=sides,
        )


def _host(entry: Entry) -> str:
    try:
        return urlsplit(entry.state.url or entry.backend.url).hostname or ""
    except ValueError:
        return ""


def threads(race: Race) -> Iterator[Check]:
    """threads, threads-unknown, cores-used: different numbers of threads, or of busy cores."""
    counts = {e.name: count for e in race.sampled if (count := configured_threads(e))}
    if len(set(counts.values())) > 1:
        yield Check(
            code="threads",
            level="warning",
            backends=list(counts),
            text=f"different thread counts: {each(counts)}",
            todo="set `threads` in [run]; `launch`, `env` and `options` take {threads}",
            sides=alike({name: str(count) for name, count in counts.items()}),
        )
    used = {
        e.name: cores
        for e in race.sampled
        if (e.evidence.metrics["latency"].median or 0) >= _CORES_FROM_S
        and (cores := e.evidence.server_cpu.median) is not None
    }
    unknown = [
        e.name
        for e in race.sampled
        if e.name not in counts and e.name not in used and _host(e) in _LOCAL and e.state.device != "gpu"
    ]
    if counts and unknown:
        yield Check(
            code="threads-unknown",
            level="note",
            backends=unknown,
            text=f"the threads of {listed(unknown)} are unknown; others: {each(counts)}",
            todo="start them by `server` or `launch` with {threads}; for Ollama set num_thread in `options`",
        )
    sides = clusters(used, share=0.25, step=0.3)
    if len(sides) > 1:
        yield Check(
            code="cores-used",
            level="warning",
            backends=list(used),
            text=f"different numbers of busy cores (median): {each({n: f'{c:.1f}' for n, c in used.items()}, sides)}",
            todo="give every server the same number of threads; one that computes on a GPU uses few cores",
            sides=sides,
        )


def configured_threads(entry: Entry) -> int | None:
    """The threads of a server as llmtui or the config set them, None if neither did."""
    backend = entry.backend
    option = backend.options.get("num_thread")
    if isinstance(option, int) and option > 0:
        return option
    if entry.state.threads:
        return entry.state.threads
    words = [part for word in backend.launch for part in word.split("=", 1)]
    given = [value for flag, value in itertools.pairwise(words) if flag in _THREAD_FLAGS]
    given += [backend.env[name] for name in _THREAD_VARIABLES if name in backend.env]
    return next((int(value) for value in given if value.isdecimal() and int(value)), None)


def bridge(race: Race) -> Iterator[Check]:
    """bridge: a part of llmtui is between the framework and the clock."""
    bridged = [e.name for e in race.sampled if e.backend.bridged]
    if bridged:
        yield Check(
            code="bridge",
            level="warning" if len(bridged) < len(race.sampled) else "note",
            backends=bridged,
            text=f"a Python bridge is in front of {listed(bridged)}, and its time is part of the figures",
            todo="measure the framework's own server, if it has one: set `server`, `launch` or `url` in [[backend]]",
        )


def order(race: Race) -> Iterator[Check]:
    """sequential-order, not-interleaved: a drift of the machine looks like a difference."""
    if len(race.sampled) < 2:
        return
    names = [e.name for e in race.sampled]
    if race.config.order == "sequential":
        yield Check(
            code="sequential-order",
            level="warning",
            backends=names,
            text=f"{_all(names)} ran one after the other: a drift of the machine looks like a difference",
            todo='set order = "shuffled" in [run]',
        )
        return
    alone = [
        (one, two)
        for one, two in itertools.combinations(race.sampled, 2)
        if _common(one, two) and not rounds(one.evidence.recent, two.evidence.recent)
    ]
    if alone:
        attempts = {e.name: f"attempt {e.state.attempt}" for pair in alone for e in pair}
        yield Check(
            code="not-interleaved",
            level="warning",
            backends=list(attempts),
            text=f"the attempts did not take turns: {each(attempts)}; a drift of the machine looks like a difference",
            todo="rerun all of them together (R)",
        )


def _all(names: list[str]) -> str:
    return listed(names) if len(names) <= MOST_NAMES else f"all {len(names)} backends"


def _common(one: Entry, two: Entry) -> bool:
    numbers = {i.iteration for i in one.evidence.recent}
    return any(i.iteration in numbers for i in two.evidence.recent)


def reruns(race: Race) -> Iterator[Check]:
    """reruns: there was an earlier attempt, and the last one counts."""
    attempts = {e.name: f"attempt {e.state.attempt}" for e in race.sampled if e.state.attempt > 1}
    if attempts and len(race.sampled) > 1:
        newest = max(e.state.attempt for e in race.sampled)
        yield Check(
            code="reruns",
            level="note",
            backends=list(attempts),
            text=f"measured before: {each(attempts)}; attempt {newest}, judged at {percent(level_of_attempt(newest))}, "
            "as each rerun is one more chance of a difference that is none",
            todo="decide which attempt counts before you see its result",
        )


def resumed(race: Race) -> Iterator[Check]:
    """resumed: an attempt in several parts, each with its own servers."""
    parts = {e.name: len(e.evidence.parts) for e in race.sampled if len(e.evidence.parts) > 1}
    if parts:
        counts = each({name: f"in {count} parts" for name, count in parts.items()})
        yield Check(
            code="resumed",
            level="note",
            backends=list(parts),
            text=f"the run was resumed, or a server restarted in between: {counts}",
            todo="rerun (R) if the figures before and after differ",
        )


def machine(race: Race) -> Iterator[Check]:
    """busy-machine, governor: the machine when the run started.

    What the machine did before the run is a guess: it matters only if the work of other programs was not measured.
    """
    measured = any(e.evidence.foreign_known for e in race.sampled)
    if _was_busy(race.machine) and not measured:
        yield Check(
            code="busy-machine",
            level="warning",
            backends=[],
            text=f"the machine was busy when the run started: {load_words(race.machine)}",
            todo="close other programs, then run again",
        )
    moving = sorted({word for part in race.machine.governor.split(",") if (word := part.strip()) not in _STEADY})
    if moving:
        yield Check(
            code="governor",
            level="note",
            backends=[],
            text=f"the CPU frequency changes with the load (governor {listed(moving)})",
            todo="run cpupower frequency-set -g performance",
        )


def _was_busy(machine: Machine) -> bool:
    if machine.foreign_cpu is not None:
        return machine.cores > 0 and machine.foreign_cpu > BUSY_SHARE * machine.cores
    return machine.load_1m is not None and machine.cores > 0 and machine.load_1m > BUSY_LOAD * machine.cores


def load_words(machine: Machine) -> str:
    """ "other programs used 6.2 of 8 cores", or where that is unknown "load 7 on 8 cores", or "load unknown"."""
    cores = plural(machine.cores, "core")
    if machine.foreign_cpu is not None:
        return f"other programs used {machine.foreign_cpu:.1f} of {cores}"
    return "load unknown" if machine.load_1m is None else f"load {machine.load_1m:g} on {cores}"


def disturbances(race: Race) -> Iterator[Check]:
    """disturbed, steal, swap, throttled: the machine during the iterations."""
    done = {e.name: e.evidence for e in race.sampled}
    swapped = {n: f"{e.swapped} pages in {of(e.swapping, e.good, race.unit)}" for n, e in done.items() if e.swapping}
    throttled = {n: of(e.throttling, e.good, race.unit) for n, e in done.items() if e.throttling}
    effects = busy_effects(race)
    # Time that the hypervisor took is part of what others used: one of the two explains an iteration.
    mostly = {n for n in effects if 2 * done[n].stolen > done[n].disturbed_or_stolen}
    stolen = {n: of(done[n].stolen, done[n].good, race.unit) for n in effects if n in mostly}
    disturbed = {n: of(done[n].disturbed, done[n].good, race.unit) for n in effects if n not in mostly}
    if disturbed:
        most = max(done[n].foreign_most for n in disturbed)
        changed = _changed(effects, disturbed, race.unit)
        yield Check(
            code="disturbed",
            level="warning",
            backends=list(disturbed),
            text=f"other programs were busy: {each(disturbed)}, {most:.1f} cores at most{changed}",
            todo="close other programs, then rerun (R)",
        )
    if stolen:
        most = max(done[n].steal_most for n in stolen)
        changed = _changed(effects, stolen, race.unit)
        yield Check(
            code="steal",
            level="warning",
            backends=list(stolen),
            text=f"the hypervisor took CPU away: {each(stolen)}, {most:.1f} cores at most{changed}",
            todo="measure on a machine or instance with dedicated cores",
        )
    if swapped:
        yield Check(
            code="swap",
            level="warning",
            backends=list(swapped),
            text=f"the machine swapped: {each(swapped)}",
            todo="free memory, or measure fewer servers in one run",
        )
    if throttled:
        yield Check(
            code="throttled",
            level="warning",
            backends=list(throttled),
            text=f"heat throttled the processor: {each(throttled)}",
            todo="set cooldown_s in [run], or cool the machine better",
        )


def _changed(effects: Mapping[str, Effect], names: Iterable[str], unit: str) -> str:
    """The largest effect, in words; of a bound also what the samples show, which may be far less."""
    most = max((effects[name] for name in names), key=lambda effect: abs(effect.share))
    words = f"; that may change a median by up to {percent_text(abs(most.share))}"
    if not most.bound:
        return words
    return (
        f"{words}, an upper bound by their share of the cores, as too few {unit}s were quiet to compare with: the "
        f"middle half of the latencies spans {percent_text(most.spans)}, but a steady load would not widen it"
    )
