"""Files of prompts: their formats are told apart, their records found by number, and what is wrong is named."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmtui.load.prompt_files.errors import PromptFileError
from llmtui.load.prompt_files.index import CHUNK_BYTES, Index
from llmtui.load.prompt_files.inspection import inspected
from llmtui.load.prompt_files.order import Shuffle
from llmtui.load.prompt_files.records import MOST_BYTES, open_records
from llmtui.load.prompt_files.source import FilePrompts
from llmtui.load.prompts import Prompt
from llmtui.model import Prompts

SHAREGPT = [
    {"id": "a", "conversations": [{"from": "human", "value": 'say "conversations"'}, {"from": "gpt", "value": "no"}]},
    {"id": "b", "conversations": []},
    {"conversations": [{"from": "gpt", "value": "hello"}, {"from": "human", "value": "höher\n"}], "id": "c"},
]
BURSTGPT = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,GPT-4,3,7,10,API log\n9,GPT-4,2,0,2,x\n"
)
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4,5\n2023-11-16 18:17:04.2319600,6,7\n"


def lines(*records: Any) -> str:
    """JSON Lines."""
    return "".join(json.dumps(record) + "\n" for record in records)


def write(folder: Path, text: str | bytes, name: str = "p.jsonl") -> str:
    """Write a file, and return its path."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def asked(path: str, requests: int, sample: Any = "in order", seed: str = "s", start: float = 0.0) -> list[Prompt]:
    """What that many requests ask."""
    source = FilePrompts(Prompts(file=path, sample=sample), seed, start)
    return [source.prompt(number) for number in range(1, requests + 1)]


def first_texts(prompts: Sequence[Prompt]) -> list[str]:
    """The first message of each."""
    return [prompt.messages[0].content for prompt in prompts]


@pytest.mark.parametrize(
    ("text", "title", "text_of_first", "limit", "roles"),
    [
        (lines({"prompt": "hi", "max_tokens": 7}), "JSON Lines with prompt", "hi", 7, ["user"]),
        (lines({"text": "hi", "output_length": 9.0}), "JSON Lines with text", "hi", 9, ["user"]),
        (
            lines({"question": "hi", "system": "be brief"}),
            "JSON Lines with question",
            "be brief",
            0,
            ["system", "user"],
        ),
        (lines({"instruction": "sum", "input": "1 2"}), "JSON Lines with instruction", "sum\n\n1 2", 0, ["user"]),
        (
            lines(
                {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}], "max_tokens": 3}
            ),
            "JSON Lines with messages",
            "x",
            3,
            ["system", "user"],
        ),
        (
            lines({"prompt": [{"role": "user", "content": [{"type": "text", "text": "part"}]}]}),
            "JSON Lines with prompt",
            "part",
            0,
            ["user"],
        ),
        (
            lines(
                {
                    "custom_id": "1",
                    "method": "POST",
                    "url": "/v1",
                    "body": {"messages": [{"role": "user", "content": "b"}], "max_completion_tokens": 5},
                }
            ),
            "an OpenAI batch file",
            "b",
            5,
            ["user"],
        ),
        (json.dumps(SHAREGPT), "ShareGPT", 'say "conversations"', 0, ["user"]),
        (json.dumps(SHAREGPT, indent=2), "ShareGPT", 'say "conversations"', 0, ["user"]),
        (lines(*SHAREGPT), "ShareGPT in JSON Lines", 'say "conversations"', 0, ["user"]),
    ],
)
def test_a_format_is_told_by_its_fields(
    text: str, title: str, text_of_first: str, limit: int, roles: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path, text)
    (prompt,) = asked(path, 1)
    facts = inspected(Prompts(file=path)).facts
    assert facts is not None and facts.format == title
    assert (prompt.messages[0].content, prompt.max_tokens) == (text_of_first, limit)
    assert [message.role for message in prompt.messages] == roles


def test_conversations_without_a_question_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(SHAREGPT, ensure_ascii=False))
    facts = inspected(Prompts(file=path)).facts
    assert facts is not None and (facts.count, facts.what) == (2, "conversation")
    prompts = asked(path, 3)
    assert first_texts(prompts) == ['say "conversations"', "höher\n", 'say "conversations"']
    assert [prompt.name for prompt in prompts] == ["conversation 1", "conversation 3", "conversation 1"]


def test_traces_have_lengths_and_times(tmp_path: Path) -> None:
    mooncake = lines(
        {"timestamp": 0, "input_length": 1030, "output_length": 11, "hash_ids": [1, 2, 3]},
        {"timestamp": 1500, "input_length": 1030, "output_length": 12, "hash_ids": [1, 2, 4]},
    )
    first, second = asked(write(tmp_path, mooncake), 2)
    words = [prompt.messages[0].content.split() for prompt in (first, second)]
    assert [len(one) for one in words] == [1030, 1030]
    assert words[0][:1024] == words[1][:1024] and words[0] != words[1]
    assert [(p.at_s, p.max_tokens) for p in (first, second)] == [(0.0, 11), (1.5, 12)]

    first, second = asked(write(tmp_path, BURSTGPT, "b.csv"), 2)
    assert [(p.at_s, p.max_tokens, p.name) for p in (first, second)] == [(5.0, 7, "line 2"), (9.0, 1, "line 3")]
    assert [len(one.split()) for one in first_texts([first, second])] == [3, 2]

    first, second = asked(write(tmp_path, AZURE, "a.csv"), 2)
    assert second.at_s is not None and first.at_s is not None and round(second.at_s - first.at_s, 4) == 0.252
    assert (first.max_tokens, second.max_tokens) == (5, 7)


def test_a_folder_has_a_prompt_in_each_file(tmp_path: Path) -> None:
    for name, text in (("b.txt", "second\n"), ("a.txt", "\n first \n"), (".hidden", "no")):
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    facts = inspected(Prompts(file=str(tmp_path))).facts
    assert facts is not None and (facts.count, facts.what, facts.format) == (2, "file", "a folder of text files")
    assert [(p.name, p.messages[0].content) for p in asked(str(tmp_path), 2)] == [
        ("a.txt", " first "),
        ("b.txt", "second"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\x1f\x8b\x08\x00", "compressed with gzip"),
        (b"PAR1\x15\x04", "Parquet"),
        ("x".encode("utf-16"), "is UTF-16"),
        (b'{"prompt": "a"}\n\0\0', "is binary"),
        (b'{"prompt": "\xff"}\n', "not UTF-8 (byte 13)"),
        (b'[{"prompt": "a"}]', "a JSON array"),
        (b'{\n  "prompt": "a"\n}\n', "one JSON document over several lines"),
        (b'{"a": 1, "b": 2}\n', "JSON Lines with a, b: none of them is a prompt"),
        (b"hello there\n", "looks like plain text"),
        (b"[run]\niterations = 3\n", "looks like plain text"),
        (b"id,name,age\n1,2,3\n", "a table with the columns id, name, age"),
        (b'{"prompt": "a"}\n{"prompt": 3}\n', "line 2: prompt is a number, not text"),
        (b'{"prompt": "a"}\n\n{"prompt": " "}\n', "line 3: prompt is empty"),
        (b'{"prompt": "a"}\n{"prompt": "a"\n', "line 2: it is not JSON"),
        (b'{"prompt": "a"}\n{"messages": []}\n', "line 2: it has no prompt"),
        (b'{"prompt": "a", "max_tokens": 0}\n', "line 1: max_tokens is 0; expected 1 to 1000000"),
        (b'{"prompt": "a", "max_tokens": "9"}\n', "line 1: max_tokens is text, not a whole number"),
        (b'{"prompt": "a"}\n{"prompt": "\\ud800"}\n', "line 2: it is not JSON"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "a part of type 'image_url'"),
        (b'{"messages": [{"role": "user"}]}', "message 1 has no content"),
        (
            b"Timestamp,Model,Request tokens,Response tokens\n1,x,many,2\n",
            "line 2: the number of prompt tokens is 'many'",
        ),
        (b'[{"conversations": []}]', "none of its 1 conversations"),
        (b'{"prompt": "' + b"a" * MOST_BYTES + b'"}\n', "line is longer than 8 MB"),
        (b'{"prompt": "a"}\n{"prompt": "' + b"a" * MOST_BYTES + b'"}\n', "line 2: it is longer than 8 MB"),
        (b'{"prompt": "a"}\n{"\x1b[2J": "\x1b[2J"}\n', "line 2: it"),
    ],
)
def test_a_file_that_cannot_be_asked_is_refused_in_words(content: bytes, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(PromptFileError) as caught:
        inspected(Prompts(file=path))
    words = str(caught.value)
    assert message in words and words.isprintable() and "p.jsonl" in words


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "none").mkdir()
    for path, message in (
        (tmp_path / "missing", "no such file"),
        (tmp_path / "pipe", "is a pipe"),
        (Path("/dev/zero"), "is a device"),
        (tmp_path / "none", "has no files"),
        (tmp_path / "a\0b", "not a valid file name"),
    ):
        with pytest.raises(PromptFileError, match=message):
            inspected(Prompts(file=str(path)))


@pytest.mark.parametrize("length", [10, 700, CHUNK_BYTES - 17, CHUNK_BYTES + 3])
@pytest.mark.parametrize("ending", ["", "\n"])
def test_every_record_is_found_by_its_number(length: int, ending: str, tmp_path: Path) -> None:
    texts = [f"{number} " + "x" * (length * (number % 7) // 3) for number in range(2_000 if length < 1_000 else 60)]
    path = write(tmp_path, "\ufeff" + "\n".join(json.dumps({"prompt": text}) for text in texts) + ending)
    records = open_records(path)
    assert records.count() == len(texts)
    for number in (*range(0, len(texts), 37), len(texts) - 1, 1, 0):
        prompt = records.prompt(number)
        assert prompt is not None and prompt.messages[0].content == texts[number]
    assert records.prompt(len(texts)) is None
    assert [p.messages[0].content for p in records.each() if p is not None] == texts
    records.close()
    path = write(tmp_path, json.dumps([{"conversations": [{"from": "human", "value": text}]} for text in texts]))
    records = open_records(path)
    assert records.count() == len(texts)
    assert [p.messages[0].content for p in map(records.prompt, range(len(texts))) if p is not None] == texts
    records.close()


@pytest.mark.parametrize("mark", [b"\n", b'"conversations"'])
def test_another_process_takes_over_where_the_records_are_without_reading_the_file(mark: bytes, tmp_path: Path) -> None:
    path = write(tmp_path, b"".join(b"%d" % n + b"x" * (n * 37 % 900) + mark for n in range(2_000)))
    size = os.path.getsize(path)
    with open(path, "rb") as file, open(os.devnull, "rb") as unread:
        first = Index(file.fileno(), size, mark, 1, after=mark == b"\n")
        assert not first.packed()
        count = first.count()
        second = Index(unread.fileno(), size, mark, 1, after=mark == b"\n")
        for damaged in (b"", b"x", first.packed()[:-9], zlib.compress(b"1234" * (size // CHUNK_BYTES + 2))):
            second.unpack(damaged)
            assert not second.complete
        second.unpack(first.packed())
        assert second.complete and second.packed() == first.packed()
        third = Index(file.fileno(), size, mark, 1, after=mark == b"\n")
        third.unpack(first.packed())
        for number in range(count + 1):
            assert third.record(number, 10_000) == first.record(number, 10_000)
    assert count == 2_000


@pytest.mark.parametrize("count", [1, 2, 3, 17, 1000])
def test_a_shuffle_has_every_number_once(count: int) -> None:
    order = [Shuffle(count, "seed")(number) for number in range(count)]
    assert sorted(order) == list(range(count))
    assert order == [Shuffle(count, "seed")(number) for number in range(count)]
    assert count < 17 or order != [Shuffle(count, "other")(number) for number in range(count)]


def test_shuffled_prompts_are_asked_once_before_any_comes_again(tmp_path: Path) -> None:
    path = write(tmp_path, lines(*({"prompt": str(number)} for number in range(50))))
    once = first_texts(asked(path, 50, "shuffled"))
    assert sorted(map(int, once)) == list(range(50))
    assert first_texts(asked(path, 100, "shuffled")) == once * 2
    assert first_texts(asked(path, 10, "shuffled", start=0.5)) == once[25:35]
    source = FilePrompts(Prompts(file=path), "s")
    assert [source.prompt(number).messages[0].content for number in (0, -1)] == [once[-1], once[-2]]


def test_a_file_that_changes_during_the_run_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, lines({"prompt": "a"}, {"prompt": "b"}))
    prompts = inspected(Prompts(file=path))
    FilePrompts(prompts, "s")
    write(tmp_path, lines({"prompt": "a"}, {"prompt": "c"}))
    with pytest.raises(PromptFileError, match="changed since the run began"):
        FilePrompts(prompts, "s")


@pytest.mark.parametrize("sample", ["shuffled", "in order"])
def test_a_file_that_is_cut_short_during_a_turn_is_refused_at_the_next_prompt(sample: Any, tmp_path: Path) -> None:
    path = write(tmp_path, lines(*({"prompt": "x" * n} for n in range(1, 2_000))))
    source = FilePrompts(msgspec.structs.replace(inspected(Prompts(file=path)), sample=sample), "s")
    source.prompt(1)
    os.truncate(path, 1_000)
    with pytest.raises(PromptFileError, match=r"p\.jsonl: changed since the run began.*start a new run"):
        source.prompt(2)
    os.remove(path)
    with pytest.raises(PromptFileError, match="no such file"):
        source.prompt(3)


def test_a_file_that_is_only_touched_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path, lines({"prompt": "a"}, {"prompt": "b"}))
    source = FilePrompts(inspected(Prompts(file=path)), "s")
    before = source.prompt(1)
    os.utime(path, ns=(1, 1))
    assert source.prompt(1) == before
