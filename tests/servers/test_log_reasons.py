"""The cause of an exit in logs of real servers."""

from __future__ import annotations

import pytest

from llmtui.servers.log_reasons import reason

BIND = "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 36113): address already in use"

LLAMA = """\
0.00.003.641 I srv    load_model: loading model '/m/half.gguf'
0.00.023.938 E llama_model_load: error loading model: tensor 'a' data is not within the file bounds, model is corrupted
0.00.038.011 E cmn  common_init_: failed to load model '/m/half.gguf'
0.00.038.422 E srv          init: exiting due to model loading error
llama.cpp: Failed to init server, please check the input params."""

LLAMA_PORT = """\
0.00.002.002 W srv          init: security: no API key is set
0.00.002.074 E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 51821
0.00.002.149 E srv          init: exiting due to HTTP server error"""

UVICORN = f"""\
INFO:     Application startup complete.
{BIND}
INFO:     Application shutdown complete."""

PYTHON = """\
Traceback (most recent call last):
  File "/x/reencode.py", line 72, in <module>
    ^^^^^^^^^^^^^^^^^^^^
ValueError: cannot reshape array of size 28214336 into shape (49152,612)"""

RUST = """\
2026-11-22T15:43:33Z  INFO mistralrs_core: mistral.rs version: 0.9.5
thread '<unnamed>' panicked at src/lib.rs:10:5:
index out of bounds: the len is 3 but the index is 5
  27: _start"""


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (
            LLAMA,
            "llama_model_load: error loading model: tensor 'a' data is not within the file bounds, model is corrupted",
        ),
        (LLAMA_PORT, "start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 51821"),
        (UVICORN, BIND),
        (PYTHON, "ValueError: cannot reshape array of size 28214336 into shape (49152,612)"),
        (RUST, "index out of bounds: the len is 3 but the index is 5"),
        ("mistral.rs: cannot load /m.gguf: x\n  27: _start", "mistral.rs: cannot load /m.gguf: x"),
        ("goodbye", "goodbye"),
        ("", ""),
    ],
)
def test_reason(log: str, cause: str) -> None:
    assert reason(log.splitlines()) == cause
