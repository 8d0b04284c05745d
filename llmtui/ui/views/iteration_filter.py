"""The filter of the iterations of the details page: a few words, all of which must hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from llmtui.model import Iteration, Slo
from llmtui.stats.objectives import JUDGEMENTS, judge, of_all

Test = Callable[[Iteration], bool]

#: The words that stand for a state.
STATES: dict[str, Test] = {
    "failed": lambda i: i.error is not None,
    "ok": lambda i: i.error is None,
    "busy": lambda i: i.disturbed,
    "loaded": lambda i: i.loaded,
    "refused": lambda i: i.refused > 0,
    "warm-up": lambda i: i.phase == "warmup",
    "measured": lambda i: i.phase == "measured",
}
#: What can be typed, for the line of the filter and the help.
SYNTAX = "failed, ok, busy, loaded, refused, warm-up, measured; 100-200; >1.5 (latency in s); try:2; text of the error"
SHORT_SYNTAX = "failed busy 100-200 >1.5 try:2 or text"
#: The same for the turns of a load, and for the requests of a turn.
TURN_SYNTAX = (
    "failed, ok, busy, warm-up, measured; at:8 (level); 100-200; >1.5 (latency in s); try:2; text of the error"
)
SHORT_TURN_SYNTAX = "failed at:8 100-200 >1.5 try:2 or text"
REQUEST_SYNTAX = "failed, ok, refused, settling, window, tail, kept, missed; 100-200; >1.5 (latency in s); text"
SHORT_REQUEST_SYNTAX = "failed missed window 100-200 >1.5 or text"

_RANGE = re.compile(r"(\d*)-(\d*)|(\d+)")
_LATENCY = re.compile(r"([<>])(\d+\.?\d*|\.\d+)s?")
_TRY = re.compile(r"try:(\d+)")
_LEVEL = re.compile(r"at:(\d+\.?\d*)")
_SHARES = ("settling", "window", "tail")


def _number_test(word: str) -> Test | None:
    """Return the test of a word that stands for numbers, None if it is another word."""
    if (found := _RANGE.fullmatch(word)) and word != "-":
        low, high, single = found.groups()
        first, last = int(single or low or 0), int(single or high or 10**12)
        return lambda i: first <= i.iteration <= last
    if found := _LATENCY.fullmatch(word):
        limit, above = float(found[2]), found[1] == ">"
        return lambda i: i.latency_s is not None and (i.latency_s > limit if above else i.latency_s < limit)
    if found := _TRY.fullmatch(word):
        attempt = int(found[1])
        return lambda i: i.attempt == attempt
    return None


def _text_test(word: str) -> Test:
    """Return the test whether a word is in an iteration's error, in why its answer ended, or in its prompt's name."""

    def test(iteration: Iteration) -> bool:
        error = iteration.error
        texts = (
            (iteration.finish_reason or "", iteration.prompt)
            if error is None
            else (error.kind, error.message, error.hint)
        )
        return any(word in text.casefold() for text in texts)

    return test


def _level_test(word: str, levels: Sequence[str]) -> Test | None:
    """Return the test of the level that a word names by its number of streams, or its rate: "at:8"."""
    if not (found := _LEVEL.fullmatch(word)):
        return None
    wanted = {number for number, title in enumerate(levels, 1) if title.split()[0] == found[1]}
    return lambda i: i.level in wanted


def _requests_test(word: str, slo: Slo | None) -> Test | None:
    """Return the test of a word that only holds for requests of a turn, None if it is another word."""
    if word in _SHARES:
        return lambda i: i.share == word
    if slo is not None and word in JUDGEMENTS:
        return lambda i: of_all(judge(i, slo)) == word
    if (found := _RANGE.fullmatch(word)) and word != "-":
        low, high, single = found.groups()
        first, last = int(single or low or 0), int(single or high or 10**12)
        return lambda i: first <= i.request <= last
    return None


def iteration_filter(typed: str, levels: Sequence[str] = ()) -> Test | None:
    """Return the test of a filter as it was typed, None if it is empty. Case does not matter.

    `levels` are the titles of those of a load, whose turns are listed.
    """
    return _every(typed, lambda word: _level_test(word, levels) if levels else None)


def request_filter(typed: str, slo: Slo | None) -> Test | None:
    """Return the test of a filter of the requests of a turn, None if it is empty. `slo` are their objectives."""
    return _every(typed, lambda word: _requests_test(word, slo))


def _every(typed: str, own: Callable[[str], Test | None]) -> Test | None:
    """The test that all words hold. `own` returns the test of a word of this table alone."""
    words = typed.casefold().split()
    tests = [own(word) or STATES.get(word) or _number_test(word) or _text_test(word) for word in words]
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda iteration: all(test(iteration) for test in tests)
