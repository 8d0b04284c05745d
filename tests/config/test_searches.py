"""`search` of [load] and --search: what becomes of the levels, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmtui.config.schema import ConfigError, changed, load
from llmtui.model import Plan

BACKEND = '[[backend]]\nname = "a"\nurl = "http://127.0.0.1:1"\n'


def plan_of(folder: Path, text: str, **options: Any) -> Plan:
    path = folder / "c.toml"
    path.write_text(text + BACKEND)
    return changed(load(path), options).plan()


@pytest.mark.parametrize(
    ("text", "options", "until"),
    [
        ('[load]\nsearch = "knee"\n', {}, 256),
        ('[load]\nsearch = "knee"\nconcurrency = "1..64"\n', {}, 64),
        ("", {"search": "knee", "concurrency": "1..64"}, 64),
        ("[load]\nconcurrency = [1, 4, 12]\n", {"search": "knee"}, 12),
        ("[load]\nconcurrency = 8\n", {"search": "knee"}, 8),
        ("[load]\nrequest_rate = 2\nburstiness = 0.5\narrival = 'gamma'\n", {"search": "knee"}, 256),
    ],
)
def test_the_upper_end(tmp_path: Path, text: str, options: dict[str, Any], until: int) -> None:
    plan = plan_of(tmp_path, text, **options)
    assert plan.load.search == "knee" and plan.load.search_until == until == plan.levels[-1].streams
    assert [level.number for level in plan.levels] == list(range(1, len(plan.levels) + 1))
    assert plan.head_level == plan.levels[0] and plan.config.metric == "output_tokens_per_s"


def test_a_rate_of_the_command_line_goes_before_a_search_of_the_file(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, '[load]\nsearch = "knee"\n', request_rate="2")
    assert plan.load.search == "" and [level.title for level in plan.levels] == ["2 requests/s"]


def test_a_word_of_the_command_line_that_is_no_search(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--search: expected 'knee' or 'slo', got 'best'"):
        plan_of(tmp_path, "", search="best")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[load]\nsearch = "best"\n', r"c\.toml:2: \[load\]: search: expected one of 'knee', 'slo', got 'best'"),
        ('[load]\nsearch = "knee"\nrequest_rate = 2\n', r"c\.toml:2: \[load\]: search: a search is for a closed loop"),
        (
            '[load]\nsearch = "knee"\nconcurrency = 1\n',
            r"c\.toml:3: \[load\]: concurrency: a search needs an upper end",
        ),
        ('[load]\nsearch = "slo"\n', r"c\.toml:2: \[load\]: search: .* none is set; set ttft_s, tpot_s or latency_s"),
        (
            '[load]\nsearch = "slo"\n[slo]\nttft_s = 1\nshare = 1.0\n',
            r"c\.toml:5: \[slo\]: share: no number of requests",
        ),
        ('[run]\norder = "sequential"\n[load]\nsearch = "knee"\n', r"c\.toml:2: \[run\]: order: .* take turns"),
        ('[run]\niterations = 2\n[load]\nsearch = "knee"\n', r"c\.toml:2: \[run\]: iterations: .* at least 3 rounds"),
    ],
)
def test_what_a_search_cannot_do_is_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(tmp_path, text)
