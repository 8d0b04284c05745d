"""The result of a parser does not depend on the size of the pieces, and it raises nothing but WireError."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtui.model import Backend
from llmtui.wire import CustomDialect, Delta, Dialect, OllamaDialect, OpenAIDialect, TGIDialect, WireError
from tests.examples import examples
from tests.wire.replay import FIXTURES, bytewise, captured, cut, damaged, run

CUSTOM = CustomDialect(Backend(name="c", answer="choices.0.delta.content"))
DIALECTS: list[Dialect] = [OpenAIDialect(), OllamaDialect(), TGIDialect(), CUSTOM]
KINDS = ["text/event-stream", "application/x-ndjson", "application/json", "text/html", ""]
BODIES = {
    str(p.relative_to(FIXTURES))[:-9]: captured(str(p.relative_to(FIXTURES))[:-9]).body
    for p in sorted(FIXTURES.rglob("*.response"))
}
CUTS = st.lists(st.integers(0, 1_000_000), max_size=12)


def outcome(dialect: Dialect, kind: str, pieces: Iterable[bytes]) -> list[Delta] | str:
    """Return the deltas, or the message of the error."""
    try:
        return run(dialect.parser(kind), pieces)
    except WireError as error:
        assert error.message and error.message.isprintable() and len(error.message) < 600
        return error.message


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from(sorted(BODIES)), st.sampled_from(DIALECTS), st.sampled_from(KINDS), CUTS)
def test_cuts_do_not_matter_to_any_parser(name: str, dialect: Dialect, kind: str, at: list[int]) -> None:
    assert outcome(dialect, kind, cut(BODIES[name], at)) == outcome(dialect, kind, [BODIES[name]])


@settings(max_examples=examples(300), deadline=None)
@given(
    st.sampled_from(sorted(BODIES)).flatmap(lambda n: damaged(BODIES[n])),
    st.sampled_from(DIALECTS),
    st.sampled_from(KINDS),
    CUTS,
)
def test_cuts_do_not_matter_to_damaged_answers(data: bytes, dialect: Dialect, kind: str, at: list[int]) -> None:
    assert outcome(dialect, kind, cut(data, at)) == outcome(dialect, kind, [data])


NAMES = sorted(n for n in BODIES if len(BODIES[n]) < 4000)
PARSERS = [(dialect, kind) for dialect in DIALECTS for kind in KINDS]


@pytest.mark.parametrize("name", NAMES)
def test_byte_by_byte(name: str) -> None:
    """Each parser reads a third of the answers; below, all of them."""
    for dialect, kind in PARSERS[NAMES.index(name) % 3 :: 3]:
        assert outcome(dialect, kind, bytewise(BODIES[name])) == outcome(dialect, kind, [BODIES[name]])


@pytest.mark.slow
def test_byte_by_byte_by_all_parsers() -> None:
    for name in NAMES:
        for dialect, kind in PARSERS:
            same = outcome(dialect, kind, bytewise(BODIES[name])) == outcome(dialect, kind, [BODIES[name]])
            assert same, (name, dialect, kind)
