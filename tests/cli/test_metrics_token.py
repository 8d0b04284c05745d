"""The token of /metrics that stays the same: from a file or the environment, and a bad one is refused in a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmtui.cli.serve.metrics_token import VARIABLE, metrics_token
from llmtui.model.errors import UsageError

GOOD = "0123456789abcdef0123"


def test_the_variable_is_taken_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, GOOD)
    assert metrics_token(None, print) == GOOD
    assert VARIABLE not in os.environ
    assert metrics_token(None, print) == ""


def test_a_file_comes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "short")
    file = tmp_path / "token"
    file.write_text(f"  {GOOD}\n")
    said: list[str] = []
    for mode in (0o600, 0o640, 0o644):
        file.chmod(mode)
        assert metrics_token(file, said.append) == GOOD
    assert said == [f"WARNING: every user of this machine can read {file}: chmod o-r"]
    assert VARIABLE not in os.environ


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("short", "has 5 characters; it needs 20 to 512"),
        ("", "has 0 characters"),
        ("x" * 4000, "characters; it needs 20 to 512"),
        (f"{GOOD} {GOOD}", "no spaces"),
        (f"{GOOD}\n{GOOD}", "no spaces"),
        (f"{GOOD}ä", "letters, digits and"),
    ],
)
def test_a_bad_token_is_refused_without_showing_it(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(UsageError, match=words) as refused:
        metrics_token(file, lambda _: None)
    assert str(refused.value).startswith(str(file)) and "openssl rand" in str(refused.value)
    assert not text or text not in str(refused.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(UsageError, match=f"the token of /metrics cannot be read: {words}"):
            metrics_token(path, print)
