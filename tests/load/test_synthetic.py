"""Synthetic texts: their lengths, that a seed gives one text, and what they are made of."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from llmtui.load import synthetic
from llmtui.load.synthetic import OTHER_WORDS, text_of


@pytest.fixture
def no_manual(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Python without the topics of its manual."""
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    synthetic._base.cache_clear()
    yield
    synthetic._base.cache_clear()


@pytest.mark.parametrize("words", [1, 2, 512, 100_000])
def test_a_text_has_the_words_that_were_asked_for(words: int) -> None:
    text = text_of("a seed", words)
    assert len(text.split(" ")) == words
    assert text == text.strip()


def test_a_seed_gives_one_text_and_another_seed_another() -> None:
    assert text_of("0/1", 50) == text_of("0/1", 50)
    assert len({text_of(f"0/{number}", 50) for number in range(100)}) > 95


def test_a_longer_text_begins_as_the_shorter_one() -> None:
    assert text_of("a", 500).startswith(text_of("a", 400) + " ")


def test_the_words_are_common_ones() -> None:
    words = set(text_of("a", 40_000).split(" "))
    assert 100 < len(words) < 400
    assert {"the", "and", "object"} <= words
    assert all(word.islower() and len(word) <= synthetic.MOST_LETTERS for word in words)


@pytest.mark.usefixtures("no_manual")
def test_without_the_manual_there_is_a_list_of_words() -> None:
    text = text_of("a", 1000)
    assert len(text.split(" ")) == 1000
    assert set(text.split(" ")) == set(OTHER_WORDS.split())
