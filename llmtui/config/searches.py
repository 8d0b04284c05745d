"""`[load] search` and its option: checks. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import get_args

import msgspec

from llmtui.config.errors import ConfigError, show
from llmtui.config.places import Option, Place
from llmtui.model import Load, RunConfig, Search, Slo
from llmtui.model.load import SEARCH_UNTIL

#: The fewest rounds of a probe: the spread of fewer turns is not known.
LEAST_ROUNDS = 3
#: The least and the largest upper end of a search, in streams.
LEAST_END = 2
MOST_END = 10_000


def check_word(search: str, place: Place | Option) -> None:
    """Raise ConfigError unless `search` is a search or ""; `place` is that of [load]."""
    if search not in get_args(Search):
        raise ConfigError(f"{place.key('search')}: expected 'knee' or 'slo', got {show(search)}")


def searching(load: Load, streams: Sequence[int], place: Place | Option, given: Collection[str] = ()) -> Load:
    """Return the load of a search from 1 stream to the largest of `streams`, by default `SEARCH_UNTIL`.

    Raises ConfigError. `given` are the keys that were written.
    """
    if load.request_rate:
        raise ConfigError(
            f"{place.key('search')}: a search is for a closed loop, as a rate above the capacity measures the length "
            'of the queue; leave the request rate out, and give its upper end as concurrency = "1..64"'
        )
    last = max(streams)
    if last < LEAST_END and "concurrency" not in given:
        last = SEARCH_UNTIL
    if not LEAST_END <= last <= MOST_END:
        raise ConfigError(
            f"{place.key('concurrency')}: a search needs an upper end of {LEAST_END} to {MOST_END} streams, such as "
            f"1..64, got {show(last)}"
        )
    return msgspec.structs.replace(load, concurrency=[1, last])


def check_search(run: RunConfig, load: Load, slo: Slo, root: Place) -> None:
    """Raise ConfigError if a search cannot be carried out with these settings; `root` is the place of the config."""
    if not load.search:
        return
    of_run = root.section("run")
    if load.search == "slo" and not slo.limits:
        raise ConfigError(
            f'{root.section("load").key("search")}: "slo" looks for the most streams that keep the objectives, and '
            "none is set; set ttft_s, tpot_s or latency_s in [slo]"
        )
    if load.search == "slo" and slo.share >= 1:
        raise ConfigError(
            f"{root.section('slo').key('share')}: no number of requests can show that all of them keep the objectives; "
            "for a search set share = 0.99 or less"
        )
    if run.order == "sequential":
        raise ConfigError(
            f"{of_run.key('order')}: in a search the backends take turns at each level; use shuffled or round-robin"
        )
    if run.launches > 1:
        raise ConfigError(
            f"{of_run.key('launches')}: a search launches each server once; set launches = 1, or list the levels as "
            "concurrency = [1, 2, 4, 8]"
        )
    if run.iterations < LEAST_ROUNDS:
        raise ConfigError(
            f"{of_run.key('iterations')}: a probe of a search needs at least {LEAST_ROUNDS} rounds, better 6 or more, "
            f"got {run.iterations}"
        )
