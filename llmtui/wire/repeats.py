"""Finds text that a server sends a second time: the whole answer at its end, or all text so far in each event."""

from __future__ import annotations

#: The beginning of the text that is compared.
_START_CHARS = 64
#: A repetition without a mark of its own is at least this long, and comes after as many pieces.
SURE_CHARS = 24
_SURE_PIECES = 4


class TextSoFar:
    """The text of an answer (or its thinking) so far. `new` returns what an event adds to it.

    A stream is cumulative if each of its first texts begins with the one before it and is longer. Two such texts are no
    proof: a model may say "ha" and then "haha". So the first ones are taken as pieces, and once it is certain,
    `correction` has the text that they really are.
    """

    __slots__ = ("_cumulative", "_first", "_growing", "_last", "_start", "chars", "correction", "pieces", "settled")

    def __init__(self) -> None:
        self.chars = 0
        self.pieces = 0
        #: Whether a text shorter than `SURE_CHARS` is new for certain: then adding its length to `chars` is enough.
        self.settled = False
        self.correction: str | None = None
        self._cumulative = False
        self._growing = True
        self._first = self._last = self._start = ""

    def new(self, text: str, last: bool = False) -> str:
        """Return the new part of `text`, "" for a repetition. `last` is set for an event that ends the answer."""
        if self._growing:
            return self._grown(text, last)
        size = len(text)
        if size >= self.chars * 0.9 and self._repeats(text, last):
            return ""
        if self.chars < _START_CHARS:
            self._start += text[:_START_CHARS]
        self.pieces += 1
        self.chars += size
        self.settled = self.pieces >= _SURE_PIECES and self.chars >= _START_CHARS
        return text

    def _grown(self, text: str, last: bool) -> str:
        """`new` while every text began with the one before it."""
        before = self._last
        if self._cumulative:
            return self._suffix(text)
        if not self.pieces:
            self._first = text
        elif not (text.startswith(before) and len(text) > len(before)):
            self._growing = False
            self._last = ""
            if self._repeats(text, last):
                return ""
        elif self._is_certain(text):
            self._cumulative = True
            self.correction = before
            self.chars = len(before)
            return self._suffix(text)
        self._last = text if self._growing else ""
        self.pieces += 1
        self.chars += len(text)
        if len(self._start) < _START_CHARS:
            self._start += text[:_START_CHARS]
        return text

    def _is_certain(self, text: str) -> bool:
        """Whether a text that begins with the one before it proves that the stream is cumulative."""
        count = self.pieces + 1
        long_enough = (count >= 3 and len(text) >= 20) or (count >= 4 and len(text) >= 6)
        return long_enough and bool(text.replace(self._first, ""))

    def _suffix(self, text: str) -> str:
        before = self._last
        if before.startswith(text):
            return ""
        if text.startswith(before):
            new = text[len(before) :]
        elif text.startswith(before.rstrip("\ufffd")):  # an incomplete character that is now complete
            new = text[len(before.rstrip("\ufffd")) :]
        else:
            new = text
            text = before + text
        self._last = text
        self.pieces += 1
        self.chars = len(text)
        return new

    def _repeats(self, text: str, last: bool) -> bool:
        """Whether `text` is the whole answer once more, perhaps with a few changes."""
        size = len(text)
        if not self.pieces or size < self.chars * 0.9:
            return False
        length = min(size, len(self._start))
        if text[:length] != self._start[:length]:
            return False
        if self.pieces == 1:
            return last and size >= SURE_CHARS and text == self._first
        sure = size >= SURE_CHARS and (last or self.pieces >= _SURE_PIECES)
        if not sure and not (last and text == self._start):
            return False
        # A model that says the same again and again may say it twice at once.
        return bool(text.replace(self._first, ""))
