"""The filter of the iterations of the details page: a few words, all of which must hold."""

from __future__ import annotations

import re
from collections.abc import Callable

from llmtui.model import Iteration

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

_RANGE = re.compile(r"(\d*)-(\d*)|(\d+)")
_LATENCY = re.compile(r"([<>])(\d+\.?\d*|\.\d+)s?")
_TRY = re.compile(r"try:(\d+)")


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
    """Return the test whether a word is in an iteration's error, or in why its answer ended."""

    def test(iteration: Iteration) -> bool:
        error = iteration.error
        texts = (iteration.finish_reason or "",) if error is None else (error.kind, error.message, error.hint)
        return any(word in text.casefold() for text in texts)

    return test


def iteration_filter(typed: str) -> Test | None:
    """Return the test of a filter as it was typed, None if it is empty. Case does not matter."""
    words = typed.casefold().split()
    tests = [STATES.get(word) or _number_test(word) or _text_test(word) for word in words]
    if len(tests) < 2:
        return tests[0] if tests else None
    return lambda iteration: all(test(iteration) for test in tests)
