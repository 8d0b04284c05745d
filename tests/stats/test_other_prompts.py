"""Runs that asked other prompts did other work: the same file is known by its digest, wherever it lies."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from llmtui.model import NO_PROMPTS, Load, PromptFile, Prompts
from llmtui.stats.run_differences import general_differences
from llmtui.stats.same_work import same_work
from tests import build
from tests.stats.sides import side


def prompts(path: str, digest: str = "d1", **more: str) -> Prompts:
    """The prompts of a file with this digest."""
    return msgspec.convert(
        {"file": path, "facts": {"format": "ShareGPT", "what": "conversation", "count": 1204, "digest": digest}} | more,
        Prompts,
    )


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (prompts("/elsewhere/chat.json"), True),
        (prompts("/a/chat.json", "d2"), False),
        (prompts("/a/chat.json", sample="in order"), False),
        (Prompts(mix="chat"), False),
        (NO_PROMPTS, False),
    ],
)
def test_runs_of_other_prompts_are_not_compared(other: Prompts, same: bool) -> None:
    one = prompts("/a/chat.json")
    a, b = (dataclasses.replace(side(run, {"x": 1.0}), prompts=of) for run, of in (("a", one), ("b", other)))
    found = [check for check in general_differences(a, b) if check.code == "prompts"]
    assert [check.level for check in found] == ([] if same else ["void"])
    assert same or ("1,204 conversations of chat.json (ShareGPT)" in found[0].text and "latency" in found[0].spoils)
    plan = build.plan("x")
    plans = [msgspec.structs.replace(plan, prompts=of, load=Load()) for of in (one, other)]
    assert same_work(*plans) is same


def test_a_file_is_named_with_its_count_and_format() -> None:
    facts = PromptFile(format="JSON Lines with messages", count=1)
    assert Prompts(file="/a/b\x1b[2J.jsonl", facts=facts).title == "1 prompt of b.jsonl (JSON Lines with messages)"
