"""Synthetic text of a set length: common words in the order of Python's manual, which every Python has.

All of them are one token each in the usual vocabularies, so that a text of n words has about n tokens, whatever part of
the manual it is. How many it has exactly is found by asking a server (see llmtui.engine.calibration).
"""

from __future__ import annotations

import functools
import hashlib
import re
from array import array
from collections import Counter
from typing import NamedTuple

#: A word is common if this many of the 79 topics of the manual have it. Of longer words many are several tokens.
COMMON_IN_TOPICS = 15
MOST_LETTERS = 10
#: What a text is made of where Python comes without its manual.
OTHER_WORDS = (
    "the is a of to in and are be for that as or by not with if it can from this on name will which when same may list "
    "one should also all type at only return must have called using no but following block number new first has set "
    "then such they example given section see than there more each where except most either two found standard always "
    "after like these different you left into do last equal right body part both being some available way large small "
    "people water time work world house place day hand side point water year letter city story road river book light"
)
_WORD = re.compile(rf"[a-z]{{2,{MOST_LETTERS}}}|a")


class _Base(NamedTuple):
    """All words with a space between them. `starts` has the place of each word, and that after the last space."""

    text: str
    starts: array[int]


def text_of(seed: str, words: int) -> str:
    """Return a text of this many words, at least one. `seed` decides where in the manual it begins."""
    text, starts = _base()
    total = len(starts) - 1
    place = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big") % total
    parts: list[str] = []
    left = max(1, words)
    while left:
        taken = min(left, total - place)
        parts.append(text[starts[place] : starts[place + taken] - 1])
        left -= taken
        place = 0
    return " ".join(parts)


@functools.cache
def _base() -> _Base:
    words = _manual() or OTHER_WORDS.split()
    starts = array("L", [0])
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    return _Base(" ".join(words) + " ", starts)


def _manual() -> list[str]:
    """Return the common words of Python's manual, [] if it is missing."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return []
    by_topic = [
        [word for each in topics[name].split() if _WORD.fullmatch(word := each.strip(".,;:()"))]
        for name in sorted(topics)
    ]
    found_in = Counter(word for words in by_topic for word in set(words))
    return [word for words in by_topic for word in words if found_in[word] >= COMMON_IN_TOPICS]
