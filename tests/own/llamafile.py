"""Stands for llamafile.

0.9: flags of its `llama.cpp/server/server.cpp`, captured bytes of 0.9.3. 0.10 and later: its own flags, then those of
llama-server, whose captured bytes it sends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import NoReturn

from tests.own.llama_server import LlamaServer
from tests.own.stand_in import Reply, Request, StandIn, captured, main

VERSION = os.environ.get("STAND_IN_VERSION", "0.9.3")
FOLDER = "llamafile-0.9.3"
NAME = "SmolLM2-135M-Instruct"


def version_line() -> str:
    return f"llamafile v{VERSION}"


class Old(StandIn):
    """0.9 and older with `--server`: loads, then listens; takes the next port where its own is taken."""

    valued = {
        **dict.fromkeys(("-m", "--model"), "model"),
        **dict.fromkeys(("-a", "--alias"), "alias"),
        **dict.fromkeys(("-t", "--threads"), "threads"),
        **dict.fromkeys(("-tb", "--threads-batch"), "threads_batch"),
        **dict.fromkeys(("-c", "--ctx-size", "--ctx_size"), "context"),
        **dict.fromkeys(("-np", "--parallel"), "parallel"),
        **dict.fromkeys(("-b", "--batch-size"), "batch"),
        **dict.fromkeys(("-n", "--n-predict"), "predict"),
        **dict.fromkeys(("-ngl", "--gpu-layers", "--n-gpu-layers"), "gpu_layers"),
        **dict.fromkeys(("-to", "--timeout"), "timeout"),
        "--host": "host",
        "--port": "port",
        "--gpu": "gpu",
        "--api-key": "api_key",
        "--chat-template": "template",
        "--url-prefix": "prefix",
    }
    switches = {
        "--server": "server",
        "--nobrowser": "nobrowser",
        "--unsecure": "unsecure",
        "--mlock": "mlock",
        "--no-mmap": "no_mmap",
        "--metrics": "metrics",
        "--log-disable": "quiet",
        "--fast": "fast",
        "--nologo": "nologo",
        "--ascii": "ascii",
    }

    def version(self) -> str:
        return version_line()

    def unknown_flag(self, flag: str) -> NoReturn:
        self.end(f"error: unknown argument: {flag}", 1)

    def address(self) -> tuple[str, int]:
        return self.options.get("host", "127.0.0.1"), int(self.options.get("port", "8080"))

    def check(self) -> None:
        if "server" not in self.options:
            self.end("error: the stand-in has no chat", 1)
        if not os.path.isfile(self.options.get("model", "")):
            self.dies()

    def dies(self) -> NoReturn:
        model = self.options.get("model", "")
        self.end(
            f"llama_load_model_from_file: failed to load model\nllama_init_from_gpt_params: error: failed to load model"
            f" '{model}'\n"
            f'{{"function":"load_model","level":"ERR","line":463,"model":"{model}","msg":"unable to load model"}}',
            1,
        )

    def port_taken(self, host: str, port: int) -> NoReturn:
        self.end(f"\ncouldn't bind to server socket: hostname={host} port={port}\n", 1)

    def ports(self, port: int) -> Iterator[int]:
        yield from range(port, port + 11)

    def listening(self, host: str, port: int) -> None:
        if "quiet" not in self.options:
            # The real one writes this into its working folder.
            with open("llama.log", "w") as log:
                log.write("warming up the model with an empty run\n")
        if "nobrowser" not in self.options:
            self.record("browser", url=f"http://{host}:{port}/")
        print(f"\nllama server listening at http://{host}:{port}\n", file=sys.stderr, flush=True)

    def reply(self, request: Request) -> Reply:
        # The name of the model is its path, unless it was given another one.
        names = {NAME: self.options.get("alias") or self.options.get("model", "")}
        gets = {"/health": "get_health", "/props": "get_props", "/slots": "get_slots", "/v1/models": "get_v1_models"}
        if request.method == "GET" and request.path in gets:
            return captured(f"{FOLDER}/{gets[request.path]}", names)
        if request.path != "/v1/chat/completions":
            return captured(f"{FOLDER}/get_not_found")
        if not request.raw:
            return captured(f"{FOLDER}/err_empty_body")
        if not request.is_json:
            return captured(f"{FOLDER}/err_bad_json")
        if "messages" not in request.body:
            return captured(f"{FOLDER}/err_no_messages")
        return captured(f"{FOLDER}/chat_stream" if request.body.get("stream") else f"{FOLDER}/chat_nostream", names)


class New(LlamaServer):
    """0.10 and later: its own flags, then those of llama-server."""

    switches = {
        **LlamaServer.switches,
        "--server": "server",
        "--nologo": "nologo",
        "--ascii": "ascii",
        "--nothink": "nothink",
        "--unsecure": "unsecure",
    }
    valued = {**LlamaServer.valued, "--gpu": "gpu"}

    def version(self) -> str:
        return version_line()


if __name__ == "__main__":
    main(Old if tuple(map(int, VERSION.split(".")[:2])) < (0, 10) else New)
