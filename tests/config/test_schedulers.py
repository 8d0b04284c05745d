"""A scheduler without TLS on another machine is refused, unless that is wanted."""

from __future__ import annotations

import importlib.util

import pytest

from llmtui.config.errors import ConfigError
from llmtui.config.places import Place
from llmtui.config.schedulers import check_scheduler
from llmtui.model import Workers

PLACE = Place("c.toml", "").section("workers")


@pytest.fixture
def has_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask is installed, as far as can be told."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


@pytest.mark.parametrize("address", ["tcp://head:8786", "tcp://10.0.0.1:8786", "tcp://127.evil.org:1"])
def test_a_line_that_others_can_use_is_refused(has_dask: None, address: str) -> None:
    with pytest.raises(ConfigError, match=r"is another machine.*--insecure-cluster"):
        check_scheduler(Workers(scheduler=address), PLACE)
    check_scheduler(Workers(scheduler=address, insecure_cluster=True), PLACE)


@pytest.mark.parametrize("address", ["tls://head:8786", "tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://[::1]:1"])
def test_tls_and_this_machine_are_not(has_dask: None, address: str) -> None:
    check_scheduler(Workers(scheduler=address), PLACE)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'llmtui\[cluster\]'"):
        check_scheduler(Workers(scheduler="tls://head:8786"), PLACE)
    check_scheduler(Workers(), PLACE)
