"""[workers]: how many processes send the requests of a load, and what is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtui.config.schema import Config, ConfigError, changed, parse
from llmtui.model import Workers

BACKEND = '\n[[backend]]\nname = "a"\nurl = "http://127.0.0.1:1"\n'


def config(text: str) -> Config:
    """A config of one backend with these sections."""
    return parse(text + BACKEND, source="c.toml", folder=Path("."))


def test_one_worker_and_more_only_where_they_are_needed_unless_the_config_or_an_option_says_how_many() -> None:
    assert config("[load]\nconcurrency = 4").plan().workers == Workers(count="auto")
    assert config("[load]\nconcurrency = 4\n[workers]\ncount = 2").plan().workers.count == 2
    two = config("[load]\nconcurrency = 4\n[workers]\ncount = 2")
    assert changed(two, {"workers": "3"}).plan().workers.count == 3
    assert changed(two, {"workers": "auto"}).plan().workers.count == "auto"
    assert config('[load]\nconcurrency = 4\n[workers]\nscheduler = "tls://host:8786"').plan().workers.scheduler


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("count = 0", "c.toml:4: [workers]: count: expected 'auto' or 1 to 64 processes, got 0"),
        (
            'count = "aut"',
            "c.toml:4: [workers]: count: expected 'auto' or a whole number, got 'aut'; did you mean 'auto'?",
        ),
        ('scheduler = "host:8786"', "c.toml:4: [workers]: scheduler: expected the address of a Dask scheduler"),
        (
            'scheduler = "tls://me:pass@host:1"',
            "c.toml:4: [workers]: scheduler: expected the address of a Dask scheduler",
        ),
        ("counts = 2", "c.toml:4: [workers]: unknown key 'counts'; did you mean 'count'?"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_place_and_what_is_expected(section: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(f"[load]\nconcurrency = 4\n[workers]\n{section}")
    assert str(caught.value).startswith(message) and "pass" not in str(caught.value)


@pytest.mark.parametrize("word", ["0", "two", "1.5", "65", ""])
def test_a_wrong_option_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=r"^--workers: expected "):
        changed(config("[load]\nconcurrency = 4"), {"workers": word})


def test_a_race_has_no_workers() -> None:
    with pytest.raises(ConfigError, match=r"count: is for the requests of a load, and this is a race"):
        config("[workers]\ncount = 2").plan()
    assert config("[workers]\ncount = 1").plan().levels == []
