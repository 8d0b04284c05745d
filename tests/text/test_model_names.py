"""Names of models, with names from Ollama's library, Hugging Face, LM Studio's catalogue and file names of GGUFs."""

from __future__ import annotations

import time

import pytest

from llmtui.text.model_names import model_family, same_model, without_folder

BUILT_IN = "SmolLM2-135M-Instruct"
LLAMA = "Llama-3.2-3B-Instruct-Q4_K_M.gguf"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("smollm2:135m", BUILT_IN),
        ("smollm2:135m-instruct-q8_0", BUILT_IN),
        ("smollm2:135m-instruct-fp16", BUILT_IN),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", BUILT_IN),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", BUILT_IN),
        ("/home/me/.cache/llmtui/models/SmolLM2-135M-Instruct.Q8_0-957bbd52da38.gguf", BUILT_IN),
        ("models/SmolLM2-135M-Instruct-Q8_0.gguf", BUILT_IN),
        ("C:\\models\\SmolLM2-135M-Instruct-f16.gguf", BUILT_IN),
        ("smollm2-135m-instruct", BUILT_IN),
        ("hf.co/bartowski/SmolLM2-135M-Instruct-GGUF:Q4_K_M", BUILT_IN),
        ("mlx-community/SmolLM2-135M-Instruct-8bit", BUILT_IN),
        ("SmolLM2-135M-Instruct.llamafile", BUILT_IN),
        ("llama3.2:3b", LLAMA),
        ("llama3.2:3b-instruct-q4_K_M", LLAMA),
        ("meta-llama/Llama-3.2-3B-Instruct", LLAMA),
        ("unsloth/Llama-3.2-3B-Instruct-GGUF", LLAMA),
        ("llama-3.2-3b-instruct@q8_0", LLAMA),
        ("Llama-3.2-3B-Instruct-IQ4_XS.gguf", LLAMA),
        ("Llama-3.2-3B-Instruct-Q6_K-00001-of-00002.gguf", LLAMA),
        ("RedHatAI/Llama-3.2-3B-Instruct-quantized.w8a8", LLAMA),
        ("llama3.1:8b", "Meta-Llama-3.1-8B-Instruct-Q5_K_M.gguf"),
        ("qwen3:8b", "Qwen/Qwen3-8B"),
        ("qwen3:8b", "Qwen_Qwen3-8B-Q4_K_M.gguf"),
        ("hf.co/unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL", "qwen3:8b"),
        ("Qwen/Qwen3-8B-AWQ", "qwen3:8b"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "qwen2.5:7b"),
        ("qwen3:30b-a3b", "Qwen3-30B-A3B-Q4_K_M.gguf"),
        ("gemma3:4b", "google/gemma-3-4b-it"),
        ("gemma3:4b-it-qat", "google_gemma-3-4b-it-Q4_K_M.gguf"),
        ("gpt-oss:20b", "gpt-oss-20b-mxfp4.gguf"),
        ("mixtral:8x7b", "Mixtral-8x7B-Instruct"),
        ("phi4-mini:latest", "microsoft/Phi-4-mini-instruct"),
        ("my-own-thing", "my-own-thing"),
    ],
)
def test_one_model_under_two_names(name: str, wanted: str) -> None:
    assert same_model(name, wanted)
    assert same_model(wanted, name)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("smollm2:360m", BUILT_IN),
        ("smollm2:latest", BUILT_IN),
        ("smollm2", BUILT_IN),
        ("smollm:135m", BUILT_IN),
        ("SmolLM-135M-Instruct", BUILT_IN),
        ("HuggingFaceTB/SmolLM2-135M", BUILT_IN),
        ("SmolVLM2-135M-Instruct", BUILT_IN),
        ("smollm2:1.7b", BUILT_IN),
        ("llama3.2:1b", LLAMA),
        ("llama3:3b", LLAMA),
        ("meta-llama/Llama-3.2-3B", LLAMA),
        ("llama3.1:8b-text-q4_0", "Meta-Llama-3.1-8B-Instruct-Q4_0.gguf"),
        ("llama3.2-vision:11b", "llama3.2:11b"),
        ("qwen2.5-coder:7b", "qwen2.5:7b"),
        ("Qwen/Qwen2.5-Math-7B-Instruct", "qwen2.5:7b"),
        ("qwen2.5vl:7b", "qwen2.5:7b"),
        ("qwen3:4b-thinking-2507", "qwen3:4b"),
        ("DeepSeek-R1-Distill-Qwen-7B", "qwen:7b"),
        ("gemma3:4b", "gemma-34b"),
        ("gemma3:4b", "gemma3n:4b"),
        ("mistral:7b", "mistral-nemo:7b"),
        ("gpt-3.5-turbo", "gpt-4"),
        ("default", BUILT_IN),
        ("", ""),
        ("", BUILT_IN),
        (".gguf", ".gguf.gguf"),
        ("смолл", "другая"),
    ],
)
def test_other_models(name: str, wanted: str) -> None:
    assert not same_model(name, wanted)
    assert not same_model(wanted, name)


@pytest.mark.parametrize("part", ["-q4", "-", "a", "1.", "-it-", "/", ":latest"])
def test_a_name_of_any_length_is_decided_at_once(part: str) -> None:
    began = time.thread_time()
    for count in (40, 100_000):
        same_model(part * count, part * count + "x")
    assert time.thread_time() - began < 1.0


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (
            "/home/me/models/SmolLM2-135M-Instruct.Q8_0-957bbd52da38.gguf",
            "SmolLM2-135M-Instruct.Q8_0-957bbd52da38.gguf",
        ),
        ("models/SmolLM2.gguf", "SmolLM2.gguf"),
        ("C:\\models\\SmolLM2.GGUF", "SmolLM2.GGUF"),
        ("/data/SmolLM2-135M/", "SmolLM2-135M"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("hf.co/unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL", "hf.co/unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL"),
        ("llama3.2:3b", "llama3.2:3b"),
        ("", ""),
    ],
)
def test_the_folder_of_a_file_is_not_part_of_its_name(name: str, shown: str) -> None:
    assert without_folder(name) == shown


def test_a_name_of_a_hostile_history_takes_no_time() -> None:
    began = time.thread_time()
    assert model_family(".bin" * 100_000) == ""
    assert time.thread_time() - began < 1
