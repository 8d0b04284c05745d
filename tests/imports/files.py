"""Files as hyperfine, AIPerf, guidellm and vLLM write them, with given figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: 2026-11-22T15:00:00Z.
START = 1_795_359_600


def write(path: Path, document: Any) -> Path:
    """Write a document as JSON, or a list of texts as lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = isinstance(document, list) and all(isinstance(each, str) for each in document)
    path.write_text("\n".join(document) + "\n" if lines else json.dumps(document), encoding="utf-8")
    return path


def hyperfine(*commands: tuple[str, Sequence[float]], codes: Sequence[int | None] | None = None) -> dict[str, Any]:
    """A file of hyperfine with the times of commands, in s."""
    return {
        "results": [
            {
                "command": command,
                "mean": sum(times) / len(times),
                "stddev": 0.01,
                "median": sorted(times)[len(times) // 2],
                "user": 0.002,
                "system": 0.004,
                "min": min(times),
                "max": max(times),
                "times": list(times),
                "memory_usage_byte": [9_000_000] * len(times),
                "exit_codes": list(codes) if codes is not None else [0] * len(times),
            }
            for command, times in commands
        ]
    }


def aiperf_records(n: int = 40, streams: int = 4) -> list[str]:
    """Lines of AIPerf: a warm-up, `n` requests of 0.5 s at so many streams, and a request that failed."""

    def line(number: int, phase: str, error: Any = None) -> str:
        start_ns = START * 10**9 + number // streams * 500_000_000
        metrics: dict[str, Any] = {
            "request_latency": {"value": 500.0, "unit": "ms"},
            "time_to_first_token": {"value": 100_000.0, "unit": "us"},
            "inter_token_latency": {"value": 10.0, "unit": "ms"},
            "inter_chunk_latency": {"value": [9.0, 10.0, 21.0], "unit": "ms"},
            "output_sequence_length": {"value": 41, "unit": "tokens"},
            "input_sequence_length": {"value": 550, "unit": "tokens"},
        }
        return json.dumps(
            {
                "metadata": {
                    "session_num": number,
                    "request_start_ns": start_ns,
                    "request_end_ns": start_ns + 500_000_000,
                    "benchmark_phase": phase,
                    "was_cancelled": False,
                },
                "metrics": metrics if error is None else {},
                "error": error,
            }
        )

    failed = line(n, "profiling", {"code": 500, "type": "ServerError", "message": "\x1b[31moverloaded\x1b[0m"})
    return [line(0, "warmup"), *(line(number, "profiling") for number in range(n)), failed]


def aiperf_summary(streams: int = 4, **more: Any) -> dict[str, Any]:
    """AIPerf's summary of 40 requests."""
    percents = {"p50": 500.0, "p90": 550.0, "p95": 560.0, "p99": 590.0}
    return {
        "schema_version": "1.5",
        "aiperf_version": "0.14.0",
        "request_latency": {"unit": "ms", "avg": 510.0, **percents, "count": 40},
        "time_to_first_token": {"unit": "ms", "avg": 101.0, "p50": 100.0, "count": 40},
        "request_throughput": {"unit": "requests/sec", "avg": 8.0},
        "request_count": {"unit": "requests", "avg": 40.0},
        "error_request_count": {"unit": "requests", "avg": 1.0},
        "input_config": {
            "endpoint": {
                "model_names": ["meta/llama-8b"],
                "urls": ["http://gpu:8000"],
                "api_key": "sk-secret1234567",
            },
            "loadgen": {"concurrency": streams},
        },
        **more,
    }


def guidellm(*loads: dict[str, Any], n: int = 20, **request: Any) -> dict[str, Any]:
    """A report of guidellm with a benchmark of each strategy: `n` requests, one that failed and one cut off."""

    def each(number: int) -> dict[str, Any]:
        start = START + number * 0.25
        return {
            "type_": "generative_request_stats",
            "request_start_time": start,
            "request_latency": 0.5,
            "time_to_first_token_ms": 100.0,
            "inter_token_latency_ms": 10.0,
            "output_tokens": 41,
            "prompt_tokens": 550,
            "output": "not to be stored",
            "info": {"timings": {"targeted_start": start - 0.001}, "error": None},
            **request,
        }

    bad = {"request_start_time": START + 1.0, "info": {"timings": {}, "error": "HTTP 500"}}
    return {
        "metadata": {"version": 2, "guidellm_version": "0.8.1"},
        "config": {"spec": {"backend": {"target": "http://gpu:8000", "model": "meta/llama-8b"}}},
        "benchmarks": [
            {
                "type_": "generative_benchmark",
                "config": {"strategy": strategy},
                "start_time": START,
                "duration": 0.25 * n + 1.0,
                "requests": {
                    "successful": [each(number) for number in range(n)],
                    "errored": [bad],
                    "incomplete": [{"request_start_time": START + 2.0}],
                    "total": None,
                },
                "metrics": {"request_totals": {"successful": n, "errored": 1, "incomplete": 1, "total": n + 2}},
            }
            for strategy in loads
        ],
    }


def aiperf_phases(*phases: dict[str, Any]) -> dict[str, Any]:
    """The settings of a summary as newer versions write them."""
    return {
        "models": {"items": [{"name": "meta/llama-8b"}]},
        "endpoint": {"urls": ["http://gpu:8000"], "type": "chat", "streaming": True},
        "phases": [*phases],
        "artifacts": {"records": ["jsonl"]},
    }


def old_aiperf_records(n: int = 10) -> list[str]:
    """Lines as the first versions wrote them: other names of the start, the phase and the TTFT."""
    lines = []
    for line in aiperf_records(n, 1):
        record = json.loads(line)
        of = record["metadata"]
        of["timestamp_ns"], of["credit_phase"] = of.pop("request_start_ns"), of.pop("benchmark_phase")
        if "time_to_first_token" in record["metrics"]:
            record["metrics"]["ttft"] = record["metrics"].pop("time_to_first_token")
        lines.append(json.dumps(record))
    return lines


def vllm(*, detailed: bool, **more: Any) -> dict[str, Any]:
    """A result of vLLM's bench serve: 8 prompts, one of which failed."""
    document: dict[str, Any] = {
        "date": "20261122-150000",
        "backend": "vllm",
        "model_id": "meta/llama-8b",
        "num_prompts": 8,
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": 4,
        "duration": 2.0,
        "completed": 7,
        "failed": 1,
        "request_throughput": 3.5,
        "output_throughput": 10.5,
        "total_input_tokens": 70,
        "total_output_tokens": 21,
        "median_ttft_ms": 100.0,
        "median_e2el_ms": 140.0,
        "p99_e2el_ms": 150.0,
    }
    if detailed:
        document |= {
            "input_lens": [10] * 8,
            "output_lens": [3] * 7 + [0],
            "ttfts": [0.1] * 7 + [0.0],
            "itls": [[0.02, 0.02]] * 7 + [[]],
            "errors": [""] * 7 + ["Traceback\n  File\nConnectionError: reset"],
        }
    return document | more
