"""The cause of an exit in logs of real servers: an example for each row of the table.

"seen": printed by the real program; the others are quoted from public reports about it.
"""

from __future__ import annotations

import time

import pytest

from llmtui.servers.log_reasons import CAUSES, explain, known_reason, reason
from llmtui.servers.process_tree import LINE_CHARS

BIND = "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 36113): address already in use"

#: llama-server b10488, seen: a file that was cut off.
LLAMA = """\
0.00.003.641 I srv    load_model: loading model '/m/half.gguf'
0.00.013.896 E common_fit_params: encountered an error while trying to fit params to free device memory: failed to load
0.00.023.938 E llama_model_load: error loading model: tensor 'a' data is not within the file bounds, model is corrupted
0.00.038.011 E cmn  common_init_: failed to load model '/m/half.gguf'
0.00.038.422 E srv          init: exiting due to model loading error
llama.cpp: Failed to init server, please check the input params."""

#: llama-server b10488, seen.
LLAMA_NO_FILE = """\
0.00.008.984 E common_fit_params: encountered an error while trying to fit params to free device memory: failed to load
0.00.009.041 E gguf_init_from_file: failed to open GGUF file '/m/no.gguf' (No such file or directory)
0.00.009.078 E llama_model_load: error loading model: llama_model_loader: failed to load model from /m/no.gguf
0.00.009.130 E cmn  common_init_: failed to load model '/m/no.gguf'"""

#: llama-server b10488, seen.
LLAMA_JUNK = """\
0.00.004.374 E gguf_init_from_reader: invalid magic characters: 'junk', expected 'GGUF'
0.00.004.405 E llama_model_load: error loading model: llama_model_loader: failed to load model from junk.gguf"""

#: llama-server b10488, seen.
LLAMA_VALUE = """\
error while handling argument "--port": stoi

usage:
--port PORT                             port to listen (default: 8080)
to show complete usage, run with -h"""

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

#: mistral.rs issue 2098.
RUST_UNSUPPORTED = """\
thread 'main' panicked at mistralrs-core-0.8.1/src/gguf/content.rs:151:22:
called `Result::unwrap()` on an `Err` value: Unknown GGUF architecture `gemma4`
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"""

#: clap, as in mistral.rs issue 1050.
CLAP = """\
error: unexpected argument '--nobrowser' found

Usage: mistralrs serve [OPTIONS]

For more information, try '--help'."""

#: transformers 5.23, seen.
TYPER = """\
Usage: transformers serve [OPTIONS] [FORCE_MODEL]
Try 'transformers serve -h' for help.
Error: No such option: --nobrowser"""

#: vLLM issues 25837 and 44411.
VLLM = """\
(EngineCore_DP0 pid=17374) ERROR 09-28 15:47:24 [core.py:718]     raise ValueError(
(EngineCore_DP0 pid=17374) ERROR 09-28 15:47:24 [core.py:718] ValueError: Free memory on device (3.22/4.0 GiB) on \
startup is less than desired GPU memory utilization (0.9, 3.6 GiB).
(APIServer pid=17373) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"""

#: Ollama issue 12984.
OLLAMA_UNSUPPORTED = """\
llama_model_load: error loading model: error loading model architecture: unknown model architecture: 'pangu-embedded'
llama_model_load_from_file_impl: failed to load model"""

#: Log, kind, text, and a part of the hint.
EXAMPLES = [
    ("Illegal instruction (core dumped)", "processor", "it was built for another processor", "this machine's"),
    (
        "./server: error while loading shared libraries: libgomp.so.1: cannot open shared object file: No such file",
        "library",
        "the library libgomp.so.1 is missing",
        "install the library",
    ),
    (
        "dyld[9]: Library not loaded: @rpath/libllama.dylib",
        "library",
        "the library libllama.dylib is missing",
        "install the library",
    ),
    (
        "ImportError: libcudart.so.12: cannot open shared object file: No such file or directory",
        "library",
        "the library libcudart.so.12 is missing",
        "install the library",
    ),
    (
        "./server: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by ./server)",
        "library",
        "it was built for a newer system: GLIBC_2.38 is missing",
        "a build of it for this system",
    ),
    (
        "Traceback (most recent call last):\nModuleNotFoundError: No module named 'vllm.engine'",
        "library",
        "the Python package vllm.engine is missing",
        "Python environment",
    ),
    (  # llamafile issue 369
        "run-detectors: unable to find an interpreter for ./Meta.llamafile",
        "format",
        "this system's binfmt_misc takes it for another kind of program: ./Meta.llamafile",
        'launch = ["sh", "./Meta.llamafile", ...]',
    ),
    (
        "./server: 1: \x7fELF\x02\x01: not found",
        "format",
        "this system cannot run the file: it is not a program, or one for another processor or system",
        "this machine's processor",
    ),
    (
        "/usr/bin/env: ‘python3.9’: No such file or directory",
        "format",
        "the program python3.9, which runs the script, does not exist",
        "install it",
    ),
    ("/bin/sh: 1: ollama: not found", "format", "the command ollama does not exist", "install it"),
    ("bash: line 1: ollama: command not found", "format", "the command ollama does not exist", "install it"),
    # llama-server, seen; llamafile 0.9; argparse; Cobra
    ("error: invalid argument: --nobrowser", "option", "it does not know the option --nobrowser", "--help"),
    ("error: unknown argument: --no-webui", "option", "it does not know the option --no-webui", "--help"),
    ("vllm: error: unrecognized arguments: --ctx 3", "option", "it does not know the option --ctx", "--help"),
    ("Error: unknown flag: --port", "option", "it does not know the option --port", "--help"),
    ("Error: unknown shorthand flag: 'p' in -p", "option", "it does not know the option -p", "--help"),
    (CLAP, "option", "it does not know the option --nobrowser", "--help"),
    (TYPER, "option", "it does not know the option --nobrowser", "--help"),
    (
        LLAMA_VALUE,
        "option",
        'it does not take this value of --port: error while handling argument "--port": stoi',
        "--help",
    ),
    (
        "vllm: error: argument --port: invalid int value: 'x'",
        "option",
        "it does not take this value of --port: vllm: error: argument --port: invalid int value: 'x'",
        "--help",
    ),
    (
        "error: invalid value 'x' for '--port <PORT>': invalid digit found in string",
        "option",
        "it does not take this value of --port: invalid value 'x' for '--port <PORT>': invalid digit found in string",
        "--help",
    ),
    ("error: invalid argument: serve", "option", "it does not take the word serve", "--help"),
    ('Error: unknown command "server" for "ollama"', "option", "it does not know the command server", "--help"),
    (
        "error: the following required arguments were not provided:\n  --model-id <MODEL_ID>",
        "option",
        "its command line lacks something: the following required arguments were not provided:",
        "--help",
    ),
    (
        "couldn't create PATH/manifests: no space left on device",
        "disk",
        "the disk is full",
        "free some disk space",
    ),
    (
        VLLM,
        "memory",
        "ValueError: Free memory on device (3.22/4.0 GiB) on startup is less than desired GPU memory utilization"
        " (0.9, 3.6 GiB).",
        "smaller model",
    ),
    (
        "Error: model requires more system memory (5.6 GiB) than is available (3.1 GiB)",
        "memory",
        "model requires more system memory (5.6 GiB) than is available (3.1 GiB)",
        "smaller model",
    ),
    (OLLAMA_UNSUPPORTED, "unsupported", "it cannot read models of this kind (pangu-embedded)", "newer version"),
    (RUST_UNSUPPORTED, "unsupported", "it cannot read models of this kind (gemma4)", "newer version"),
    (
        "ValueError: GGUF model with architecture mamba is not supported yet.",
        "unsupported",
        "it cannot read models of this kind (mamba)",
        "newer version",
    ),
    (
        "Candle error: unknown dtype for tensor 23",
        "unsupported",
        "it cannot read the model's weights: Candle error: unknown dtype for tensor 23",
        "Q8_0",
    ),
    (LLAMA_NO_FILE, "no model", "the model /m/no.gguf does not exist, or is not a model", "path of the model"),
    (  # transformers 5.23, seen
        "ValueError: Unrecognized processing class in /nonexistent. Can't instantiate a processor",
        "no model",
        "the model /nonexistent does not exist, or is not a model",
        "path of the model",
    ),
    (
        LLAMA_JUNK,
        "bad model",
        "the model file is not a GGUF file: gguf_init_from_reader: invalid magic characters: 'junk', expected 'GGUF'",
        "download",
    ),
    (
        LLAMA,
        "bad model",
        "the model file is damaged or incomplete: tensor 'a' data is not within the file bounds, model is corrupted",
        "download",
    ),
    # llamafile 0.9.3, seen; the last one is from mistral.rs 0.9.5, seen
    (
        "terminate called after throwing an instance of 'std::invalid_argument'\n  what():  stoi",
        "option",
        "a number in its command line is wrong: what():  stoi",
        "--help",
    ),
    (
        "junk.gguf: warning: not a pkzip archive\n"
        "llama_model_load: error loading model: failed to open junk.gguf: Invalid argument",
        "bad model",
        "the model file is not a GGUF file: junk.gguf: warning: not a pkzip archive",
        "download",
    ),
    (
        "mistral.rs: cannot load /m/half.gguf: GGUF tensor `blk.16` range begins at 4, outside file length 3",
        "bad model",
        "the model file is damaged or incomplete: "
        "mistral.rs: cannot load /m/half.gguf: GGUF tensor `blk.16` range begins at 4, outside file length 3",
        "download",
    ),
    (
        "llama_model_load: error loading model: done_getting_tensors: something new",
        "bad model",
        "it cannot load the model: done_getting_tensors: something new",
        "another version",
    ),
    (
        "Error: listen tcp 127.0.0.1:80: bind: permission denied",
        "rights",
        "it may not listen on this port: listen tcp 127.0.0.1:80: bind: permission denied",
        "1024",
    ),
    (LLAMA_PORT, "port", "start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 51821", ""),
    # Ollama issue 707
    (
        "Error: listen tcp 127.0.0.1:11434: bind: address already in use",
        "port",
        "listen tcp 127.0.0.1:11434: bind: address already in use",
        "",
    ),
    (
        "Error: could not create directory mkdir /usr/share/ollama: permission denied",
        "rights",
        "it may not open something: could not create directory mkdir /usr/share/ollama: permission denied",
        "owner",
    ),
]


@pytest.mark.parametrize(("log", "kind", "text", "hint"), EXAMPLES)
def test_a_known_cause_is_in_plain_words_with_what_to_do(log: str, kind: str, text: str, hint: str) -> None:
    cause = explain(log.splitlines())
    assert (cause.kind, cause.text) == (kind, text)
    assert hint in cause.hint


def test_every_row_of_the_table_has_an_example() -> None:
    logs = [log.splitlines() for log, *_ in EXAMPLES]
    used = [next(c for c in CAUSES if any(c.pattern.search(line) for line in log)) for log in logs]
    assert [cause.text for cause in CAUSES if cause not in used] == []


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (UVICORN, "[Errno 98] error while attempting to bind on address ('127.0.0.1', 36113): address already in use"),
        (PYTHON, "ValueError: cannot reshape array of size 28214336 into shape (49152,612)"),
        (RUST, "index out of bounds: the len is 3 but the index is 5"),
        ("mistral.rs: cannot load /m.gguf: x\n  27: _start", "it cannot load the model: x"),
        ("goodbye", "goodbye"),
        ("", ""),
        ("{name}: permission denied", "it may not open something: {name}: permission denied"),
    ],
)
def test_reason(log: str, cause: str) -> None:
    assert reason(log.splitlines()) == cause


@pytest.mark.parametrize(
    "line",
    [
        "load_tensors: offloading 0 layers, model size 138 MB",
        "system_info: n_threads = 1 | AVX512 = 1 | LLAMAFILE = 1",
        'level=INFO msg="Listening on 127.0.0.1:11434 (version 0.33.0)"',
        "error: cannot load model: tensor 'x' is missing from the moon",
    ],
)
def test_other_lines_are_not_in_the_table(line: str) -> None:
    assert known_reason([line]) is None or "missing" in line


@pytest.mark.parametrize(
    "part",
    [
        *("a", "argument --a", "tensor `"),
        *(pytest.param(p, marks=pytest.mark.slow) for p in ("n'", "x.gguf", "-", "a-", "/--a", "argument ", "0: ")),
    ],
)
def test_a_log_of_long_lines_does_not_hold_up_other_requests(part: str) -> None:
    """Before, the search took 7 s for such a log, and the event loop stood still."""
    lines = [f"argument --{part * LINE_CHARS}"[:LINE_CHARS]] * 60
    began = time.thread_time()
    known_reason(lines)
    assert time.thread_time() - began < 1.0
