"""Words of real servers about where they listen, and about ports that they could not have."""

from __future__ import annotations

import pytest

from llmtui.model import Backend
from llmtui.servers.elsewhere import port_hint, refused_port, reported_ports


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        # Ollama 0.33, llamafile 0.9.3, llama-server, uvicorn (transformers, SGLang), vLLM, mistral.rs
        ('time=x level=INFO source=routes.go:1 msg="Listening on 127.0.0.1:11434 (version 0.33.0)"', {11434}),
        ('msg="Listening on [::]:11434 (version 0.33.0)"', {11434}),
        ("llama server listening at http://127.0.0.1:8081", {8081}),
        ("main: server is listening on http://127.0.0.1:8080 - starting the main loop", {8080}),
        ("INFO:     Uvicorn running on http://localhost:8000 (Press CTRL+C to quit)", {8000}),
        ("INFO 11-28 12:57:11 [api_server.py:1] Starting vLLM API server 0 on http://0.0.0.0:8000", {8000}),
        ("INFO mistralrs_server: Serving on http://0.0.0.0:1234.", {1234}),
        ("2026-11-28 12:57:11 loading the model", set()),
        ("downloading from https://huggingface.co:443/x", set()),
    ],
)
def test_a_log_says_where_the_server_listens(line: str, ports: set[int]) -> None:
    assert reported_ports([line]) == ports


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("listen tcp 127.0.0.1:11434: bind: address already in use", 11434),
        ("listen tcp :11434: bind: address already in use", 11434),
        ("couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 51821", 51821),
        ("[Errno 98] error while attempting to bind on address ('127.0.0.1', 36113): address already in use", None),
        ("2026-11-28T12:57:11 error: address already in use", None),
    ],
)
def test_an_error_names_the_port_that_is_in_use(line: str, port: int | None) -> None:
    assert refused_port(line) == port


@pytest.mark.parametrize(
    ("backend", "hint"),
    [
        (
            Backend(name="x", launch=["/usr/bin/ollama", "serve"]),
            'add env = { OLLAMA_HOST = "127.0.0.1:{port}" } to it',
        ),
        (Backend(name="x", launch=["nice", "ollama", "serve"]), "OLLAMA_HOST"),
        (Backend(name="x", framework="ollama", launch=["./start.sh"]), "OLLAMA_HOST"),
        (Backend(name="x", launch=["mistralrs", "serve"]), 'add "--port", "{port}" to `launch`'),
        (Backend(name="x", launch=["./start.sh"]), 'or url = "http://127.0.0.1:8000" if it always listens there'),
    ],
)
def test_the_hint_is_what_to_write_in_the_config(backend: Backend, hint: str) -> None:
    assert hint in port_hint(backend, 8000)
