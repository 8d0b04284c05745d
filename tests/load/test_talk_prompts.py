"""What a file says of conversations and traces: the questions that follow, and the prompts of a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtui.load.prompt_files.inspection import of_trace
from llmtui.load.prompt_files.source import FilePrompts
from llmtui.model import Load, Prompts

SHAREGPT = (
    '[{"id": "1", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, '
    '{"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}, {"from": "human", "value": "e"}]}]'
)


@pytest.mark.parametrize(
    "text",
    [
        SHAREGPT,
        '{"turns": ["a", {"text": "c"}, {"text": "e"}]}\n',
        '{"prompt_0": "a", "prompt_1": "c", "prompt_2": "e"}\n',
    ],
)
def test_a_conversation_of_a_file_has_its_questions_and_none_of_its_answers(tmp_path: Path, text: str) -> None:
    path = tmp_path / "talks.jsonl"
    path.write_text(text)
    prompt = FilePrompts(Prompts(file=str(path)), "seed").prompt(1)
    assert ([message.content for message in prompt.messages], prompt.then) == (["a"], ["c", "e"])


def test_a_trace_asks_its_own_prompts_unless_others_are_given(tmp_path: Path) -> None:
    path, times = tmp_path / "day.jsonl", tmp_path / "times.jsonl"
    path.write_text('{"timestamp": 0, "input_length": 9}\n{"timestamp": 9, "input_length": 9}\n')
    times.write_text('{"timestamp": 0}\n{"timestamp": 9}\n')
    assert of_trace(Prompts(), Load(trace=str(path))) == Prompts(file=str(path), sample="in order")
    assert of_trace(Prompts(mix="chat"), Load(trace=str(path))) == Prompts(mix="chat")
    assert of_trace(Prompts(), Load(trace=str(times))) == Prompts()
