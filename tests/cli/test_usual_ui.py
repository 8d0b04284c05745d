"""The settings of a monitor that opens without a config: on an active run, or on a past one."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtui.cli.monitor import usual_ui
from llmtui.config.schema import UiConfig


def test_attach_and_open_use_the_theme_and_keys_of_the_usual_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[ui]\ntheme = "light"\nkeys = { rerun = "z" }\n[[backend]]\nname = "a"\n')
    ui = usual_ui()
    assert (ui.theme, dict(ui.keys)) == ("light", {"rerun": "z"})


@pytest.mark.parametrize("text", ["[ui]\ntheme = 5\n", "[ui"])
def test_a_config_that_cannot_be_read_does_not_keep_a_run_from_being_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(text)
    assert usual_ui() == UiConfig()
