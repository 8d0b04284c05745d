"""Views of runs as reports show them, and a reader of HTML that fails on what a report must not have."""

from __future__ import annotations

import random
from html.parser import HTMLParser
from typing import Any

import msgspec

from llmtui.model import Load, Slo
from llmtui.runview.run import RunView
from llmtui.stats.buckets import Buckets
from tests import loads

#: Elements without an end.
_VOID = frozenset({"meta", "br"})
_ELEMENTS = """
    html head meta title style body h1 h2 h3 p b ul li span section div table thead tbody tr th td dl dt dd figure
    figcaption svg g path rect text details summary
"""
_ATTRIBUTES = """
    lang charset http-equiv content name class colspan viewbox role aria-label d x y width height text-anchor
    stroke-dasharray transform
"""


class Reader(HTMLParser):
    """The elements of a document with their attributes, and its text. Raises AssertionError for anything odd."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(document)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element."""
        assert tag in _ELEMENTS.split(), tag
        assert {name for name, _ in attrs} <= {*_ATTRIBUTES.split()}, (tag, attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element without content."""
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take a text."""
        if self._open and self._open[-1] != "style":
            self.text += data

    def handle_comment(self, data: str) -> None:
        """Refuse comments."""
        raise AssertionError(data)

    def of(self, tag: str, kind: str = "") -> list[dict[str, str]]:
        """The attributes of these elements, by a class of theirs."""
        found = [attributes for name, attributes in self.elements if name == tag]
        return [each for each in found if not kind or kind in each.get("class", "").split()]


def sweep(
    names: tuple[str, ...] = ("llama.cpp", "Ollama", "mistral.rs"),
    counts: tuple[int, ...] = (1, 2, 4, 8, 16, 32),
    rounds: int = 10,
    slo: Slo | None = None,
) -> RunView:
    """A sweep whose throughput has a plateau, with percentiles and objectives."""
    rng = random.Random(8)
    load = Load(concurrency=list(counts), requests=80)

    def fields(place: int) -> Any:
        def of(number: int, level: int) -> dict[str, Any]:
            streams = counts[level - 1]
            share = min(1.0, 8 / streams) if streams > 8 else 1.0
            speed = (1 + 0.25 * place) * (1 + rng.gauss(0, 0.02))
            ttft_s = 0.06 / speed * max(1.0, streams / 6)
            kept = max(0, min(80, round(80 * (1.4 - ttft_s / 0.2))))
            judged = {"kept": kept, "missed": 80 - kept, "objectives": {"ttft": [kept, 80 - kept, 0]}} if slo else {}
            return {
                "requests": 80,
                "finished": 80,
                "output_tokens_per_s": 70.0 * speed * streams * share,
                "requests_per_s": 1.1 * speed * streams * share,
                "tokens_per_s": 70.0 * speed * share,
                "ttft_s": ttft_s,
                "buckets": {"ttft": _buckets([ttft_s * rng.lognormvariate(0, 0.25) for _ in range(80)])},
                "goodput_per_s": kept / 80 * speed if slo else None,
                **judged,
            }

        return of

    view = loads.raced(
        dict.fromkeys(names, 1.0), load, rounds, fields={name: fields(place) for place, name in enumerate(names)}
    )
    view.plan = msgspec.structs.replace(view.plan, slo=slo or Slo())
    return view


def _buckets(values: list[float]) -> list[int]:
    """These durations in s as a turn carries them."""
    buckets = Buckets()
    buckets.add(values)
    return buckets.encoded()
