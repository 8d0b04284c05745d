"""Files of a run by format, the summary of a GitHub job, and the comparison as Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from markdown_it import MarkdownIt

from llmtui.cli.app import cli
from llmtui.cli.outputs import FOLDERS, OUTPUTS
from llmtui.export.formats import FORMATS
from tests.cli.histories import add


@pytest.fixture
def store(tmp_path: Path) -> Path:
    file = tmp_path / "history.db"
    add(file, "aaaa1111", {"a|b": 0.5, "c": 0.5})
    add(file, "bbbb2222", {"a|b": 0.7, "c": 0.5})
    return file


def llmtui(store: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--store", str(store)], standalone_mode=False)


def test_each_format_has_an_option_and_writes_a_file(store: Path, tmp_path: Path) -> None:
    assert tuple(FORMATS) == OUTPUTS
    for kind in (kind for kind in OUTPUTS if kind not in FOLDERS):
        name = kind.replace("_", "-")
        one, two = tmp_path / f"one.{name}", tmp_path / f"two.{name}"
        for words in ((f"--{name}", str(one)), ("--format", name, "-o", str(two))):
            assert llmtui(store, "export", "aaaa1111", *words).exit_code == 0
        assert one.read_bytes() == two.read_bytes() != b"", name


def test_a_format_that_is_a_folder(store: Path, tmp_path: Path) -> None:
    for words in (("--hyperfine", str(tmp_path / "h")), ("--format", "hyperfine", "-o", str(tmp_path / "h"))):
        assert llmtui(store, "export", "aaaa1111", *words).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "h").iterdir()) == ["a-b.json", "c.json"]
    assert "name it with -o FOLDER" in str(llmtui(store, "export", "aaaa1111", "--format", "hyperfine").exception)
    assert "is not a folder" in str(llmtui(store, "export", "aaaa1111", "--hyperfine", str(store)).exception)


def test_a_format_without_a_file_is_stdout_and_a_file_needs_a_format(store: Path) -> None:
    assert llmtui(store, "export", "aaaa1111", "--format", "openmetrics").output.endswith("# EOF\n")
    assert "-o has no format" in str(llmtui(store, "export", "aaaa1111", "-o", "x.html").exception)
    twice = llmtui(store, "export", "aaaa1111", "--html", "a.html", "--format", "html", "-o", "b.html")
    assert "name the same format" in str(twice.exception)


def test_the_summary_of_a_job_grows(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary, other = tmp_path / "summary.md", tmp_path / "other.md"
    summary.write_text("# Job\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    for file in (summary, other):
        llmtui(store, "export", "bbbb2222", "--markdown", str(file))
        llmtui(store, "compare", "aaaa1111", "bbbb2222", "--gate", "5", "--markdown", str(file))
    text = summary.read_text()
    tokens = MarkdownIt("gfm-like").parse(text)
    assert [t.type for t in tokens].count("table_open") == 2 and text.startswith("# Job\n\n")
    assert other.read_text() in text and "Gate of 5%" in text
    rows = [t for t in tokens if t.type == "tr_open"]
    cells = [t for t in tokens if t.type in ("td_open", "th_open")]
    assert len(rows) == 6 and len([t for t in cells[-21:]]) == 21, "a name with | is one cell"
    codes = {child.content for token in tokens for child in token.children or () if child.type == "code_inline"}
    assert "a|b" in codes
