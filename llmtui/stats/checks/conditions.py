"""Did they run under the same conditions? Device, threads, place, bridge, order, and what the machine did meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from urllib.parse import urlsplit

from llmtui.format import plural
from llmtui.stats.checks.base import Check, Entry, Level, Race, alike, clusters, each, listed, of
from llmtui.stats.compare import rounds

#: From this share of a backend's iterations on, a disturbance is no accident.
OFTEN = 0.2
#: Cores in use are told from CPU ticks of 10 ms: shorter iterations tell nothing.
_CORES_FROM_S = 0.2
#: Every address of this machine is asked here: a server that says where it listens may name them all.
_LOCAL = frozenset({"", "127.0.0.1", "localhost", "::1", "0.0.0.0", "::"})
#: Governors that hold the frequency still.
_STEADY = frozenset({"", "performance", "userspace"})


def device(race: Race) -> Iterator[Check]:
    """device: GPU against CPU."""
    found = {e.name: where for e in race.sampled if (where := _device(race, e))}
    sides = alike(found)
    if len(sides) > 1:
        yield Check(
            code="device",
            level="warning",
            backends=list(found),
            text=f"different devices: {each({name: where.upper() for name, where in found.items()})}",
            todo="run all of them on the same device, if it is the frameworks that are to be compared",
            sides=sides,
        )


def _device(race: Race, entry: Entry) -> str:
    local = _host(entry) in _LOCAL
    # Only of Linux is it known that it has no GPU where none is named.
    none = race.machine.os.startswith("Linux") and not race.machine.gpu
    return entry.state.device or ("cpu" if local and none else "")


def host(race: Race) -> Iterator[Check]:
    """host: another machine, with a network in between."""
    places = {e.name: "" if _host(e) in _LOCAL else _host(e) for e in race.sampled}
    sides = alike(places)
    if len(sides) > 1:
        yield Check(
            code="host",
            level="warning",
            backends=list(places),
            text=f"different machines: {each({name: place or 'here' for name, place in places.items()})}",
            todo="run all of them on one machine: hardware and the way there are part of these latencies",
            sides=sides,
        )


def _host(entry: Entry) -> str:
    try:
        return urlsplit(entry.state.url or entry.backend.url).hostname or ""
    except ValueError:
        return ""


def threads(race: Race) -> Iterator[Check]:
    """threads, cores-used: not as many at work."""
    known = {e.name: e.state.threads for e in race.sampled if e.state.threads}
    if len(set(known.values())) > 1:
        yield Check(
            code="threads",
            level="warning",
            backends=list(known),
            text=f"different thread counts: {each(known)}",
            todo="set `threads` in [run]; a `launch` command takes {threads}",
            sides=alike({name: str(count) for name, count in known.items()}),
        )
    used = {
        e.name: cores
        for e in race.sampled
        if (e.evidence.metrics["latency"].median or 0) >= _CORES_FROM_S
        and (cores := e.evidence.server_cpu.median) is not None
    }
    sides = clusters(used, share=0.25, step=0.3)
    if len(sides) > 1:
        yield Check(
            code="cores-used",
            level="warning",
            backends=list(used),
            text=f"different numbers of cores at work (median): {each({n: f'{c:.1f}' for n, c in used.items()})}",
            todo="give every server the same number of threads; one that computes elsewhere uses few",
            sides=sides,
        )


def bridge(race: Race) -> Iterator[Check]:
    """bridge: something of llmtui's own stands between the framework and the clock."""
    bridged = [e.name for e in race.sampled if e.backend.bridged]
    if bridged:
        yield Check(
            code="bridge",
            level="warning" if len(bridged) < len(race.sampled) else "note",
            backends=bridged,
            text=f"a Python bridge stands in front of {listed(bridged)}, and its time is in the figures",
            todo="measure the framework's own server, if it has one: `launch` or `url` in [[backend]]",
        )


def order(race: Race) -> Iterator[Check]:
    """sequential-order, not-interleaved: drift of the machine cannot be told from a difference."""
    if len(race.sampled) < 2:
        return
    names = [e.name for e in race.sampled]
    if race.config.order == "sequential":
        yield Check(
            code="sequential-order",
            level="warning",
            backends=names,
            text=f"{listed(names)} ran one after the other: drift of the machine cannot be told from a difference",
            todo='set order = "shuffled" in [run]',
        )
        return
    lone = [
        (one, two)
        for one, two in itertools.combinations(race.sampled, 2)
        if _common(one, two) and not rounds(one.evidence.recent, two.evidence.recent)
    ]
    if lone:
        apart = list(dict.fromkeys(e.name for pair in lone for e in pair))
        attempts = {e.name: f"attempt {e.state.attempt}" for pair in lone for e in pair}
        yield Check(
            code="not-interleaved",
            level="warning",
            backends=apart,
            text=f"not made in turns: {each(attempts)}; drift of the machine cannot be told from a difference",
            todo="rerun all of them together (R)",
        )


def _common(one: Entry, two: Entry) -> bool:
    numbers = {i.iteration for i in one.evidence.recent}
    return any(i.iteration in numbers for i in two.evidence.recent)


def reruns(race: Race) -> Iterator[Check]:
    """reruns: an attempt was followed by another, and it is the last that counts."""
    attempts = {e.name: f"attempt {e.state.attempt}" for e in race.sampled if e.state.attempt > 1}
    if attempts and len(race.sampled) > 1:
        yield Check(
            code="reruns",
            level="note",
            backends=list(attempts),
            text=f"measured before: {each(attempts)}; whoever reruns until he likes what he sees is wrong more often "
            "than an interval says",
            todo="keep to the attempt that you meant to be the last before you saw it",
        )


def resumed(race: Race) -> Iterator[Check]:
    """resumed: an attempt in several parts, each with servers of its own."""
    parts = {e.name: len(e.evidence.parts) for e in race.sampled if len(e.evidence.parts) > 1}
    if parts:
        told = each({name: f"in {count} parts" for name, count in parts.items()})
        yield Check(
            code="resumed",
            level="note",
            backends=list(parts),
            text=f"the run was taken up again or a server started again in between: {told}",
            todo="rerun (R) where the figures before and after differ",
        )


def machine(race: Race) -> Iterator[Check]:
    """busy-machine, governor: as it stood when the run began."""
    load, cores = race.machine.load_1m, race.machine.cores
    if load is not None and cores and load > max(0.5, cores / 4):
        yield Check(
            code="busy-machine",
            level="warning" if load > 0.75 * cores else "note",
            backends=[],
            text=f"the machine was busy when the run began: load {load:g} on {plural(cores, 'core')}",
            todo="run again when nothing else is going on",
        )
    moving = sorted({word for part in race.machine.governor.split(",") if (word := part.strip()) not in _STEADY})
    if moving:
        yield Check(
            code="governor",
            level="note",
            backends=[],
            text=f"the cores change their frequency as they see fit (governor {listed(moving)})",
            todo="cpupower frequency-set -g performance",
        )


def disturbances(race: Race) -> Iterator[Check]:
    """disturbed, steal, swap, throttled: what the machine did during the iterations."""
    done = {e.name: e.evidence for e in race.sampled}
    disturbed = {n: of(e.disturbed, e.good) for n, e in done.items() if e.disturbed}
    stolen = {n: of(e.stolen, e.good) for n, e in done.items() if e.stolen}
    swapped = {n: f"{e.swapped} pages in {of(e.swapping, e.good)}" for n, e in done.items() if e.swapping}
    heated = {n: of(e.throttling, e.good) for n, e in done.items() if e.throttling}

    def level(often: bool) -> Level:
        return "warning" if often else "note"

    if disturbed:
        most = max(e.foreign_most for e in done.values())
        yield Check(
            code="disturbed",
            level=level(any(e.disturbed > OFTEN * e.good for e in done.values())),
            backends=list(disturbed),
            text=f"other work took CPU: {each(disturbed)}, {most:.1f} cores at most",
            todo="end what else runs, then rerun (R)",
        )
    if stolen:
        most = max(e.steal_most for e in done.values())
        yield Check(
            code="steal",
            level=level(any(e.stolen > OFTEN * e.good for e in done.values())),
            backends=list(stolen),
            text=f"the hypervisor took CPU away: {each(stolen)}, {most:.1f} cores at most",
            todo="measure on a machine, or an instance, that shares its cores with nobody",
        )
    if swapped:
        yield Check(
            code="swap",
            level="warning",
            backends=list(swapped),
            text=f"the machine swapped: {each(swapped)}",
            todo="free memory, or race fewer servers at once",
        )
    if heated:
        yield Check(
            code="throttled",
            level="warning",
            backends=list(heated),
            text=f"heat slowed the processor down: {each(heated)}",
            todo="set cooldown_s in [run], or cool the machine",
        )
