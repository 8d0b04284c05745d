"""Did all of the answer arrive, and as it was written? Tokens that were never sent, answers that were held back."""

from __future__ import annotations

from collections.abc import Iterator

from llmtui.stats.checks.base import Check, Race, each, number, of
from llmtui.stats.metrics import METRICS, MetricKey, needing

#: Pieces of this many events were held back on the way: an engine sends the tokens of one step, which are fewer.
_HELD_BACK = 8
_STREAM_IT = "turn off buffering in the server and in any proxy before it (nginx: proxy_buffering off)"
#: What an answer in one piece does not have.
_NEEDS_ARRIVALS: list[MetricKey] = [key for key in METRICS if key != "latency"]


def hidden_tokens(race: Race) -> Iterator[Check]:
    """hidden-tokens: a server counts tokens that it does not send, such as silent thinking."""
    hidden = {e.name: number(median) for e in race.sampled if (median := e.evidence.hidden.median) is not None}
    if not hidden:
        return
    mostly = [e.name for e in race.sampled if e.evidence.mostly_hidden]
    others = [e.name for e in race.sampled if e.name not in mostly]
    unlike = bool(mostly and others)
    yield Check(
        code="hidden-tokens",
        level="void" if unlike else "warning",
        backends=[*others, *mostly] if unlike else list(hidden),
        text=f"the server counts tokens that it does not send, such as silent thinking: {each(hidden)} (median); "
        "latency and TTFT include them, and tokens/s is left out",
        todo="turn thinking off, or have the server send it, with `options` in [[backend]]",
        sides=[others, mostly] if unlike else [],
        spoils=needing("start", "token counts") if unlike else needing("token counts"),
    )


def streamed(race: Race) -> Iterator[Check]:
    """not-streamed: answers came in one piece, or in a few large ones."""
    whole = {e.name: of(e.evidence.whole, e.evidence.good, race.unit) for e in race.sampled if e.evidence.whole}
    asked = [e.name for e in race.sampled if e.name in whole and e.backend.stream]
    if whole:
        yield Check(
            code="not-streamed",
            level="warning" if asked else "note",
            backends=list(whole),
            text=f"not streamed, the answer came in one piece: {each(whole)}; it has a latency, but no TTFT and no "
            "tokens/s",
            todo=_STREAM_IT if asked else "remove stream = false from [[backend]] to measure TTFT and tokens/s",
            spoils=_NEEDS_ARRIVALS,
        )
    yield from _held_back(race)


def _held_back(race: Race) -> Iterator[Check]:
    held = {e.name: m for e in race.sampled if (m := e.evidence.per_piece.median) is not None and m >= _HELD_BACK}
    if held:
        yield Check(
            code="not-streamed",
            level="warning",
            backends=list(held),
            text="answers came in large pieces, as if held back on the way (events per piece, median): "
            f"{each({name: number(round(events)) for name, events in held.items()})}; TTFT and ITL are of whole pieces",
            todo=_STREAM_IT,
            spoils=needing("stream"),
        )
