"""Says why a server exited or cannot load a model, from the words of its log: a table of known causes.

A cause that is in the table is reported in plain words, with what to do. For any other, the most likely line is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

#: An error of llama.cpp, from b8900 on with a time and a level before it.
_LLAMA = re.compile(r"^[\d.]+ E (?:srv|cmn)?\s*(?P<message>.*)$")
#: What precedes the message in a line: time and level of llama.cpp, vLLM's process, "error loading model:".
_PREFIX = re.compile(
    r"^(?:[\d.]+ [EWI] (?:srv|cmn)?\s*|\(\w+ pid=\d+\)\s*|(?:ERROR|WARNING|INFO)[: ]+(?:[\d-]+ [\d:]+ )?(?:\[\S+\] )?"
    r"|time=\S+ level=\w+ source=\S+ msg=|Error: |error: )+",
)
_INNER = re.compile(r"^(?:\w+: )*error loading model: (?:\w+: )?", re.IGNORECASE)
_PANIC = re.compile(r"^thread .* panicked at ")
_FRAME = re.compile(r"^\s*(\d+: |at |File \"|[\^~]+$)")
_ERROR = re.compile(
    r"error|fail|couldn't|cannot|can't|invalid|exception|not found|unable|denied|unknown|in use"
    r"|illegal instruction|core dumped|segmentation",
    re.IGNORECASE,
)
_OWN = "[llmtui: "
#: The most characters of a line that a reason repeats.
_LINE_CHARS = 300


class Reason(NamedTuple):
    """Why a server exited, and what to do, "" if unknown. `kind` is "" for a line that is not in the table."""

    text: str
    hint: str = ""
    kind: Kind | Literal[""] = ""


#: What the table distinguishes.
Kind = Literal[
    "port",
    "processor",
    "library",
    "format",
    "option",
    "memory",
    "disk",
    "no model",
    "bad model",
    "unsupported",
    "rights",
]


class Cause(NamedTuple):
    """One row of the table. `text` and `hint` may name the groups of `pattern`; {line} is the line without its prefix.

    The first row that matches any line of a log is the cause: what is certain comes before what may be a remark. A
    pattern takes time in proportion to the length of a line, as it runs in the event loop and the log may be hostile.
    """

    kind: Kind
    pattern: re.Pattern[str]
    text: str
    hint: str = ""


def _cause(kind: Kind, pattern: str, text: str, hint: str = "") -> Cause:
    return Cause(kind, re.compile(pattern, re.IGNORECASE), text, hint)


BUILT_ELSEWHERE = "install a build of it for this machine's processor"
_SEE_HELP = "correct `launch`; its --help lists what this version takes"
_LIBRARY = "install the library, or a build of the server for this system"
_PACKAGE = "install it in that server's Python environment"
_NEWER = "take a newer version of the server, or another model"
_DAMAGED = "download or copy the model file again"
_MODEL_PATH = "correct the path of the model"
_LESS = "take a smaller model or a shorter context, or close other programs"
_FREE_DISK = "free some disk space"

#: All causes, in order of certainty. The words are those of the servers named; see the examples in the tests.
CAUSES: tuple[Cause, ...] = (
    # The system's loader and shells.
    _cause("processor", r"illegal instruction|SIGILL", "it was built for another processor", BUILT_ELSEWHERE),
    _cause(
        "library",
        r"error while loading shared libraries: (?P<name>[^:\s]+)|Library not loaded: (?:\S*/)?(?P<mac>\S+)"
        r"|ImportError: (?P<module>\S+): cannot open shared object",
        "the library {name} is missing",
        _LIBRARY,
    ),
    _cause(
        "library",
        r"version [`'](?P<name>(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)' not found",
        "it was built for a newer system: {name} is missing",
        "install a build of it for this system",
    ),
    _cause(
        "library",
        r"(?:ModuleNotFoundError|ImportError): No module named '?(?P<name>[\w.]+)",
        "the Python package {name} is missing",
        _PACKAGE,
    ),
    _cause(
        "format",
        r"unable to find an interpreter for (?P<name>\S+)",
        "this system's binfmt_misc takes it for another kind of program: {name}",
        'start it by a shell: launch = ["sh", "{name}", ...]',
    ),
    _cause(
        "format",
        r"exec format error|cannot execute binary file|bad CPU type in executable|: \d+: .{0,2}ELF",
        "this system cannot run the file: it is not a program, or one for another processor or system",
        BUILT_ELSEWHERE,
    ),
    _cause(
        "format",
        r"\benv: ['‘]?(?P<name>[^'’:]+)['’]?: No such file|(?<![^\s:])(?P<second>[^\s:]+): bad interpreter",
        "the program {name}, which runs the script, does not exist",
        "install it, or correct the first line of the script",
    ),
    _cause(
        "format",
        r": (?:line )?\d+: (?P<name>[^\s:]+): (?:command )?not found$",
        "the command {name} does not exist",
        "install it, or correct `launch`",
    ),
    # The command line: llama.cpp and llamafile, argparse (vLLM), clap (mistral.rs), Typer (transformers), Cobra.
    _cause(
        "option",
        r"(?:invalid argument|unknown argument|unrecognized arguments?|unexpected argument|no such option"
        r"|unknown (?:shorthand )?flag(?:: '\w' in)?|unknown option|unrecognized option):? ['\"]?"
        r"(?P<name>-{1,2}[\w-]+)",
        "it does not know the option {name}",
        _SEE_HELP,
    ),
    _cause(
        "option",
        r"(?:error while handling argument \"|argument |invalid value (?:'[^']*' )?for ['\"]?)"
        r"(?P<name>-{1,2}[\w-]++(?:/-{1,2}[\w-]++)*+)[^:]*+: ",
        "it does not take this value of {name}: {line}",
        _SEE_HELP,
    ),
    _cause("option", r"what\(\): +sto[ifdul]+\b", "a number in its command line is wrong: {line}", _SEE_HELP),
    _cause("option", r"\berror: invalid argument: (?P<name>[^\s-]\S*)$", "it does not take the word {name}", _SEE_HELP),
    _cause("option", r"unknown command \"(?P<name>[^\"]+)\"", "it does not know the command {name}", _SEE_HELP),
    _cause(
        "option",
        r"the following (?:required )?arguments (?:are required|were not provided)|missing (?:argument|option) ",
        "its command line lacks something: {line}",
        _SEE_HELP,
    ),
    # What the machine lacks.
    _cause("disk", r"no space left on device|\bENOSPC\b|disk quota exceeded|disk full", "the disk is full", _FREE_DISK),
    _cause(
        "memory",
        r"\bMemoryError\b|bad_alloc|out ?of ?memory|OutOfDeviceMemory|cannot allocate memory"
        r"|(?:fail\w*|unable) to allocate|\bENOMEM\b|requires more (?:system )?memory"
        r"|less than desired GPU memory utilization|no available memory for the cache",
        "{line}",
        _LESS,
    ),
    # The model.
    _cause(
        "unsupported",
        r"unknown (?:model|GGUF) architecture:?\s+[`'](?P<name>[^`']*)[`']"
        r"|architecture (?P<second>\S+) (?:is )?not (?:yet )?supported|has model type `(?P<third>[^`]+)` but"
        r"|model architectures \[(?P<fourth>[^\]]*)\] (?:are|failed)",
        "it cannot read models of this kind ({name})",
        _NEWER,
    ),
    _cause(
        "unsupported",
        r"unknown dtype for tensor|unknown (?:ggml|tensor) type|invalid ggml type",
        "it cannot read the model's weights: {line}",
        "take a newer version of the server, or other weights, e.g. Q8_0",
    ),
    _cause(
        "no model",
        r"failed to open (?:GGUF file )?['`]?(?P<name>[^'`]+?)['`]?:? \(?No such file"
        r"|(?<!\S)(?P<second>\S+) is not a local folder and is not a valid model"
        r"|Unrecognized processing class in (?P<third>\S+?)\. "
        r"|Repo id must be in the form[^:]*: ['\"](?P<fourth>[^'\"]+)"
        r"|(?<![^\s'\"])(?P<fifth>[^\s'\"]+\.(?:gguf|llamafile|safetensors))['\"]?: No such file",
        "the model {name} does not exist, or is not a model",
        _MODEL_PATH,
    ),
    _cause(
        "bad model",
        r"invalid magic|failed to read magic|bad magic|not a (?:valid )?GGUF|unknown \(magic, version\)"
        r"|magic (?:number )?(?:mismatch|0x)|not a pkzip archive",
        "the model file is not a GGUF file: {line}",
        _DAMAGED,
    ),
    _cause(
        "bad model",
        r"model is corrupted|not within the file bounds|wrong number of tensors"
        r"|tensor ['`].*?['`] (?:not found|is missing)|missing tensor"
        r"|failed to fill whole buffer|unexpected end of file|error while deserializing header"
        r"|header too ?large|metadata ?incomplete|outside file length|failed to read (?:key|tensor|GGUF)",
        "the model file is damaged or incomplete: {line}",
        _DAMAGED,
    ),
    _cause(
        "bad model",
        r"error loading model: (?P<name>.+)|cannot load \S+\.gguf: (?P<second>.+)"
        r"|error=\"unable to load model: (?P<third>.+?)\"",
        "it cannot load the model: {name}",
        "take another model, or another version of the server",
    ),
    # The port.
    _cause(
        "rights",
        r"bind.*permission denied|permission denied.*bind",
        "it may not listen on this port: {line}",
        "ports below 1024 are root's; choose another",
    ),
    _cause(
        "port",
        r"address already in use|EADDRINUSE|\b(?:errno|os error) (?:98|48)\b|n['o]t bind|only one usage of each socket"
        r"|port (?:\S+ )?(?:is )?(?:already )?in use",
        "{line}",
    ),
    _cause(
        "rights",
        r"permission denied|\bEACCES\b|operation not permitted",
        "it may not open something: {line}",
        "correct the owner or the rights of that file",
    ),
)


def mentions_port(log: Sequence[str]) -> bool:
    """Whether a log reports that the server's port is in use."""
    return _mentions("port", log)


def mentions_memory(log: Sequence[str]) -> bool:
    """Whether a log reports that memory could not be allocated."""
    return _mentions("memory", log)


def _mentions(kind: Kind, log: Sequence[str]) -> bool:
    return any(cause.pattern.search(line) for cause in CAUSES if cause.kind == kind for line in log)


def known_reason(log: Sequence[str]) -> Reason | None:
    """Return the first cause of the table that the last lines of a log show, None if they show none."""
    log = [line for line in log if not line.startswith(_OWN)]
    for cause in CAUSES:
        for line in log:
            if match := cause.pattern.search(line):
                named = next((value for value in match.groupdict().values() if value), "")
                fields = {"name": named, "line": _message(line)}
                return Reason(cause.text.format(**fields), cause.hint.format(**fields), cause.kind)
    return None


def explain(log: Sequence[str]) -> Reason:
    """Return why a server exited, from the last lines of its log; the text is "" for an empty log."""
    return known_reason(log) or Reason(_likely_line(log))


def reason(log: Sequence[str]) -> str:
    """Return the most likely cause of an exit in the last lines of a log, "" for an empty log."""
    return explain(log).text


def _likely_line(log: Sequence[str]) -> str:
    log = [line for line in log if not line.startswith(_OWN)]
    for number, line in enumerate(log):
        if match := _LLAMA.match(line):
            return match["message"].strip()  # the first error is the cause of the later ones
        if _PANIC.match(line) and number + 1 < len(log):
            return log[number + 1].strip()
    lines = [line.strip() for line in log if not _FRAME.match(line)]
    return next((line for line in reversed(lines) if _ERROR.search(line)), lines[-1] if lines else "")


def _message(line: str) -> str:
    """Return a line of a log without what says when and by which part it was written."""
    line = _INNER.sub("", _PREFIX.sub("", line.strip()))
    return line if len(line) <= _LINE_CHARS else line[: _LINE_CHARS - 1] + "…"
