"""Other tools as clients of the replay server: their commands, and the TTFT that they report for each request."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.replay_server import TOKENS

#: Tokens of each prompt.
PROMPT_TOKENS = 50
LIMIT_S = 180.0


def write_tokenizer(folder: Path) -> Path:
    """Write a tokenizer with a token for each byte, so that the tools need no network. Return its folder."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
    bytewise = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {"type": "BPE", "vocab": {letter: n for n, letter in enumerate(letters.values())}, "merges": []}
    end = {"id": 256, "content": "<|end|>", "special": True}
    end |= dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer = {
        "version": "1.0",
        "added_tokens": [end],
        "pre_tokenizer": bytewise,
        "decoder": bytewise,
        "model": model,
    }
    target = folder / "tokenizer"
    target.mkdir()
    (target / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "model_max_length": 100_000}
    (target / "tokenizer_config.json").write_text(json.dumps(config))
    return target


def _guidellm(program: str, url: str, streams: int, requests: int, folder: Path) -> tuple[list[str], Path]:
    file = folder / "guidellm.json"
    argv = [program, "run", "--backend", f"kind=openai_http,target={url},model=m", "--disable-console"]
    argv += ["--profile", f"kind=concurrent,streams=[{streams}]", "--output", f"kind=json,path={file}"]
    argv += ["--constraint", f"kind=max_requests,count={requests}"]
    argv += ["--tokenizer", f"kind=huggingface_auto,model={folder / 'tokenizer'}"]
    argv += ["--data", f"kind=synthetic_text,prompt_tokens={PROMPT_TOKENS},output_tokens={TOKENS}"]
    return argv, file


def _aiperf(program: str, url: str, streams: int, requests: int, folder: Path) -> tuple[list[str], Path]:
    argv = [program, "profile", "-m", "m", "--url", url, "--endpoint-type", "chat", "--streaming", "--ui", "none"]
    argv += ["--request-count", str(requests), "--concurrency", str(streams), "--tokenizer", str(folder / "tokenizer")]
    argv += ["--isl", str(PROMPT_TOKENS), "--osl", str(TOKENS), "--artifact-dir", str(folder / "aiperf")]
    return argv, folder / "aiperf" / "profile_export.jsonl"


def _llama_benchy(program: str, url: str, streams: int, requests: int, folder: Path) -> tuple[list[str], Path]:
    file = folder / "benchy.json"
    argv = [program, "--base-url", f"{url}/v1", "--model", "m", "--tokenizer", str(folder / "tokenizer")]
    argv += ["--pp", str(PROMPT_TOKENS), "--tg", str(TOKENS), "--runs", str(max(1, requests // streams))]
    argv += ["--concurrency", str(streams), "--latency-mode", "none", "--skip-coherence", "--no-warmup"]
    argv += ["--book-url", f"{url}/book", "--format", "json", "--save-result", str(file)]
    return argv, file


def _read_guidellm(text: str) -> list[float]:
    (benchmark,) = json.loads(text)["benchmarks"]
    return [each["time_to_first_token_ms"] for each in benchmark["requests"]["successful"]]


def _read_aiperf(text: str) -> list[float]:
    metrics: list[dict[str, Any]] = [json.loads(line)["metrics"] for line in text.splitlines()]
    return [each["time_to_first_token"]["value"] for each in metrics if "time_to_first_token" in each]


def _read_llama_benchy(text: str) -> list[float]:
    (benchmark,) = json.loads(text)["benchmarks"]
    values: list[float] = benchmark["e2e_ttft"]["values"]
    return values


_Command = Callable[[str, str, int, int, Path], tuple[list[str], Path]]
TOOLS: dict[str, tuple[_Command, Callable[[str], list[float]]]] = {
    "guidellm": (_guidellm, _read_guidellm),
    "aiperf": (_aiperf, _read_aiperf),
    "llama-benchy": (_llama_benchy, _read_llama_benchy),
}


def reported_ttfts_ms(tool: str, program: str, url: str, streams: int, requests: int, folder: Path) -> list[float]:
    """Run a tool, and return the TTFT of each request that it reports, in ms. Raises OSError, ValueError, KeyError or
    subprocess.SubprocessError if it fails."""
    command, read = TOOLS[tool]
    argv, file = command(program, url, streams, requests, folder)
    file.unlink(missing_ok=True)
    env = os.environ | {"HOME": str(folder), "HF_HOME": str(folder / "hf"), "OPENAI_API_KEY": "none"}
    subprocess.run(argv, env=env, capture_output=True, timeout=LIMIT_S, check=True)
    return read(file.read_text("utf-8"))
