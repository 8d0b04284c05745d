"""Stands for `mistralrs serve` (0.7 and later) and `mistralrs-server` (up to 0.6). Flags: read in its source
(`mistralrs-cli/src/args`, `mistralrs-server/src/main.rs`).

No bytes of its HTTP server could be captured. The events are built from the fields that its Python package printed; the
rest is from its source.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

from tests.own.stand_in import Reply, Request, StandIn, as_json, chunk, main, plain

VERSION = os.environ.get("STAND_IN_VERSION", "0.9.2")
NUMBERS = tuple(int(part) for part in VERSION.split("-")[0].split("."))
WORDS = ["Hi", ",", " welcome", " to", " my", " chat", "."]
_COMMON = {
    **dict.fromkeys(("-p", "--port"), "port"),
    **dict.fromkeys(("-m", "--model-id"), "folder"),
    **dict.fromkeys(("-f", "--quantized-file"), "file"),
    **dict.fromkeys(("-c", "--chat-template"), "template"),
    "--prefix-cache-n": "prefix_cache",
    "--max-seqs": "max_seqs",
}


class Serve(StandIn):
    """The command `mistralrs serve`: all interfaces unless it is told a host."""

    equals = True
    valued = {
        **_COMMON,
        "--host": "host",
        "--format": "format",
        "--max-seq-len": "max_seq_len",
        "--isq": "isq",
        "--paged-attn": "paged_attn",
    }
    switches = {
        "--cpu": "cpu",
        "--no-kv-cache": "no_kv_cache",
        **({"--no-ui": "no_ui"} if NUMBERS >= (0, 8, 2) else {"--ui": "ui"}),
    }

    def version(self) -> str:
        return f"mistralrs {VERSION}"

    def unknown_flag(self, flag: str) -> NoReturn:
        self.end(
            f"error: unexpected argument '{flag}' found\n\nUsage: mistralrs serve [OPTIONS] [COMMAND]\n\n"
            "For more information, try '--help'.",
            2,
        )

    def address(self) -> tuple[str, int]:
        return self.options.get("host", "0.0.0.0"), int(self.options.get("port", "1234"))

    @property
    def path(self) -> str:
        return os.path.join(self.options.get("folder", ""), self.options.get("file", ""))

    def check(self) -> None:
        if self.words[:1] != ["serve"]:
            self.end(f"error: unrecognized subcommand '{''.join(self.words[:1])}'", 2)
        if "folder" not in self.options and NUMBERS < (0, 9, 1):
            self.end("Error: --model-id (-m) is required when no model type subcommand is specified", 1)
        if NUMBERS < (0, 9, 1) and self.options.get("format") != "gguf":
            self.end("Error: Expected file with extension one of .safetensors, .pth, .pt, .bin.", 1)
        if not os.path.isfile(self.path):
            self.end(f"Error: Local quantized model file `{self.path}` does not exist or is not a file", 1)

    def dies(self) -> NoReturn:
        self.end("Error: cannot find tensor info for token_embd.weight", 1)

    def port_taken(self, host: str, port: int) -> NoReturn:
        self.end("Error: Address already in use (os error 98)", 1)

    def listening(self, host: str, port: int) -> None:
        print(f"\x1b[32m INFO\x1b[0m mistralrs: Server listening on http://{host}:{port}", file=sys.stderr, flush=True)

    def reply(self, request: Request) -> Reply:
        if request.method == "GET" and request.path in ("/health", "/"):
            return plain(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close", b"OK")
        if request.method == "GET" and request.path == "/v1/models":
            models = [
                {"id": one, "object": "model", "created": 1, "owned_by": "local"} for one in ("default", self.path)
            ]
            return as_json({"object": "list", "data": models})
        if request.path != "/v1/chat/completions":
            return plain(b"HTTP/1.1 404 Not Found\r\nconnection: close", b"")
        if not request.is_json or not isinstance(request.body.get("messages"), list):
            return as_json({"message": "invalid type: expected a sequence"}, "422 Unprocessable Entity")
        if request.body.get("model") not in ("default", self.path):
            message = f"Model {request.body.get('model')} not found"
            return as_json({"message": message}, "500 Internal Server Error")
        if not request.body.get("stream"):
            choice = {"finish_reason": "stop", "index": 0, "message": {"content": "".join(WORDS), "role": "assistant"}}
            return as_json(self.event([choice], usage(), "chat.completion"))
        return self.stream()

    def stream(self) -> Reply:
        pieces = []
        for number, word in enumerate(WORDS):
            last = number + 1 == len(WORDS)
            delta = {"content": word, "role": "assistant"}
            choice = {"finish_reason": "length" if last else None, "index": 0, "delta": delta, "logprobs": None}
            event = self.event([choice], usage() if last else None, "chat.completion.chunk")
            pieces.append(chunk(b"data: " + json.dumps(event).encode() + b"\n\n"))
        head = (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
            b"transfer-encoding: chunked\r\nconnection: close"
        )
        return Reply(head, [*pieces, chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n"])

    def event(self, choices: list[dict[str, Any]], figures: dict[str, Any] | None, kind: str) -> dict[str, Any]:
        return {
            "id": "1",
            "choices": choices,
            "created": 1795359288,
            "model": self.path,
            "system_fingerprint": "local",
            "object": kind,
            "usage": figures,
        }


def usage() -> dict[str, Any]:
    return {
        "completion_tokens": len(WORDS),
        "prompt_tokens": 36,
        "total_tokens": 36 + len(WORDS),
        "total_time_sec": 0.362,
        "total_prompt_time_sec": 0.268,
        "total_completion_time_sec": 0.094,
    }


class Server(Serve):
    """The program `mistralrs-server`: the kind of model is a command after the options."""

    valued = {**_COMMON, "--serve-ip": "host", "--isq": "isq"}
    switches = {"--cpu": "cpu", "--no-kv-cache": "no_kv_cache"}

    def version(self) -> str:
        return f"mistralrs-server {VERSION}"

    def check(self) -> None:
        if self.words[:1] != ["gguf"]:
            self.end(f"error: unrecognized subcommand '{''.join(self.words[:1])}'", 2)
        if not os.path.isfile(self.path):
            self.end(f"Error: File name not found in repo: `{self.path}`", 1)


if __name__ == "__main__":
    main(Serve if NUMBERS >= (0, 7) else Server)
