"""What a file says of conversations and traces: the questions that follow, and the prompts of a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtui.config.traces import send_times
from llmtui.load.prompt_files.errors import PromptFileError
from llmtui.load.prompt_files.inspection import inspected, of_trace
from llmtui.load.prompt_files.records import open_records
from llmtui.load.prompt_files.source import FilePrompts
from llmtui.model import Load, PromptFile, Prompts

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


EMPTY_TALK = '{"timestamp": 1000, "conversations": []}\n'


def trace_of_talks(folder: Path, second: str) -> Path:
    path = folder / "day.jsonl"
    talks = [
        f'{{"timestamp": {at_ms}, "conversations": [{{"from": "human", "value": "{text}"}}]}}\n'
        for at_ms, text in ((0, "a"), (9, "c"))
    ]
    path.write_text(second.join(talks))
    return path


def test_each_record_of_a_trace_keeps_its_own_time(tmp_path: Path) -> None:
    path = trace_of_talks(tmp_path, "\n")
    load = Load(trace=str(path))
    # Named as the file of prompts too, it is not shuffled.
    for prompts in (Prompts(), Prompts(file=str(path))):
        asked = FilePrompts(inspected(of_trace(prompts, load), trace=load.trace), "seed")
        texts = [asked.prompt(number).messages[0].content for number in (1, 2)]
        assert list(zip(send_times(load.trace), texts, strict=True)) == [(0.0, "a"), (0.009, "c")]


def test_a_record_of_a_trace_without_anything_to_ask_is_refused_before_the_run(tmp_path: Path) -> None:
    path = trace_of_talks(tmp_path, EMPTY_TALK)
    with pytest.raises(PromptFileError, match=r"day\.jsonl, line 2: it has a send time but nothing to ask; remove"):
        inspected(of_trace(Prompts(), Load(trace=str(path))), trace=str(path))
    # As prompts alone it is passed over.
    assert inspected(Prompts(file=str(path))).facts.count == 2  # type: ignore[union-attr]


def test_in_a_large_trace_such_a_record_fails_the_turn_and_no_prompt_moves(tmp_path: Path) -> None:
    path = trace_of_talks(tmp_path, EMPTY_TALK)
    facts = PromptFile(format="", digest=open_records(str(path)).digest(), timed=True)
    asked = FilePrompts(Prompts(file=str(path), sample="in order", facts=facts), "seed")
    with pytest.raises(PromptFileError, match="line 2"):
        asked.prompt(2)
    assert [asked.prompt(number).name for number in (1, 3)] == ["line 1", "line 3"]
