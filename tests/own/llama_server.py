"""Stands for llama-server (llama.cpp) b10488. Flags: its `common/arg.cpp`, as far as they concern one text model."""

from __future__ import annotations

import os
from typing import NoReturn

from tests.own.stand_in import Reply, Request, StandIn, as_json, captured, main

FOLDER = "llamacpp-xllamacpp"
#: The model's name in the captured bytes.
NAME = "models/smollm2.q.ggu"


class LlamaServer(StandIn):
    """Listens at once and answers 503 until the model is loaded."""

    listens_first = True
    valued = {
        **dict.fromkeys(("-m", "--model"), "model"),
        **dict.fromkeys(("-a", "--alias"), "alias"),
        **dict.fromkeys(("-t", "--threads"), "threads"),
        **dict.fromkeys(("-tb", "--threads-batch"), "threads_batch"),
        **dict.fromkeys(("-c", "--ctx-size"), "context"),
        **dict.fromkeys(("-np", "--parallel"), "parallel"),
        **dict.fromkeys(("-b", "--batch-size"), "batch"),
        **dict.fromkeys(("-ngl", "--gpu-layers", "--n-gpu-layers"), "gpu_layers"),
        **dict.fromkeys(("-dev", "--device"), "device"),
        **dict.fromkeys(("-fa", "--flash-attn"), "flash"),
        "--host": "host",
        "--port": "port",
        "--timeout": "timeout",
        "--chat-template": "template",
        "--cache-ram": "cache_ram",
        "--sse-ping-interval": "ping",
    }
    switches = {
        "--no-webui": "no_webui",
        "--offline": "offline",
        "--metrics": "metrics",
        "--jinja": "jinja",
        "--no-mmap": "no_mmap",
        "--no-warmup": "no_warmup",
        "--no-cache-prompt": "no_cache",
        "--log-disable": "quiet",
        "-v": "verbose",
        "--verbose": "verbose",
    }

    def version(self) -> str:
        number = os.environ.get("STAND_IN_VERSION", "10488")
        return f"version: 0.1.0-dev (build {number}, commit unknown)\nbuilt with GNU 12.2.0 for Linux x86_64"

    def unknown_flag(self, flag: str) -> NoReturn:
        self.end(f"error: invalid argument: {flag}", 1)

    def address(self) -> tuple[str, int]:
        return self.options.get("host", "127.0.0.1"), int(self.options.get("port", "8080"))

    def check(self) -> None:
        if not os.path.isfile(self.options.get("model", "")):
            self.end(
                f"0.00.010.000 E gguf_init_from_file: failed to open GGUF file '{self.options.get('model', '')}'"
                " (No such file or directory)\n0.00.010.100 E srv    load_model: failed to load model",
                1,
            )

    def dies(self) -> NoReturn:
        self.end(
            "0.00.506.653 E llama_model_load: error loading model: tensor 'x' data is not within the file bounds", 1
        )

    def port_taken(self, host: str, port: int) -> NoReturn:
        self.end(
            f"0.00.020.000 E start: couldn't bind HTTP server socket, hostname: {host}, port: {port}\n"
            "0.00.020.100 E main: exiting due to HTTP server error",
            1,
        )

    def listening(self, host: str, port: int) -> None:
        print(f"0.00.400.000 I main: server is listening on http://{host}:{port}", flush=True)

    @property
    def name(self) -> str:
        return self.options.get("alias") or self.options.get("model", NAME)

    def reply(self, request: Request) -> Reply:
        if not self.loaded.is_set():
            error = {"message": "Loading model", "type": "unavailable_error", "code": 503}
            return as_json({"error": error}, "503 Service Unavailable", "Server: llama.cpp")
        names = {NAME: self.name}
        gets = {
            "/health": "get_health",
            "/v1/health": "get_health",
            "/props": "get_props",
            "/v1/models": "get_v1_models",
        }
        if request.method == "GET" and request.path in gets:
            return captured(f"{FOLDER}/{gets[request.path]}", names)
        if request.path != "/v1/chat/completions":
            return captured(f"{FOLDER}/get_not_found")
        if not request.is_json:
            return captured(f"{FOLDER}/err_bad_json")
        if not request.body.get("stream"):
            return captured(f"{FOLDER}/chat_nostream", names)
        usage = (request.body.get("stream_options") or {}).get("include_usage")
        return captured(f"{FOLDER}/chat_stream_usage" if usage else f"{FOLDER}/chat_stream", names)


if __name__ == "__main__":
    main(LlamaServer)
