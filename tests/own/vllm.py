"""Stands for `vllm serve` on a CPU. Flags: its documentation and `vllm/entrypoints/openai/cli_args.py`; captured bytes
of vLLM 0.32."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from tests.own.stand_in import Reply, Request, StandIn, captured, main

FOLDER = "vllm-cpu"
NAME = "smollm2"


class Vllm(StandIn):
    """Loads, then listens; all interfaces unless it is told a host."""

    equals = True
    valued = {
        "--host": "host",
        "--port": "port",
        "--max-model-len": "context",
        "--served-model-name": "name",
        "--dtype": "dtype",
        "--max-num-seqs": "slots",
        "--tokenizer": "tokenizer",
        "--uvicorn-log-level": "log_level",
        "--generation-config": "generation",
        "--seed": "seed",
    }
    switches = {
        "--no-enable-prefix-caching": "no_cache",
        "--enable-prefix-caching": "cache",
        "--enforce-eager": "eager",
        "--disable-uvicorn-access-log": "quiet",
        "--enable-prompt-tokens-details": "details",
    }

    def version(self) -> str:
        return os.environ.get("STAND_IN_VERSION", "0.32.0")

    def unknown_flag(self, flag: str) -> NoReturn:
        self.end(f"usage: vllm [-h] [-v] {{chat,complete,serve}} ...\nvllm: error: unrecognized arguments: {flag}", 2)

    def address(self) -> tuple[str, int]:
        return self.options.get("host", "0.0.0.0"), int(self.options.get("port", "8000"))

    def check(self) -> None:
        if len(self.words) != 2 or self.words[0] != "serve":
            self.end("vllm: error: argument subparser: invalid choice", 2)
        if not os.path.isfile(os.path.join(self.words[1], "config.json")):
            self.end(
                f"OSError: Can't load the configuration of '{self.words[1]}'. Make sure that it is the correct path to "
                "a directory containing a config.json file",
                1,
            )

    def dies(self) -> NoReturn:
        self.end("RuntimeError: Engine core initialization failed. See root cause above.", 1)

    def port_taken(self, host: str, port: int) -> NoReturn:
        self.end("OSError: [Errno 98] Address already in use", 1)

    def listening(self, host: str, port: int) -> None:
        print(f"INFO: Starting vLLM server on http://{host}:{port}", file=sys.stderr, flush=True)

    @property
    def name(self) -> str:
        return self.options.get("name") or self.words[1]

    def reply(self, request: Request) -> Reply:
        names = {NAME: self.name}
        gets = {"/health": "get_health", "/version": "get_version", "/v1/models": "get_v1_models"}
        if request.method == "GET" and request.path in gets:
            changes = {"0.32.0": self.version()} if request.path == "/version" else names
            return captured(f"{FOLDER}/{gets[request.path]}", changes)
        if request.path != "/v1/chat/completions":
            return captured(f"{FOLDER}/get_not_found")
        if not request.is_json:
            return captured(f"{FOLDER}/err_bad_json")
        if request.body.get("model") != self.name:
            return captured(f"{FOLDER}/err_unknown_model", {"no-such-model": str(request.body.get("model")), **names})
        if not request.body.get("stream"):
            return captured(f"{FOLDER}/chat_nostream", names)
        usage = (request.body.get("stream_options") or {}).get("include_usage")
        return captured(f"{FOLDER}/chat_stream_usage" if usage else f"{FOLDER}/chat_stream", names)


if __name__ == "__main__":
    main(Vllm)
