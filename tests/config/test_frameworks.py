"""The registry of frameworks: lookups, and records that agree with the rest of the project."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import tomli

from llmtui.config.frameworks import ENGINES, FRAMEWORKS, HUGGINGFACE, OLLAMA, SCANNED_PORTS, UNKNOWN, engine, framework
from llmtui.model import Embedded

REPO = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["HuggingFace", "huggingface", "transformers"])
def test_names_are_looked_up_in_any_case_and_by_alias(name: str) -> None:
    assert framework(name) is HUGGINGFACE


def test_unknown_names_get_a_record_without_port_or_options() -> None:
    assert framework("my server") is UNKNOWN
    assert (UNKNOWN.port, UNKNOWN.full_length, UNKNOWN.start_hint(80)) == (0, {}, "start the server")


def test_names_and_engines_are_unique() -> None:
    names = [name.lower() for one in FRAMEWORKS for name in (one.title, *one.aliases)]
    assert len(names) == len(set(names))
    assert {one.engine for one in ENGINES} == set(get_args(Embedded)) - {""}
    assert all(engine(one.engine) is one for one in ENGINES)


def test_hints_name_the_port_and_the_model() -> None:
    assert framework("vllm").start_hint(9000) == "start it: vllm serve MODEL --host 127.0.0.1 --port 9000"
    assert (OLLAMA.pull_hint(), OLLAMA.pull_hint("m:1")) == ("ollama pull smollm2:135m", "ollama pull m:1")


def test_init_scans_every_default_port_and_that_of_tgi() -> None:
    assert SCANNED_PORTS == (1234, 3000, 8000, 8080, 11434)


def test_the_extras_install_the_packages_of_the_engines() -> None:
    extras = tomli.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    listed = " ".join(extras["local"] + extras["hf"])
    # fastapi comes with transformers[serving].
    assert [name for one in ENGINES for name in one.packages if name not in listed] == ["fastapi"]
