"""What llmtui knows about each serving framework: one record each, which every other module reads.

How to recognize a server by its answers is in servers/discovery.py, how to launch an embedded engine in
servers/recipes.py, and what its protocol looks like in wire/.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from llmtui.config.own_servers import OwnServer
from llmtui.model import Backend, Embedded, OwnServerName, Protocol, Struct

_LOCAL_INSTALL = "pip install -e '.[local]' or 'llmtui[local]'"
#: The command that works from a checkout comes first: a narrow panel cuts off the rest.
_TORCH_INSTALL = "pip install -e '.[hf]' or 'llmtui[hf]'; without a GPU the CPU build of torch first, see the README"


class Framework(Struct, frozen=True):
    """One serving framework. Ports, options and commands are those of its own documentation (2026).

    `aliases` are further values of `framework` in a config, `nicknames` further words for it on the command line.
    `port` is where its server listens by default, 0 where containers usually map it to another port; `scanned` are
    further ports to try. `full_length` and `no_prefix_cache` are the request fields that make an answer continue to
    `max_tokens` and that switch the prefix cache off, empty where the server has none; engines that need values of the
    run or the model for it set them in their recipe. `engine` is the value of `embedded` with which llmtui launches it,
    `packages` are the Python packages that this needs, `install` is the command that installs them. `own` is its own
    server program, None if llmtui cannot start one on the model file of the race. `port_setting` says how a configured
    `launch` makes it listen where llmtui asks. `process` matches the beginning of the command line of its server.
    """

    title: str
    language: str
    aliases: tuple[str, ...] = ()
    nicknames: tuple[str, ...] = ()
    protocol: Protocol = "openai"
    port: int = 0
    scanned: tuple[int, ...] = ()
    start: str = "start the server"
    example_model: str = ""
    pull: str = ""
    full_length: dict[str, Any] = {}
    no_prefix_cache: dict[str, Any] = {}
    engine: Embedded = ""
    packages: tuple[str, ...] = ()
    install: str = ""
    own: OwnServer | None = None
    port_setting: str = 'add "--port", "{port}" to `launch`'
    process: str = ""

    def start_hint(self, port: int) -> str:
        """How to start the server on this port, 0 for any."""
        return self.start.format(port=port or "PORT")

    def pull_hint(self, model: str = "") -> str:
        """The command that downloads `model` (by default a small one), "" if the framework has none."""
        return self.pull.format(model=model or self.example_model)


OLLAMA = Framework(
    title="Ollama",
    language="Go",
    protocol="ollama",
    port=11434,
    start="start it: ollama serve",
    example_model="smollm2:135m",
    pull="ollama pull {model}",
    own=OwnServer(
        server="ollama",
        programs=("ollama",),
        patterns=("/usr/local/bin/ollama", "/Applications/Ollama.app/Contents/Resources/ollama"),
        checked="0.33.0-rc2",
        how="run",
        read="0.5.5 to 0.32",
        known=("0.5", "0.33"),
    ),
    port_setting='add env = { OLLAMA_HOST = "127.0.0.1:{port}" } to it',
    process=r"(?:\S+ )?ollama(?:\.exe)? serve\b",
)
LLAMAFILE = Framework(
    title="Llamafile",
    language="C++",
    port=8080,
    start="start it: ./model.llamafile --server --port {port}",
    full_length={"ignore_eos": True},
    no_prefix_cache={"cache_prompt": False},
    own=OwnServer(
        server="llamafile",
        programs=("llamafile", "llamafile-[0-9]*"),
        # Not the working folder: a program that came with a checkout does not start by itself.
        patterns=(
            *("~/*.llamafile", "~/Downloads/*.llamafile", "~/bin/*.llamafile", "~/.local/bin/*.llamafile"),
            *("/usr/local/bin/*.llamafile", "/opt/*.llamafile"),
        ),
        checked="0.9.3",
        how="run",
        read="0.10",
        known=("0.9", "0.10"),
    ),
    process=r"(?:\S+ ){0,2}\S*llamafile\b",
)
LLAMA_CPP = Framework(
    title="llama.cpp",
    language="C++",
    nicknames=("llama-server", "llama"),
    port=8080,
    start="start it: llama-server -m model.gguf --port {port}",
    full_length={"ignore_eos": True},
    # With a fresh line, the chat template's own beginning would still come from the cache (25 of 56 tokens).
    no_prefix_cache={"cache_prompt": False},
    engine="llama.cpp",
    packages=("xllamacpp",),
    install=_LOCAL_INSTALL,
    own=OwnServer(server="llama-server", programs=("llama-server",), checked="build 10488", how="run"),
    process=r"(?:\S+ )?llama-server(?:\.exe)?(?: |$)",
)
MISTRAL_RS = Framework(
    title="mistral.rs",
    language="Rust",
    nicknames=("mistral",),
    port=1234,
    start="start it: mistralrs serve -f FILE.gguf --host 127.0.0.1 -p {port}",
    engine="mistral.rs",
    packages=("mistralrs", "uvicorn"),
    install=_LOCAL_INSTALL,
    own=OwnServer(
        server="mistralrs",
        programs=("mistralrs", "mistralrs-server"),
        patterns=("~/.cargo/bin/mistralrs", "~/.cargo/bin/mistralrs-server", "~/.local/bin/mistralrs"),
        checked="0.6 to 0.9.2",
        known=("0.6", "0.9"),
    ),
    process=r"mistralrs(?:-server)?\b",
)
LM_STUDIO = Framework(
    title="LM Studio",
    language="C++",
    nicknames=("lms",),
    port=1234,
    start="start it: lms server start --port {port}",
    process=r"(?:lms|llmster|lm-?studio)\b",
)
VLLM = Framework(
    title="vLLM",
    language="Python",
    port=8000,
    start="start it: vllm serve MODEL --host 127.0.0.1 --port {port}",
    full_length={"ignore_eos": True},
    own=OwnServer(
        server="vllm",
        programs=("vllm",),
        checked="0.32",
        known=("0.10", "0.32"),
        needs=("torch", "transformers", "gguf"),
    ),
    process=r"(?:\S+ ){0,2}vllm(?: serve|\.entrypoints\.\S+)",
)
HUGGINGFACE = Framework(
    title="HuggingFace",
    language="Python",
    aliases=("transformers",),
    nicknames=("hf", "transformers-serve"),
    port=8000,
    start="start it: transformers serve MODEL --port {port}",
    engine="transformers",
    packages=("torch", "transformers", "accelerate", "gguf", "fastapi", "uvicorn"),
    install=_TORCH_INSTALL,
    process=r"(?:\S+ ){0,2}transformers serve\b",
    own=OwnServer(
        server="transformers",
        programs=("transformers",),
        checked="5.24",
        how="run",
        needs=("torch", "transformers", "accelerate", "gguf"),
    ),
)
TGI = Framework(
    title="TGI",
    language="Rust",
    nicknames=("text-generation-inference", "text-generation-launcher"),
    scanned=(3000,),
    start="start it: text-generation-launcher --model-id MODEL --hostname 127.0.0.1 --port {port}",
    process=r"text-generation-(?:launcher|router)\b",
)
SGLANG = Framework(
    title="SGLang",
    language="Python",
    start="start it: sglang serve --model-path MODEL --port {port}",
    process=r"(?:\S+ ){0,2}sglang(?:\.launch_server| serve)\b",
)
LLAMA_CPP_PYTHON = Framework(
    title="llama-cpp-python",
    language="Python",
    start="start it: python -m llama_cpp.server --model FILE.gguf --port {port}",
    process=r"(?:\S+ ){0,2}llama_cpp\.server\b",
)
#: A framework that is not in the list, or a server that does not identify itself.
UNKNOWN = Framework(title="OpenAI-compatible", language="")

#: All of them, in the order in which `llmtui init` lists them.
FRAMEWORKS = (
    OLLAMA,
    LLAMAFILE,
    LLAMA_CPP,
    MISTRAL_RS,
    LM_STUDIO,
    VLLM,
    HUGGINGFACE,
    TGI,
    SGLANG,
    LLAMA_CPP_PYTHON,
)
#: Those that llmtui can launch itself.
ENGINES = tuple(one for one in FRAMEWORKS if one.engine)
#: Those whose own server program llmtui can start.
OWN_SERVERS = tuple(one.own for one in FRAMEWORKS if one.own is not None)
#: The local ports on which `llmtui init` looks for servers.
SCANNED_PORTS = tuple(sorted({port for one in FRAMEWORKS for port in (one.port, *one.scanned) if port}))


def _letters(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


_BY_NAME = {name.lower(): one for one in FRAMEWORKS for name in (one.title, *one.aliases)}
#: Without what people leave out or write in another way: "llama-cpp", "LlamaCpp", "mistralrs", "LMStudio".
_BY_WORD = {
    _letters(word): one for one in FRAMEWORKS for word in (one.title, *one.aliases, *one.nicknames, one.engine) if word
}
_BY_OWN_SERVER = {one.own.server: one for one in FRAMEWORKS if one.own is not None}
_BY_ENGINE = {one.engine: one for one in ENGINES}


def framework(name: str) -> Framework:
    """The framework with this name in any case, as `framework` or `embedded` of a backend; else UNKNOWN."""
    return _BY_NAME.get(name.lower(), UNKNOWN)


def framework_from_word(word: str) -> Framework | None:
    """The framework that a word of the command line names: in any case, with or without dots, dashes and spaces."""
    return _BY_WORD.get(_letters(word))


def word_of(title: str) -> str:
    """The word by which a command line names a framework, without capitals and spaces: "lm-studio"."""
    return title.lower().replace(" ", "-")


def engine(embedded: Embedded) -> Framework:
    """The framework behind a value of `embedded`. Raises KeyError for ""."""
    return _BY_ENGINE[embedded]


def framework_of(backend: Backend) -> Framework:
    """The framework of a backend: that of the server or the engine which llmtui starts, else as the config says."""
    return _BY_OWN_SERVER[backend.server] if backend.server else framework(backend.embedded or backend.framework)


def framework_of_server(server: OwnServerName) -> Framework:
    """The framework behind a value of `server`. Raises KeyError for ""."""
    return _BY_OWN_SERVER[server]


def own_server(server: OwnServerName) -> OwnServer:
    """The server program behind a value of `server`. Raises KeyError for ""."""
    own = _BY_OWN_SERVER[server].own
    assert own is not None
    return own


def absent_packages(engine: Embedded) -> list[str]:
    """Return the packages of an embedded engine that are not installed, without importing any."""
    return [package for package in _BY_ENGINE[engine].packages if importlib.util.find_spec(package) is None]
