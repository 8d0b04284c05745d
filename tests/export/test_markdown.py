"""The Markdown table: golden bytes, and no markup from servers or configs."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from llmtui.export.markdown import code, run_markdown
from llmtui.model import Backend, Failure
from tests import build
from tests.export.run_views import run_view
from tests.stats.build import raced

FIXTURES = Path(__file__).parent.parent / "fixtures" / "export"


def tokens(text: str) -> list[Token]:
    """Tokens as GitHub renders them: with tables, and bare addresses as links."""
    parsed = MarkdownIt("gfm-like").parse(text)
    return [token for outer in parsed for token in (outer, *(outer.children or []))]


def test_golden() -> None:
    assert run_markdown(run_view()) == (FIXTURES / "results.md").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "a|b",
        "a\\|b",
        "`",
        "``` a `` b",
        "`edge`",
        "<script>alert(1)</script>",
        "<!-- -->",
        "&lt;b&gt;",
        "[x](http://evil) ![y](http://evil) http://evil.example www.evil.example a@b.example",
        "**b** _i_ ~~s~~ # h",
        "line\none\r\n\n- two\u2028three",
        "ends in \\",
        "\x1b[31mred\x1b[0m\u202e\x00",
    ],
)
def test_text_of_others_is_never_markup(text: str) -> None:
    backends = [Backend(name="b", framework=text, weights=text), Backend(name=text)]
    made = build.run_view(build.plan(*backends, run=text, prompt=text, iterations=1))
    made.machine = build.machine(cpu=text, cores=1, os=text, python=text, llmtui=text)
    failure = Failure(kind="server", message=text, hint=text)
    made.apply(build.changed("b", state="failed", weights=text, failure=failure))
    markdown = run_markdown(made)
    parsed = tokens(markdown)
    allowed = {"table", "thead", "tbody", "tr", "th", "td", "p", "ul", "li", "strong", "code", ""}
    assert {token.tag for token in parsed} <= allowed
    assert not [token for token in parsed if token.type.startswith(("html", "link", "image"))]
    assert sum(token.type == "tr_open" for token in parsed) == 3
    assert markdown.isascii() and all(line.isprintable() for line in markdown.splitlines())


def test_code_span_shows_its_text() -> None:
    for text in ("plain", "a|b", "`", "x``y`", "<b>", "\\"):
        (span,) = [token for token in tokens(code(text)) if token.type == "code_inline"]
        assert span.content == text
    assert code(" \x1b[0m") == ""


def test_only_the_fastest_is_bold() -> None:
    bold = [line for line in run_markdown(raced(1.3, 1.0)).splitlines() if "**" in line]
    assert len(bold) == 1 and bold[0].startswith("| **`b`** |")
    assert "**" not in run_markdown(raced(1.3, 1.0, tokens=(64, 20)))
    assert "**" not in run_markdown(raced(1.0, 1.001, noise=0.05)), "none is shown to be fastest"
