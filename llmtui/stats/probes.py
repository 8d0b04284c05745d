"""The turns of a search as probes: one for each level that a backend measured."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from llmtui.model import Level, Load, Struct, Turn

#: A probe with fewer good turns says nothing.
LEAST_TURNS = 2
#: The share of runs in which a search errs by chance, over all its probes.
ERRORS = 0.05


class Probe(Struct, frozen=True):
    """The measured turns of a backend at a level of `streams`.

    `speeds` has the logarithm of the output tokens/s of each good turn, by round. `shares` are the shares of requests
    that kept the objectives, turn by turn, those of turns that failed included; `requests` is how many requests were
    judged. `broken`: the server failed at this level, so that its turns were given up.
    """

    streams: int
    speeds: dict[int, float]
    shares: list[float] = []
    requests: int = 0
    broken: bool = False

    @property
    def measured(self) -> bool:
        """Whether its throughput is known."""
        return not self.broken and len(self.speeds) >= LEAST_TURNS


def probes_of(
    turns: Iterable[Turn],
    levels: Iterable[Level],
    rounds: int,
    *,
    over: bool,
    left_out: Collection[int] = (),
) -> list[Probe]:
    """Return the probes that have ended, in ascending order, from the turns of one attempt of a backend.

    A probe has `rounds` turns. `over`: no more turns follow for the newest one. `left_out` are the numbers of levels
    that the engine has given up.
    """
    of_level: dict[int, list[Turn]] = {}
    newest = 0
    for turn in turns:
        if turn.state != "running":
            of_level.setdefault(turn.level, []).append(turn)
            newest = turn.level
    probes = []
    for level in sorted(levels, key=lambda level: level.streams):
        given_up = level.number in left_out
        under_way = level.number == newest and not over and not given_up
        if level.number in of_level or given_up:
            of = of_level.get(level.number, [])
            if (probe := _probe(level, of, rounds, under_way=under_way, given_up=given_up)) is not None:
                probes.append(probe)
    return probes


def error_rate(load: Load) -> float:
    """The share of runs in which one look at a probe may err: a search looks once at each (Bonferroni)."""
    return ERRORS / load.most_levels


def speeds_of(turns: Iterable[Turn]) -> dict[int, float]:
    """Return the logarithms of the output tokens/s of the good turns among these, by round."""
    speeds: dict[int, float] = {}
    for turn in turns:
        speed = turn.output_tokens_per_s
        if (
            turn.phase == "measured"
            and turn.state == "whole"
            and turn.error is None
            and speed is not None
            and speed > 0
        ):
            speeds[turn.round] = math.log(speed)
    return speeds


def _probe(level: Level, turns: list[Turn], rounds: int, *, under_way: bool, given_up: bool) -> Probe | None:
    """The probe of these turns at one level, None as long as it is under way."""
    measured = [turn for turn in turns if turn.phase == "measured"]
    speeds = speeds_of(measured)
    failed = {turn.round: turn for turn in measured if _has_failed(turn) and turn.round not in speeds}
    ended = len(speeds) + len(failed)
    if ended < rounds and under_way:
        return None
    good = {turn.round: turn for turn in measured if _is_good(turn)}
    shares, requests = _shares({**failed, **good})
    few = len(speeds) < max(LEAST_TURNS, len(failed))
    # Turns are given up when the server has ended, which the turn in which it did need not show. It may be the warm-up.
    # One round may be missing for other reasons: llmtui spoiled it twice.
    broken = given_up or few or ended < rounds - 1 or (bool(failed) and ended < rounds)
    return Probe(streams=level.streams, speeds=speeds, shares=shares, requests=requests, broken=broken)


def _is_good(turn: Turn) -> bool:
    return turn.state == "whole" and turn.error is None


def _has_failed(turn: Turn) -> bool:
    """Whether the server failed in it, and not llmtui or its user."""
    return turn.error is not None and turn.error.kind != "stopped"


def _shares(turns: Mapping[int, Turn]) -> tuple[list[float], int]:
    """The shares of requests that kept the objectives, by round, and how many were judged."""
    shares, requests = [], 0
    for _, turn in sorted(turns.items()):
        share = turn.attainment
        if share is None and not _has_failed(turn):
            continue
        shares.append(share or 0.0)
        requests += turn.kept + turn.missed
    return shares, requests
